"""A cluster's InferenceServices with KServe's documented behaviour, as far as releases go.

An object is held against the CRD where it lies beside the checkout, its generation counts changes of the
specification, and a write of an object that has changed since it was read is a conflict. A revision or
deployment takes a few looks until it is ready, or never is.

Source:
    `createKnativeService`, `PropagateStatus` and `applyCanaryWeights` of KServe 0.21.
"""

import copy

from kubernetes.client.exceptions import ApiException
from kubernetes_schemas import CRDS, problems

from mulgil.kserve_modes import MODE_ANNOTATION
from mulgil.rollout.releases import version_of

LOOKS_UNTIL_READY = 2


class KServeCluster:
    """Stands for `kubernetes.client.CustomObjectsApi`."""

    def __init__(self, broken=()):
        self.objects = {}
        self.broken = set(broken)
        self.states = {}
        self.writes = 0
        self.conflicts_to_come = 0

    # The API.

    def get_namespaced_custom_object(self, group, version, namespace, plural, name):
        if (namespace, name) not in self.objects:
            raise ApiException(status=404, reason="Not Found")
        self.reconcile(namespace, name)
        return copy.deepcopy(self.objects[namespace, name])

    def create_namespaced_custom_object(self, group, version, namespace, plural, body, *, field_manager):
        body = self._admitted(body)
        body["metadata"] |= {"generation": 1, "resourceVersion": "1", "uid": "u"}
        self.objects[namespace, body["metadata"]["name"]] = body
        self.reconcile(namespace, body["metadata"]["name"])

    def replace_namespaced_custom_object(
        self, group, version, namespace, plural, name, body, *, field_manager
    ):
        there = self.objects[namespace, name]
        if self.conflicts_to_come:
            self.conflicts_to_come -= 1
            there["metadata"]["resourceVersion"] += "0"
        if body["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
            raise ApiException(status=409, reason="Conflict")
        body = self._admitted(body)
        has_changed = body["spec"] != there["spec"]
        body["metadata"]["generation"] = there["metadata"]["generation"] + has_changed
        self.objects[namespace, name] = {**body, "status": there.get("status", {})}
        self.reconcile(namespace, name)

    def _admitted(self, body):
        body = copy.deepcopy(body)
        wrong = problems({**body, "status": {}} if "status" in body else body) if CRDS.is_dir() else []
        if wrong:
            raise ApiException(status=422, reason="; ".join(wrong))
        self.writes += 1
        return body

    # The controller.

    def share(self, version, name="heart", namespace="default"):
        """Percent of the traffic that a model version gets."""
        return self.states[namespace, name].shares.get(version, 0)

    def reconcile(self, namespace, name):
        item = self.objects[namespace, name]
        kind = _Standard if MODE_ANNOTATION in item["metadata"].get("annotations", {}) else _Knative
        state = self.states.setdefault((namespace, name), kind(name))
        state.reconcile(item, self.broken)
        self.objects[namespace, name]["metadata"]["resourceVersion"] += "1"


class _Workload:
    """A revision or a deployment."""

    def __init__(self, name, version, template):
        self.name, self.version, self.template = name, version, template
        self.looks = 0

    def look(self, broken):
        self.looks += self.version not in broken

    @property
    def is_ready(self):
        return self.looks > LOOKS_UNTIL_READY


def _model_status(is_broken):
    if not is_broken:
        return {"transitionStatus": "UpToDate"}
    return {
        "transitionStatus": "BlockedByFailedLoad",
        "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "the bundle is damaged"},
    }


def _status(item, is_ready, **others):
    return {
        "observedGeneration": item["metadata"]["generation"],
        "conditions": [{"type": "Ready", "status": "True" if is_ready else "Unknown"}],
        **others,
    }


class _Knative:
    def __init__(self, name):
        self.name = name
        self.revisions = []
        self.rolled_out = self.previous = None
        self.shares = {}

    def reconcile(self, item, broken):
        predictor = item["spec"]["predictor"]
        percent = predictor.get("canaryTrafficPercent")
        template = {k: v for k, v in predictor.items() if k != "canaryTrafficPercent"}
        template = [template, item["metadata"].get("annotations", {}), item["metadata"].get("labels", {})]
        if not self.revisions or self.revisions[-1].template != copy.deepcopy(template):
            name = f"{self.name}-predictor-{len(self.revisions) + 1:05d}"
            self.revisions.append(_Workload(name, version_of(item), copy.deepcopy(template)))
        for revision in self.revisions:
            revision.look(broken)
        newest = self.revisions[-1]
        latest = next((r for r in reversed(self.revisions) if r.is_ready), None)
        if latest is None:
            item["status"] = _status(item, False, modelStatus=_model_status(newest.version in broken))
            return
        if self.rolled_out is latest and percent is not None and percent < 100 and self.previous:
            # Taken back after it was promoted.
            self.rolled_out = self.previous
        share = 100 if percent is None or self.rolled_out is None or self.rolled_out is latest else percent
        targets = [{"revisionName": latest.name, "latestRevision": True, "percent": share, "tag": "latest"}]
        self.shares = {latest.version: share}
        if share < 100:
            targets.append({"revisionName": self.rolled_out.name, "percent": 100 - share, "tag": "prev"})
            self.shares[self.rolled_out.version] = self.shares.get(self.rolled_out.version, 0) + 100 - share
        elif self.rolled_out is not latest:
            self.previous, self.rolled_out = self.rolled_out, latest
        for target in targets:
            target["url"] = f"http://{target['tag']}-{self.name}.example"
        item["status"] = _status(
            item,
            newest.is_ready,
            modelStatus=_model_status(newest.version in broken),
            components={
                "predictor": {
                    "latestCreatedRevision": newest.name,
                    "latestReadyRevision": latest.name,
                    "latestRolledoutRevision": self.rolled_out.name,
                    "traffic": targets,
                }
            },
        )


class _Standard:
    def __init__(self, name):
        self.name = name
        self.deployments = {}
        self.shares = {}

    def reconcile(self, item, broken):
        spec = item["spec"]
        wanted = [(spec["predictor"], None), *((c["predictor"], c) for c in spec.get("canary") or [])]
        kept = {}
        for predictor, canary in wanted:
            template = {k: v for k, v in predictor.items() if k not in ("name", "minReplicas")}
            merged = {**spec["predictor"], **template} if canary else template
            known = self.deployments.get(predictor.get("name", ""))
            if known is None or known.template["model"] != template["model"]:
                version = version_of({**item, "spec": {"predictor": merged}})
                known = _Workload(predictor.get("name", ""), version, copy.deepcopy(template))
            known.look(broken)
            kept[known.name] = known
        self.deployments = kept
        stable = kept[spec["predictor"].get("name", "")]
        statuses = []
        self.shares = {}
        for predictor, canary in wanted[1:]:
            deployment = kept[predictor["name"]]
            # One that is not ready gets nothing, whatever it is to get.
            share = canary["trafficPercent"] if deployment.is_ready else 0
            self.shares[deployment.version] = share
            statuses.append(
                {
                    "name": predictor["name"],
                    "ready": deployment.is_ready,
                    "trafficPercent": share,
                    "modelStatus": _model_status(deployment.version in broken),
                }
            )
        self.shares[stable.version] = 100 - sum(self.shares.values())
        item["status"] = _status(
            item,
            stable.is_ready,
            modelStatus=_model_status(stable.version in broken),
            canaryStatuses=statuses,
        )


def isvc(version, *, is_standard=False, name="heart"):
    """Return the object of a model version."""
    predictor = {
        "minReplicas": 1,
        "model": {
            "modelFormat": {"name": "mulgil"},
            "runtime": "mulgil-model-server",
            "storageUri": f"s3://models/heart/{version}",
            "env": [{"name": "MODEL_VERSION", "value": version}],
        },
    }
    annotations = {"mulgil.dev/model-version": version}
    if is_standard:
        annotations[MODE_ANNOTATION] = "Standard"
        predictor["name"] = f"v{version}"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"predictor": predictor},
    }
