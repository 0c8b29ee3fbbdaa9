"""A rollout's decision: what rolls a canary back, what holds it, what lets it on, and why it says so."""

import numpy as np
import pytest

from mulgil.contract.rollout import Rollout, RolloutMetric
from mulgil.rollout.analysis import Action, decide
from mulgil.rollout.comparisons import Preparation, compare, cut_latencies, learn_shift
from mulgil.rollout.evidence import TwoArms
from mulgil.rollout.traffic import ArmTraffic, LatencyHistogram, LatencySamples, Traffic, count_events
from mulgil.rollout.weighing import enter_step, no_evidence, weigh

POLICY = Rollout()
ALL = tuple(RolloutMetric)


class Service:
    """Draws what two versions serve."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def scores(self, n, mean=0.0):
        return 1 / (1 + np.exp(-(mean + 1.5 * self.rng.normal(size=n))))

    def candidate_scores(self, stable):
        """Another model, that predicts differently and is meant to."""
        logits = np.log(stable / (1 - stable)) * 1.2 + 0.8
        return 1 / (1 + np.exp(-logits))

    def arm(self, n, *, errors=0.01, slower=1.0, scores=None, labelled=0, wrong=0.1):
        return ArmTraffic(
            requests=n,
            errors=float(self.rng.binomial(n, errors)),
            latencies=LatencySamples(0.02 * slower * np.exp(0.5 * self.rng.normal(size=n))),
            scores=scores,
            labelled=labelled,
            wrong=float(self.rng.binomial(labelled, wrong)),
        )


def prepare(service, metrics=ALL):
    stable = service.scores(3000)
    return Preparation(
        metrics=metrics,
        latency=cut_latencies(service.arm(2000).latencies.seconds, POLICY.latency.quantiles, 1.05, 1.2),
        shift=learn_shift(stable, service.candidate_scores(stable), 0.005),
        greatest_loss=0.5,
    )


def walk(canary_of, stable_of, prepared, *, policy=POLICY, windows=60, step=0):
    """Decide after every window until it does not hold; return the last decision and the windows."""
    asked = compare(policy, prepared)
    evidence = no_evidence(np.zeros(len(asked.names)), np.zeros(len(asked.names)), len(policy.steps))
    seen = TwoArms(*(np.zeros(len(asked.names)) for _ in range(4)))
    requests = 0.0
    for window in range(windows):
        traffic = Traffic(canary_of(window), stable_of(window))
        counts = count_events(traffic, prepared)
        evidence = weigh(evidence, asked, counts, step)
        seen = TwoArms(*(a + b for a, b in zip(seen, counts.harm, strict=True)))
        requests += traffic.canary.requests
        decision = decide(
            policy, asked, evidence, seen, step=step, requests=requests, latency=prepared.latency
        )
        if decision.action is not Action.HOLD:
            break
    return decision, window + 1


@pytest.fixture
def service():
    return Service()


def good_pair(service):
    """Both arms of a candidate that predicts differently, as the replay told."""
    return (
        lambda _: service.arm(60, scores=service.candidate_scores(service.scores(60))),
        lambda _: service.arm(1000, scores=service.scores(1000)),
    )


def test_a_canary_that_is_as_good_and_predicts_as_the_replay_told_advances(service):
    decision, _ = walk(*good_pair(service), prepare(service))

    assert decision.action is Action.ADVANCE
    assert "excluded with 90% certainty" in decision.reason


def test_after_the_last_step_it_is_promoted(service):
    decision, _ = walk(*good_pair(service), prepare(service), step=2)

    assert decision.action is Action.PROMOTE


@pytest.mark.parametrize(
    ("worse", "named"),
    [
        ({"errors": 0.10}, "requests failed"),
        ({"slower": 1.5}, "took longer than"),
        ({"labelled": 60, "wrong": 0.5}, "labelled predictions were wrong"),
    ],
)
def test_a_canary_that_is_worse_is_rolled_back_and_the_reason_names_it(service, worse, named):
    decision, windows = walk(
        lambda _: service.arm(60, scores=service.candidate_scores(service.scores(60)), **worse),
        lambda _: service.arm(1000, scores=service.scores(1000), labelled=500),
        prepare(service),
    )

    assert decision.action is Action.ROLL_BACK
    assert named in decision.reason
    assert windows < 15


def test_predictions_that_are_the_stable_versions_but_not_what_the_replay_told_are_harm(service):
    decision, _ = walk(
        lambda _: service.arm(60, scores=service.scores(60)),
        lambda _: service.arm(1000, scores=service.scores(1000)),
        prepare(service),
    )

    assert decision.action is Action.ROLL_BACK
    assert "the replay predicted" in decision.reason


def test_inputs_that_drift_for_both_versions_alike_are_no_harm(service):
    def stable(n):
        return service.scores(n, mean=1.5)

    decision, _ = walk(
        lambda _: service.arm(60, scores=service.candidate_scores(stable(60))),
        lambda _: service.arm(1000, scores=stable(1000)),
        prepare(service),
    )

    assert decision.action is Action.ADVANCE


def test_a_bad_hour_that_hits_both_versions_alike_is_no_harm(service):
    def errors(window):
        return 0.3 if 5 <= window < 40 else 0.01

    decision, _ = walk(
        lambda w: service.arm(
            60, errors=errors(w), slower=3, scores=service.candidate_scores(service.scores(60))
        ),
        lambda w: service.arm(1000, errors=errors(w), slower=3, scores=service.scores(1000)),
        prepare(service),
        windows=40,
    )

    assert decision.action is not Action.ROLL_BACK


def test_no_traffic_is_never_success(service):
    decision, windows = walk(lambda _: ArmTraffic(), lambda _: service.arm(1000), prepare(service))

    assert (decision.action, windows) == (Action.HOLD, 60)
    assert "no traffic is never success" in decision.reason


def test_few_requests_hold_however_good_they_are(service):
    policy = POLICY.model_copy(update={"minimum_requests": 10**6})
    decision, _ = walk(*good_pair(service), prepare(service), policy=policy)

    assert decision.action is Action.HOLD
    assert "the policy wants 1,000,000" in decision.reason


def test_labels_that_never_come_hold_nobody_up_unless_they_are_asked_for(service):
    policy = POLICY.model_copy(update={"required_metrics": (RolloutMetric.ACCURACY,)})

    assert walk(*good_pair(service), prepare(service))[0].action is Action.ADVANCE
    assert walk(*good_pair(service), prepare(service), policy=policy)[0].action is Action.HOLD


def test_what_is_not_measured_is_not_compared_and_its_share_goes_to_the_others(service):
    prepared = prepare(service, metrics=(RolloutMetric.ERROR_RATE, RolloutMetric.LATENCY))
    asked = compare(POLICY, prepared)

    assert asked.names == ("error_rate", "latency p50", "latency p95")
    assert asked.shares == pytest.approx([0.5, 0.25, 0.25])


def test_the_shares_of_the_error_level_sum_to_one(service):
    assert compare(POLICY, prepare(service)).shares.sum() == pytest.approx(1)


def test_harm_that_shows_only_in_a_later_step_is_found_although_all_was_good_before(service):
    prepared = prepare(service, metrics=(RolloutMetric.ERROR_RATE,))
    asked = compare(POLICY, prepared)
    evidence = no_evidence(np.zeros(1), np.zeros(1), 3)
    for _ in range(200):
        counts = count_events(Traffic(service.arm(60), service.arm(1000)), prepared)
        evidence = weigh(evidence, asked, counts, 0)
    evidence = enter_step(evidence)
    for window in range(20):
        counts = count_events(Traffic(service.arm(250, errors=0.05), service.arm(750)), prepared)
        evidence = weigh(evidence, asked, counts, 1)
        decision = decide(POLICY, asked, evidence, counts.harm, step=1, requests=250.0 * (window + 1))
        if decision.action is not Action.HOLD:
            break

    assert decision.action is Action.ROLL_BACK


def test_a_new_step_must_show_anew_that_it_is_safe(service):
    evidence = no_evidence(np.zeros(2), np.zeros(2), 3)
    shown = evidence.model_copy(update={"safety": np.array([5.0, 5.0])})

    assert not enter_step(shown).safety.any()


def test_evidence_survives_the_way_to_a_file_and_back(service):
    evidence = no_evidence(np.array([3.0, 4.0]), np.array([30.0, 40.0]), 3)

    back = type(evidence).model_validate_json(evidence.model_dump_json())

    assert back.model_dump() == evidence.model_dump()


def test_a_histogram_counts_within_a_bucket_by_its_share():
    histogram = LatencyHistogram(np.array([0.01, 0.02, np.inf]), np.array([10.0, 30.0, 40.0]))

    assert histogram.above(np.array([0.01, 0.015, 0.02, 5.0])) == pytest.approx([30, 20, 10, 10])
    assert histogram.count() == 40
