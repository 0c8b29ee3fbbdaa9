"""What happens to revisions, and the status that tells of it, with neither process nor clock."""

import pytest

from mulgil.local.plane.processes import ProcessIdentity
from mulgil.local.plane.revisions import (
    DRAIN_SECONDS,
    Observation,
    Phase,
    ServiceState,
    Wanted,
    reconcile,
    rest,
)
from mulgil.local.plane.status import failure_of, fill_status, is_ready

ALIVE = Observation(is_alive=True)
READY = Observation(is_alive=True, is_ready=True)
FIRST, SECOND, THIRD = (f"heart-predictor-0000{n}" for n in (1, 2, 3))


def dead(exit_code=1):
    return Observation(is_alive=False, exit_code=exit_code, log_tail="the reason")


class Plane:
    """A service whose servers are words."""

    def __init__(self):
        self.state = ServiceState()
        self.now = 1000.0
        self.generation = 0
        self.predictor = None

    def apply(self, predictor):
        self.predictor = predictor
        self.generation += 1
        return self.look()

    def look(self, seconds=0.0, **seen):
        """Let time pass and see; a pending server that is due is begun, as the supervisor would."""
        self.now += seconds
        wanted = self.predictor and Wanted("heart", self.generation, {"of": self.predictor}, self.predictor)
        seen = {f"heart-predictor-{int(name[1:]):05d}": what for name, what in seen.items()}
        for revision in self.state.revisions:
            if revision.process is not None:
                seen.setdefault(revision.name, READY if revision.phase is Phase.READY else ALIVE)
        self.state = reconcile(self.state, wanted, seen, self.now)
        self.state = self.state.model_copy(
            update={"revisions": tuple(map(self._begin, self.state.revisions))}
        )
        self.state = self.state.model_copy(update={"status": self.status()})
        return self

    def _begin(self, revision):
        if revision.phase is not Phase.PENDING or self.now < revision.due_at:
            return revision
        process = ProcessIdentity(pid=1, boot="b", started=int(self.now))
        return revision.enter(Phase.STARTING, self.now, process=process, port=revision.port or 40_000)

    def status(self, is_up=True, is_routed=True):
        return fill_status(self.state, url="http://h", is_up=is_up, is_routed=is_routed, now=self.now)

    @property
    def phases(self):
        return {revision.name: revision.phase for revision in self.state.revisions}

    @property
    def condition(self):
        return next(c for c in self.state.status["conditions"] if c["type"] == "Ready")

    @property
    def predictor_status(self):
        return self.state.status["components"]["predictor"]


@pytest.fixture
def plane():
    return Plane()


@pytest.fixture
def serving(plane):
    return plane.apply("a").look(r1=READY)


def test_a_first_revision_has_no_traffic_before_it_is_ready(plane):
    plane.apply("a")

    assert plane.phases == {FIRST: Phase.STARTING}
    assert plane.condition["status"] == "Unknown"
    assert plane.predictor_status == {"latestCreatedRevision": FIRST}
    assert "url" not in plane.state.status


def test_a_revision_that_is_ready_has_all_the_traffic(serving):
    assert serving.condition["status"] == "True"
    assert serving.state.status["url"] == "http://h"
    assert serving.predictor_status["traffic"] == [
        {"revisionName": FIRST, "percent": 100, "latestRevision": True}
    ]
    assert is_ready(serving.state.status, generation=1)
    assert not is_ready(serving.state.status, generation=2)


def test_the_same_predictor_again_makes_no_revision(serving):
    serving.apply("a")

    assert serving.phases == {FIRST: Phase.READY}
    assert is_ready(serving.state.status, generation=2)


def test_the_old_revision_serves_until_the_new_one_is_ready_and_then_drains(serving):
    serving.apply("b")
    assert serving.phases == {FIRST: Phase.READY, SECOND: Phase.STARTING}
    assert serving.state.latest_ready == FIRST
    assert serving.condition["status"] == "Unknown"

    serving.look(r2=READY)
    assert serving.phases == {FIRST: Phase.RETIRING, SECOND: Phase.READY}
    assert serving.state.find(FIRST).due_at == serving.now + DRAIN_SECONDS
    assert serving.predictor_status["latestReadyRevision"] == SECOND
    assert serving.predictor_status["latestRolledoutRevision"] == SECOND
    assert serving.predictor_status["previousRolledoutRevision"] == FIRST

    serving.look(DRAIN_SECONDS, r1=dead(0))
    assert serving.phases == {SECOND: Phase.READY}


def test_a_revision_that_cannot_load_leaves_the_old_one_serving(serving):
    serving.apply("b").look(r2=dead(2))

    assert serving.state.latest_ready == FIRST
    assert serving.phases[FIRST] is Phase.READY
    assert serving.condition["status"] == "False"
    assert serving.predictor_status["traffic"][0]["revisionName"] == FIRST
    assert serving.state.status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert serving.state.status["modelStatus"]["lastFailureInfo"]["exitCode"] == 2
    assert failure_of(serving.state.status, generation=2) == "the reason"


def test_going_back_to_what_serves_ends_what_was_to_replace_it(serving):
    serving.apply("b").look(r2=dead(2))
    serving.apply("a")

    assert serving.phases == {FIRST: Phase.READY, SECOND: Phase.RETIRING}
    assert is_ready(serving.state.status, generation=3)


def test_a_revision_that_was_overtaken_before_it_was_ready_ends_at_once(serving):
    serving.apply("b").apply("c")

    assert serving.phases == {FIRST: Phase.READY, SECOND: Phase.RETIRING, THIRD: Phase.STARTING}
    assert serving.state.find(SECOND).due_at == serving.now


def test_a_server_that_dies_is_begun_again_and_keeps_the_traffic(serving):
    serving.look(r1=dead(-9))
    assert serving.phases == {FIRST: Phase.PENDING}
    assert serving.state.latest_ready == FIRST
    assert serving.condition["reason"] == "ServerRestarting"
    assert failure_of(serving.state.status, generation=1) is None

    serving.look(0.2)
    assert serving.phases == {FIRST: Phase.STARTING}
    assert serving.state.find(FIRST).port == 40_000

    serving.look(1, r1=READY)
    assert serving.condition["status"] == "True"


def test_the_wait_before_a_restart_doubles_to_a_bound_and_starts_anew_after_calm(serving):
    waits = []
    for _ in range(12):
        serving.look(r1=dead(1))
        revision = serving.state.find(FIRST)
        waits.append(revision.due_at - serving.now)
        serving.look(waits[-1])
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert waits[-1] == 30

    serving.look(r1=READY).look(31)
    assert serving.state.find(FIRST).failures == 0


def test_a_port_that_another_program_took_is_given_up(serving):
    serving.look(r1=dead(75))

    assert serving.state.find(FIRST).port is None


def test_a_passing_failure_is_called_failed_only_after_several(plane):
    plane.apply("a")
    for _ in range(2):
        plane.look(r1=dead(75)).look(1)
        assert failure_of(plane.state.status, generation=1) is None

    plane.look(r1=dead(75))
    assert failure_of(plane.state.status, generation=1) == "the reason"


def test_a_deleted_service_loses_its_route_and_then_its_servers(serving):
    serving.predictor = None
    serving.look()
    assert serving.phases == {FIRST: Phase.RETIRING}
    assert serving.state.serving is None

    serving.look(r1=dead(0))
    assert serving.state.revisions == ()


def test_after_everything_was_stopped_the_serving_revision_waits_to_be_started(serving):
    serving.apply("b").look(r2=READY)
    state = rest(serving.state, serving.now)

    assert [(r.name, r.phase, r.process) for r in state.revisions] == [(SECOND, Phase.PENDING, None)]
    status = fill_status(state, url="http://h", is_up=False, is_routed=False, now=serving.now)
    assert {c["status"] for c in status["conditions"]} == {"False"}
    assert "mulgil up" in status["conditions"][0]["message"]


def test_a_condition_keeps_the_time_of_its_last_change(serving):
    since = serving.condition["lastTransitionTime"]

    assert serving.look(100).condition["lastTransitionTime"] == since
    assert serving.look(100, r1=dead(1)).condition["lastTransitionTime"] != since


def test_without_a_route_it_is_not_ready(serving):
    status = serving.status(is_routed=False)

    assert not is_ready(status, generation=1)
