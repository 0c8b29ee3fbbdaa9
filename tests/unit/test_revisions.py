"""What happens to servers: begun, begun again, scaled, drained, ended; with neither process nor clock."""

import pytest
from plane_of_words import READY, WordPlane, dead, knative

from mulgil.local.plane.events import MOST_EVENTS, note_events
from mulgil.local.plane.revisions import DRAIN_SECONDS, Phase, Target, rest
from mulgil.local.plane.status import failure_of, fill_status, is_ready

FIRST, SECOND, THIRD = (f"heart-predictor-0000{n}" for n in (1, 2, 3))


@pytest.fixture
def plane():
    return WordPlane()


@pytest.fixture
def serving(plane):
    return plane.apply(knative("a")).ready(1)


def test_a_first_revision_has_no_traffic_before_it_is_ready(plane):
    plane.apply(knative("a"))

    assert plane.phases == {"1.0": "starting"}
    assert plane.shares == {}
    assert "url" not in plane.state.status
    assert not is_ready(plane.state.status, generation=1)


def test_the_old_revision_serves_until_the_new_one_is_ready_and_then_drains(serving):
    serving.apply(knative("b"))
    assert serving.phases == {"1.0": "ready", "2.0": "starting"}
    assert serving.shares == {1: 100}

    serving.ready(2)
    assert serving.phases == {"1.0": "retiring", "2.0": "ready"}
    assert serving.server(FIRST).due_at == serving.now + DRAIN_SECONDS
    assert serving.shares == {2: 100}

    serving.look(DRAIN_SECONDS, r1=dead(0))
    assert serving.phases == {"2.0": "ready"}


def test_a_revision_that_could_come_back_is_remembered_without_a_server(serving):
    serving.apply(knative("b")).ready(2).look(3, r1=dead(0))
    assert [(r.name, r.replicas) for r in serving.state.revisions] == [(FIRST, 0), (SECOND, 1)]

    serving.apply(knative("c")).ready(3).look(3, r2=dead(0))
    assert [r.name for r in serving.state.revisions] == [SECOND, THIRD]


def test_the_same_predictor_again_makes_no_revision(serving):
    serving.apply(knative("a"))

    assert serving.phases == {"1.0": "ready"}
    assert is_ready(serving.state.status, generation=1)


def test_an_overtaken_revision_that_failed_ends_and_one_that_is_starting_goes_on(serving):
    serving.apply(knative("b"))
    serving.apply(knative("c"))
    assert serving.phases == {"1.0": "ready", "2.0": "starting", "3.0": "starting"}

    serving.look(r2=dead(2))
    assert serving.phases == {"1.0": "ready", "2.0": "retiring", "3.0": "starting"}


def test_a_server_that_dies_is_begun_again_and_keeps_the_traffic(serving):
    serving.look(r1=dead(-9))
    assert serving.phases == {"1.0": "pending"}
    assert serving.shares == {1: 100}
    assert serving.condition()["reason"] == "ServerRestarting"
    assert failure_of(serving.state.status, generation=1) is None

    serving.look(0.2)
    assert serving.phases == {"1.0": "starting"}
    assert serving.server(FIRST).port == 40_000

    serving.look(1, r1=READY)
    assert serving.condition()["status"] == "True"


def test_the_wait_before_a_restart_doubles_to_a_bound_and_starts_anew_after_calm(serving):
    waits = []
    for _ in range(12):
        serving.look(r1=dead(1))
        waits.append(serving.server(FIRST).due_at - serving.now)
        serving.look(waits[-1])
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert waits[-1] == 30

    serving.look(r1=READY).look(31)
    assert serving.server(FIRST).failures == 0


def test_a_port_that_another_program_took_is_given_up(serving):
    serving.look(r1=dead(75))

    assert serving.server(FIRST).port is None


def test_a_passing_failure_is_called_failed_only_after_several(plane):
    plane.apply(knative("a"))
    for _ in range(2):
        plane.look(r1=dead(75)).look(1)
        assert failure_of(plane.state.status, generation=1) is None

    plane.look(r1=dead(75))
    assert failure_of(plane.state.status, generation=1) == "the reason"


def test_a_revision_is_ready_once_all_its_servers_are(plane):
    plane.apply(knative("a", minReplicas=2)).look(r1_0=READY)
    assert plane.phases == {"1.0": "ready", "1.1": "starting"}
    assert plane.shares == {}

    plane.look(r1_1=READY)
    assert plane.shares == {1: 100}
    assert plane.state.status["modelStatus"]["copies"] == {"failedCopies": 0, "totalCopies": 2}


def test_one_of_two_servers_that_dies_leaves_the_service_ready(plane):
    plane.apply(knative("a", minReplicas=2)).ready(1)

    plane.look(r1_1=dead(-9))

    assert plane.phases == {"1.0": "ready", "1.1": "pending"}
    assert plane.condition()["status"] == "True"
    assert plane.state.status["modelStatus"]["copies"] == {"failedCopies": 0, "totalCopies": 1}


def test_a_deleted_service_loses_its_route_and_then_its_servers(serving):
    serving.delete()
    assert serving.phases == {"1.0": "retiring"}
    assert serving.shares == {}

    serving.look(r1=dead(0))
    assert serving.state.revisions == ()


def test_after_everything_was_stopped_what_runs_waits_to_be_started(serving):
    serving.apply(knative("b", canaryTrafficPercent=10)).ready(2)
    state = rest(serving.state, serving.now)

    assert [(s.phase, s.process) for s in state.servers.values()] == [(Phase.PENDING, None)] * 2
    assert state.traffic == serving.state.traffic
    status = fill_status(state, serving.wanted, url="http://h", is_up=False, is_routed=False, now=serving.now)
    assert {c["status"] for c in status["conditions"] if c["type"] != "Stopped"} == {"False"}
    assert "mulgil up" in status["conditions"][0]["message"]


def test_a_condition_keeps_the_time_of_its_last_change(serving):
    since = serving.condition()["lastTransitionTime"]

    assert serving.look(100).condition()["lastTransitionTime"] == since
    assert serving.look(100, r1=dead(1)).condition()["lastTransitionTime"] != since


def test_without_a_route_it_is_not_ready(serving):
    assert not is_ready(serving.status(is_routed=False), generation=1)


def test_what_happened_is_told_once_counted_and_bounded(serving):
    before = serving.state.model_copy(update={"events": ()})
    for _ in range(3):
        serving.look(r1=dead(1))
        noted = note_events(before, serving.state.model_copy(update={"events": before.events}), serving.now)
        before = noted
        serving.look(40)

    (event,) = {
        event.reason: event for event in noted.events if event.is_warning and event.reason == "BackOff"
    }.values()
    assert event.message == f"Server {FIRST}-0 ended with 1; it is begun again"

    for number in range(200):
        changed = noted.model_copy(update={"traffic": (Target(revision=FIRST, percent=number),)})
        noted = note_events(noted, changed, float(number))
    assert len(noted.events) == MOST_EVENTS
    assert noted.events[-1].message == f"{FIRST} 199%"
