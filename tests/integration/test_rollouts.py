"""A rollout from its start to its verdict, on each platform's form of an InferenceService."""

import json
import re

import pytest
from kserve_cluster import KServeCluster, isvc
from plane_of_words import PlaneOfWords
from rollouts import Callers, LateLabels, Scene

from mulgil.contract.labels import LabelKind, Labels
from mulgil.contract.rollout import DeadlineOutcome, Replay, Rollout, RolloutMetric
from mulgil.errors import InputError, PermanentError, TemporaryError
from mulgil.local.plane.traffic_policy import TrafficPolicy
from mulgil.rollout.drivers.knative import KnativeDriver
from mulgil.rollout.drivers.local import LocalDriver
from mulgil.rollout.drivers.standard import StandardDriver
from mulgil.rollout.labels import LabelFiles
from mulgil.rollout.record import Phase, RolloutVerdict
from mulgil.rollout.store import VERDICT, Command
from mulgil.rollout.traffic import ArmTraffic, Traffic

# Each driver, and whether it is given objects of the Standard form; this machine takes both.
PLATFORMS = {
    "knative": (KnativeDriver, False),
    "standard": (StandardDriver, True),
    "local, as Knative": (LocalDriver, False),
    "local, as Standard": (LocalDriver, True),
}
ON_A_CLUSTER = pytest.mark.parametrize("platform", ["knative", "standard"], indirect=True)
ON_THIS_MACHINE = pytest.mark.parametrize(
    "platform", ["local, as Knative", "local, as Standard"], indirect=True
)


@pytest.fixture(params=PLATFORMS)
def platform(request):
    return request.param


@pytest.fixture
def open_scene(platform, tmp_path):
    kind, is_standard = PLATFORMS[platform]

    def open_scene(policy=None, broken=(), **candidate):
        if kind is LocalDriver:
            cluster = PlaneOfWords(tmp_path / "plane", broken)
            driver = LocalDriver(cluster)
        else:
            cluster = KServeCluster(broken)
            driver = kind(cluster, _take_all)
        scene = Scene(tmp_path / "rollouts", driver, Callers(cluster, **candidate), policy)
        scene.is_standard = is_standard
        scene.settle(version(scene, "1"))
        return scene

    return open_scene


def _take_all(manifest):
    pass


def version(scene, number):
    return isvc(number, is_standard=scene.is_standard)


def shares(scene):
    return scene.callers.cluster.share("1"), scene.callers.cluster.share("2")


def test_a_good_candidate_that_predicts_as_the_replay_told_is_promoted(open_scene):
    scene = open_scene()

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.PROMOTED
    assert [step.percent for step in rollout.steps] == [5, 25, 50]
    assert shares(scene) == (0, 100)
    assert rollout.replay.requests == 2000
    assert scene.finished == [rollout]
    spec = scene.driver.read("heart", "default")["spec"]
    wanted = version(scene, "2")["spec"]["predictor"]
    assert spec["predictor"] == (wanted if scene.is_standard else {**wanted, "canaryTrafficPercent": 100})
    assert not spec.get("canary")


@pytest.mark.parametrize(
    ("worse", "named"),
    [
        ({"errors": 0.06}, "requests failed"),
        ({"slower": 1.5}, "took longer"),
        ({"shift": -0.4}, "the replay predicted"),
    ],
)
def test_a_bad_candidate_is_rolled_back_with_no_hand_and_the_requests_it_touched_are_told(
    open_scene, worse, named
):
    scene = open_scene(Rollout(shadow=None), **worse)

    rollout = scene.drive(scene.start(version(scene, "2")))

    verdict = RolloutVerdict.read(scene.store.path(rollout.rollout_id) / VERDICT)
    assert rollout.phase is Phase.ROLLED_BACK
    assert shares(scene) == (100, 0)
    assert named in verdict.reason
    assert verdict.exposed_requests == scene.callers.served["2"] > 0
    assert not verdict.is_by_hand
    item = scene.driver.read("heart", "default")
    assert item["spec"]["predictor"] == version(scene, "1")["spec"]["predictor"]
    # What a merge patch would have left: it cannot take a field away.
    assert not item["spec"].get("canary")


def test_a_candidate_never_has_more_traffic_than_its_step(open_scene):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))
    seen = set()
    while not rollout.phase.is_over:
        rollout = scene.drive(rollout, most_moves=1)
        seen.add((rollout.percent, shares(scene)[1]))

    assert {share for _, share in seen} == {0, 5, 25, 50, 100}
    assert all(share <= wanted for wanted, share in seen)


def test_while_it_is_rolled_back_the_candidate_gets_nothing(open_scene):
    scene = open_scene(errors=0.06)
    rollout = scene.start(version(scene, "2"))
    given = []
    while not rollout.phase.is_over:
        before = rollout.phase
        rollout = scene.drive(rollout, most_moves=1)
        if before is Phase.ROLLING_BACK:
            given.append(shares(scene))

    assert set(given) == {(100, 0)}


def test_a_candidate_that_never_becomes_ready_gets_no_request(open_scene):
    scene = open_scene(broken={"2"})

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "the bundle is damaged" in rollout.reason
    assert rollout.exposed == 0
    assert shares(scene) == (100, 0)


def test_whoever_drives_may_die_at_any_move_and_another_goes_on(open_scene):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))
    moves = 0
    while not rollout.phase.is_over:
        # Each time anew from the disk, as another process would.
        rollout = scene.drive(scene.store.read(rollout.rollout_id), most_moves=1)
        moves += 1

    assert rollout.phase is Phase.PROMOTED
    assert moves > 50


def test_a_move_whose_writing_down_was_lost_is_made_again_to_the_same_end(open_scene):
    scene = open_scene(errors=0.06)
    rollout = scene.start(version(scene, "2"))
    while not rollout.phase.is_over:
        before = scene.store.read(rollout.rollout_id)
        rollout = scene.drive(rollout, most_moves=1)
        if rollout.phase is not before.phase and not rollout.phase.is_over:
            # Killed after the platform was changed and before that was written.
            scene.store.write(before)
            rollout = scene.drive(before, most_moves=1)

    assert rollout.phase is Phase.ROLLED_BACK
    assert shares(scene) == (100, 0)


def test_without_traffic_it_holds_until_the_deadline_and_then_goes_back(open_scene):
    scene = open_scene(Rollout(deadline_hours=0.2, replay=None), rate=0.0)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "Undecided after 0.2 hours" in rollout.reason


def test_a_deadline_may_leave_the_decision_to_a_person(open_scene):
    policy = Rollout(deadline_hours=0.1, on_deadline=DeadlineOutcome.PAUSE, minimum_requests=10**9)
    scene = open_scene(policy)
    rollout = scene.drive(scene.start(version(scene, "2")), most_moves=300)
    assert rollout.phase is Phase.PAUSED
    assert shares(scene) == (95, 5)

    scene.store.command(rollout.rollout_id, Command.PROMOTE)
    rollout = scene.drive(rollout)

    assert rollout.phase is Phase.PROMOTED
    assert rollout.is_by_hand


@pytest.mark.parametrize("moves", [0, 1, 4, 10, 40])
def test_a_person_may_abort_it_at_any_time(open_scene, moves):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))
    rollout = scene.drive(rollout, most_moves=moves)

    scene.store.command(rollout.rollout_id, Command.ABORT)
    rollout = scene.drive(rollout)

    assert rollout.phase is Phase.ROLLED_BACK
    assert shares(scene) == (100, 0)
    assert json.loads((scene.store.path(rollout.rollout_id) / VERDICT).read_text())["is_by_hand"]


@pytest.mark.parametrize(
    ("errors", "phase", "command", "end", "expected"),
    [
        (0.01, Phase.PROMOTING, Command.ABORT, Phase.ROLLED_BACK, (100, 0)),
        (0.06, Phase.ROLLING_BACK, Command.PROMOTE, Phase.PROMOTED, (0, 100)),
    ],
)
def test_a_person_may_turn_one_that_is_on_its_way_to_the_other_end(
    open_scene, errors, phase, command, end, expected
):
    scene = open_scene(errors=errors)
    rollout = scene.start(version(scene, "2"))
    while rollout.phase is not phase:
        rollout = scene.drive(rollout, most_moves=1)

    scene.store.command(rollout.rollout_id, command)
    rollout = scene.drive(rollout)

    assert rollout.phase is end
    assert rollout.is_by_hand
    assert shares(scene) == expected


def test_callers_since_the_last_look_count_among_those_that_it_touched(open_scene):
    scene = open_scene(Rollout(minimum_requests=10**9))
    rollout = scene.start(version(scene, "2"))
    while not rollout.exposed:
        rollout = scene.drive(rollout, most_moves=1)
    looked, rest = rollout.exposed, [ArmTraffic(requests=37, errors=2)]

    def read(arms, cursor, now):
        return Traffic(canary=rest.pop() if rest else ArmTraffic(), stable=ArmTraffic()), now

    scene.callers.read = read
    scene.store.command(rollout.rollout_id, Command.ABORT)
    rollout = scene.drive(rollout)

    verdict = RolloutVerdict.read(scene.store.path(rollout.rollout_id) / VERDICT)
    assert verdict.exposed_requests == looked + 37
    assert verdict.failed_requests >= 2


def test_a_source_that_does_not_answer_keeps_no_candidate_from_going(open_scene):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))
    while not rollout.exposed:
        rollout = scene.drive(rollout, most_moves=1)

    def read(arms, cursor, now):
        raise TemporaryError("it does not answer")

    scene.callers.read = read
    scene.store.command(rollout.rollout_id, Command.ABORT)

    assert scene.drive(rollout).phase is Phase.ROLLED_BACK


def test_a_service_that_is_deleted_meanwhile_is_not_brought_back(open_scene):
    scene = open_scene(Rollout(minimum_requests=10**9))
    rollout = scene.drive(scene.start(version(scene, "2")), most_moves=40)
    assert rollout.phase is Phase.STEPPING
    cluster = scene.callers.cluster
    writes = cluster.writes
    scene.driver.read = lambda name, namespace: None

    rollout = scene.drive(rollout)

    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.reason == "default/heart was deleted."
    assert cluster.writes == writes


def test_what_can_never_be_done_at_the_end_is_told_and_the_rollout_is_over(open_scene):
    scene = open_scene()

    def finish(rollout):
        raise PermanentError("there is no such model version")

    rollout = scene.drive(scene.start(version(scene, "2")), finish=finish)

    assert rollout.phase is Phase.PROMOTED
    assert rollout.events[-1].text == "Not done: there is no such model version"
    assert (scene.store.path(rollout.rollout_id) / VERDICT).exists()


def test_a_replay_in_which_the_candidate_fails_ends_it_before_the_first_percent(open_scene):
    scene = open_scene()
    scene.callers.candidate = lambda scores: scores
    scene.callers.replay = lambda rollout, sight: failing_replay()

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "In the replay the candidate failed 100 of 100" in rollout.reason
    assert rollout.exposed == 0


def failing_replay():
    from mulgil.rollout.replay import replay

    return replay([{}] * 100, "test", lambda row: 0.5, lambda row: None, 0.005)


def test_a_replay_that_is_required_and_has_nothing_to_replay_ends_it(open_scene):
    scene = open_scene(Rollout(replay=Replay(is_required=True)))
    scene.callers.replay = lambda rollout, sight: (None, None)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert "The policy requires it" in rollout.reason


def test_a_source_that_does_not_answer_is_waited_for_and_no_window_counts_twice(open_scene):
    scene = open_scene()
    read, calls = scene.callers.read, []

    def flaky(arms, cursor, now):
        calls.append(cursor)
        if len(calls) % 3 == 0:
            raise TemporaryError("it does not answer")
        return read(arms, cursor, now)

    scene.callers.read = flaky
    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.PROMOTED
    assert sum(step.canary_requests for step in rollout.steps) == scene.callers.served["2"]


@ON_A_CLUSTER
def test_an_edit_that_overtakes_a_write_is_kept(open_scene):
    scene = open_scene()
    scene.callers.cluster.conflicts_to_come = 3

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.PROMOTED


@ON_A_CLUSTER
def test_labels_of_others_stay(open_scene):
    scene = open_scene()
    cluster = scene.callers.cluster
    cluster.objects["default", "heart"]["metadata"]["labels"] = {"team": "cardiology"}

    scene.drive(scene.start(version(scene, "2")))

    assert cluster.objects["default", "heart"]["metadata"]["labels"]["team"] == "cardiology"


def test_only_one_rollout_of_a_service_is_under_way(open_scene):
    scene = open_scene()
    scene.start(version(scene, "2"))

    with pytest.raises(PermanentError, match="is under way"):
        scene.start(version(scene, "3"))


def test_the_version_that_serves_is_no_candidate(open_scene):
    scene = open_scene()

    with pytest.raises(InputError, match="is the one that serves"):
        scene.start(version(scene, "1"))


@ON_A_CLUSTER
@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Rollout(sticky_header="x-user"), "rollout.sticky_header"),
        (Rollout(shadow={"is_required": True}), "rollout.shadow.is_required"),
    ],
)
def test_a_policy_that_asks_more_than_the_platform_can_is_refused_before_anything_changes(
    open_scene, policy, message
):
    scene = open_scene(policy)
    writes = scene.callers.cluster.writes

    with pytest.raises(InputError, match=re.escape(message)):
        scene.start(version(scene, "2"))

    assert scene.callers.cluster.writes == writes
    assert scene.store.list() == []


@ON_THIS_MACHINE
def test_what_this_machine_can_do_beyond_a_cluster_is_taken(open_scene):
    scene = open_scene(Rollout(sticky_header="x-user", shadow={"is_required": True}))

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.PROMOTED
    assert TrafficPolicy(mirror_percent=20) in scene.callers.cluster.policies
    assert TrafficPolicy(sticky_header="x-user") in scene.callers.cluster.policies


@ON_THIS_MACHINE
def test_a_plane_that_was_stopped_on_purpose_is_waited_for_and_not_brought_back(open_scene):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))
    plane = scene.callers.cluster
    plane.is_up = False
    writes = plane.writes

    rollout = scene.drive(rollout, most_moves=3)
    assert rollout.phase is Phase.PLACING
    assert rollout.events[-1].text.startswith("Waiting: The serving plane is down")
    assert plane.writes == writes

    plane.is_up = True
    assert scene.drive(rollout).phase is Phase.PROMOTED


@ON_THIS_MACHINE
def test_a_candidate_that_fails_on_copies_goes_back_before_the_first_percent(open_scene):
    scene = open_scene(errors=0.06)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "copies of live requests" in rollout.reason
    assert rollout.exposed == 0


def test_a_required_metric_that_is_not_measured_is_refused(open_scene):
    scene = open_scene(Rollout(required_metrics=(RolloutMetric.ACCURACY,)))
    scene.callers.measures = frozenset({RolloutMetric.ERROR_RATE})

    with pytest.raises(InputError, match="required_metrics: accuracy"):
        scene.start(version(scene, "2"))


def test_a_driver_refuses_an_object_of_the_other_form(tmp_path):
    cluster = KServeCluster()
    with pytest.raises(InputError, match="use driver=standard"):
        KnativeDriver(cluster).form(isvc("1", is_standard=True))
    with pytest.raises(InputError, match="use driver=knative"):
        StandardDriver(cluster).form(isvc("1"))


def test_a_candidate_that_the_platform_refuses_goes_back_with_the_refusal(open_scene):
    scene = open_scene()
    write, refused = scene.driver.write, []

    def refuse(manifest):
        if manifest["spec"]["predictor"].get("canaryTrafficPercent") == 25 or any(
            canary["trafficPercent"] == 25 for canary in manifest["spec"].get("canary", [])
        ):
            refused.append(manifest)
            raise PermanentError("quota exceeded")
        write(manifest)

    scene.driver.write = refuse
    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "quota exceeded" in rollout.reason
    assert shares(scene) == (100, 0)


def test_only_one_process_drives_a_rollout(open_scene):
    scene = open_scene()
    rollout = scene.start(version(scene, "2"))

    with scene.store.driving(rollout.rollout_id) as is_mine:
        other = scene.drive(rollout)

        assert is_mine
        assert scene.store.is_driven(rollout.rollout_id)
    assert other.phase is Phase.PLACING
    assert not scene.store.is_driven(rollout.rollout_id)


ON_ONE = pytest.mark.parametrize("platform", ["knative"], indirect=True)
REQUIRED = Rollout(required_metrics=(RolloutMetric.ERROR_RATE, RolloutMetric.ACCURACY), steps=(25, 50))


@ON_ONE
@pytest.mark.parametrize("delay", [0.0, 600.0])
def test_a_candidate_that_is_wrong_more_often_goes_back_once_labels_tell_however_late(open_scene, delay):
    # Without the labels it would have been promoted long before.
    scene = open_scene(REQUIRED)
    scene.callers.labels = LateLabels(wrong=0.2, delay=delay)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "labelled predictions were wrong" in rollout.reason


@ON_ONE
def test_a_late_label_counts_once_in_the_step_in_which_was_predicted(open_scene):
    scene = open_scene(REQUIRED)
    labels = scene.callers.labels = LateLabels(wrong=0.1, delay=300.0)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.PROMOTED
    by_accuracy = [
        finding
        for step in rollout.steps
        for finding in step.decision.findings
        if finding.metric is RolloutMetric.ACCURACY
    ]
    come = {v: int(labels._of(v, 0).times.size) for v in ("1", "2")}
    assert sum(finding.canary_requests for finding in by_accuracy) == come["2"] > 0
    assert sum(step.judged[0] for step in rollout.steps) == come["2"]
    # The first step's labels went on coming in the second.
    assert by_accuracy[0].canary_requests < rollout.steps[0].judged[0]


@ON_ONE
def test_of_numbers_the_squared_error_is_held_against_the_stable_versions_own(open_scene):
    scene = open_scene(REQUIRED.model_copy(update={"steps": (25,)}))
    labels = scene.callers.labels = LateLabels(wrong=1.6, stable_wrong=1.0, kind=LabelKind.NUMBER)
    labels.predict("1", 500, scene.time - 3600, scene.time)

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "labelled predictions were wrong" in rollout.reason


@ON_ONE
def test_a_required_accuracy_that_nobody_can_know_yet_keeps_the_candidate_from_callers(open_scene):
    scene = open_scene(REQUIRED)
    scene.callers.labels = LateLabels(wrong=0.1, kind=LabelKind.NUMBER)

    rollout = scene.drive(scene.start(version(scene, "2")), most_moves=100)

    assert rollout.phase is Phase.LEARNING
    assert rollout.events[-1].text.startswith("Waiting: too little is known yet to compare accuracy")
    assert shares(scene) == (100, 0)


@ON_ONE
def test_labels_that_cannot_be_read_are_told_once_and_keep_nobody_from_looking_at_the_rest(open_scene):
    scene = open_scene(errors=0.06)
    scene.callers.labels = LateLabels(wrong=0.1)
    scene.callers.labels.trouble = TemporaryError("labels.csv is half written")

    rollout = scene.drive(scene.start(version(scene, "2")))

    assert rollout.phase is Phase.ROLLED_BACK
    assert "requests failed" in rollout.reason
    told = [event.text for event in rollout.events if "half written" in event.text]
    assert told[0] == "Labels are not counted: labels.csv is half written"
    assert len(told) <= 2


@ON_ONE
def test_labels_of_a_service_that_records_nothing_are_refused(open_scene, tmp_path):
    scene = open_scene()
    labels = Labels(path=str(tmp_path / "none"), prediction_id="id", label="ill")
    scene.label_files = LabelFiles(labels, tmp_path, needs_logger=True)

    with pytest.raises(InputError, match="records none"):
        scene.start(version(scene, "2"))
