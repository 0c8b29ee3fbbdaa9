"""A serving plane whose servers are words: decisions and status, with neither process nor clock."""

from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.objects import parse_inference_service
from mulgil.local.plane.processes import ProcessIdentity
from mulgil.local.plane.reconcile import reconcile
from mulgil.local.plane.revisions import Observation, Phase, ServerKey, ServiceKey, ServiceState
from mulgil.local.plane.status import fill_status
from mulgil.local.plane.store import PlaneStore
from mulgil.local.plane.wanted import read_wanted

ALIVE = Observation(is_alive=True)
READY = Observation(is_alive=True, is_ready=True)
URL = "http://127.0.0.1:8080/serving/default/heart"


def dead(exit_code=1, log_tail="the reason"):
    """A server that ended."""
    return Observation(is_alive=False, exit_code=exit_code, log_tail=log_tail)


def predictor(model, **fields):
    """A predictor of a model."""
    return {
        "model": {"modelFormat": {"name": "mulgil"}, "storageUri": f"file:///models/{model}"},
        **fields,
    }


def knative(model, **fields):
    """An object in the Knative form."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "heart"},
        "spec": {"predictor": predictor(model, **fields)},
    }


def standard(model, *canaries, **fields):
    """An object in the Standard form; a canary is `(name, model, percent)` and further fields."""
    manifest = knative(model, **fields)
    manifest["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Standard"}
    manifest["spec"]["canary"] = [
        {"predictor": predictor(of, name=name, **more), "trafficPercent": percent}
        for name, of, percent, more in ((*canary, {})[:4] for canary in canaries)
    ]
    return manifest


class WordPlane:
    """One service, whose servers are ready when they are told to be, and stay so until told otherwise."""

    def __init__(self):
        self.state = ServiceState()
        self.now = 1000.0
        self.generation = 0
        self.wanted = None
        self._spec = None

    def apply(self, manifest):
        """Apply an object, and look once."""
        if manifest["spec"] != self._spec:
            self.generation += 1
            self._spec = manifest["spec"]
        self.wanted = read_wanted(parse_inference_service(manifest), self.generation)
        return self.look()

    def delete(self):
        """Delete the object, and look once."""
        self.wanted = None
        return self.look()

    def look(self, seconds=0.0, **seen):
        """Let time pass and see, then begin what is due, as the supervisor does.

        `r2=READY` says it of all servers of the second revision, `r2_1=dead()` of its server 1.
        """
        self.now += seconds
        told = {}
        for word, what in seen.items():
            number, _, index = word[1:].partition("_")
            for key in self.state.servers:
                if int(key.revision[-5:]) == int(number) and index in ("", str(key.number)):
                    told[key] = what
        for key, server in self.state.servers.items():
            if server.process is not None:
                told.setdefault(key, READY if server.phase is Phase.READY else ALIVE)
        self.state = reconcile(self.state, self.wanted, told, self.now)
        revisions = (
            revision.model_copy(update={"servers": tuple(map(self._begin, revision.servers))})
            for revision in self.state.revisions
        )
        self.state = self.state.model_copy(update={"revisions": tuple(revisions)})
        if self.wanted is not None:
            self.state = self.state.model_copy(update={"status": self.status()})
        return self

    def ready(self, *numbers):
        """See revisions ready, and what comes of it."""
        return self.look(**{f"r{number}": READY for number in numbers}).look()

    def _begin(self, server):
        if server.phase is not Phase.PENDING or self.now < server.due_at:
            return server
        process = ProcessIdentity(pid=1, boot="b", started=int(self.now))
        return server.enter(Phase.STARTING, self.now, process=process, port=server.port or 40_000)

    def status(self, is_up=True, is_routed=True):
        return fill_status(self.state, self.wanted, url=URL, is_up=is_up, is_routed=is_routed, now=self.now)

    @property
    def phases(self):
        """Phases of the servers, by revision number and server."""
        return {
            f"{int(key.revision[-5:])}.{key.number}": server.phase.value
            for key, server in self.state.servers.items()
        }

    @property
    def shares(self):
        """Percent by revision number; 0 counts."""
        return {int(name[-5:]): percent for name, percent in self.state.weights.items()}

    def server(self, revision, number=0):
        return self.state.servers[ServerKey(revision, number)]

    def condition(self, name="Ready"):
        return next(c for c in self.state.status["conditions"] if c["type"] == name)

    @property
    def whole_status(self):
        """The status without the conditions' times, and conditions by type."""
        status = {**self.state.status}
        conditions = {}
        for condition in status["conditions"]:
            said = {k: v for k, v in condition.items() if k not in ("type", "lastTransitionTime")}
            conditions[condition["type"]] = said
        return {**status, "conditions": conditions}


class PlaneOfWords(ServingPlane):
    """The plane as its clients have it, objects and states on the disk; only servers and Envoy are words.

    Each time that an object is read, its servers have come a look further. Of the versions in `broken` a
    server ends with the reason why it cannot run.
    """

    is_up = True

    def __init__(self, folder, broken=()):
        super().__init__(folder)
        self.broken = set(broken)
        self.store = PlaneStore(folder.resolve())
        self.planes = {}
        self.policies = []
        self.writes = 0

    def apply(self, manifest):
        super().apply(manifest)
        self.writes += 1

    def get(self, name, namespace="default"):
        self._tick(ServiceKey(namespace, name))
        return super().get(name, namespace)

    def set_traffic_policy(self, name, namespace, policy):
        super().set_traffic_policy(name, namespace, policy)
        self.policies.append(policy)

    def share(self, version, name="heart", namespace="default"):
        """Percent of the traffic that a model version gets."""
        state = self.store.read_state(ServiceKey(namespace, name))
        shares = {_version(state.find(revision)): percent for revision, percent in state.weights.items()}
        return shares.get(version, 0)

    def _ensure_up(self):
        pass

    def _tick(self, key):
        content = self.store.read_object(key)
        if content is None:
            return
        plane = self.planes.setdefault(key, WordPlane())
        plane.wanted = read_wanted(parse_inference_service(content), content["metadata"]["generation"])
        told = {
            f"r{int(revision.name[-5:])}": dead(4, "the bundle is damaged")
            if _version(revision) in self.broken
            else READY
            for revision in plane.state.revisions
            if any(server.phase is Phase.STARTING for server in revision.servers)
        }
        plane.look(1.0, **told)
        self.store.write_state(key, plane.state)


def _version(revision):
    variables = revision.template["predictor"]["model"]["env"]
    return next(variable["value"] for variable in variables if variable["name"] == "MODEL_VERSION")
