"""The parts around a rollout's decision: replay, Prometheus, forecasts, the page, the step."""

import json
import re

import httpx
import numpy as np
import pytest
import yaml
from kserve_cluster import KServeCluster, isvc
from rollouts import Callers, Scene

from components.roll_out_model.core import roll_out_model
from mulgil.artifacts import RolloutReference
from mulgil.contract.rollout import Rollout, RolloutStrategy
from mulgil.errors import GateRejectedError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.local.plane.objects import parse_inference_service
from mulgil.reports.rollout_page import render_rollout_page
from mulgil.rollout.drivers.knative import KnativeDriver
from mulgil.rollout.releases import form_of
from mulgil.rollout.replay import ask_by_http, replay, score_of
from mulgil.rollout.simulation import forecast
from mulgil.rollout.sources import Arms
from mulgil.rollout.sources.exposition import parse_samples
from mulgil.rollout.sources.prometheus import PrometheusSource
from mulgil.rollout.starting import plan_rollout
from mulgil.rollout.traffic import ArmTraffic, LatencySamples

ARMS = Arms("heart", "default", stable="1", canary="2")


def fake_prometheus(requests):
    """A Prometheus server that answers with a vector by the version in the query."""

    def answer(request):
        query = request.url.params["query"]
        requests.append((query, float(request.url.params["time"])))
        version = re.search(r'version="(\w+)"', query)[1]
        factor = {"1": 19, "2": 1}[version]
        if "mulgil_requests_total" in query:
            rows = [({"code": "200"}, 95 * factor), ({"code": "503"}, 5 * factor)]
        else:
            rows = [({"le": le}, n * factor) for le, n in (("+Inf", 100), ("0.01", 50), ("0.1", 90))]
        result = [{"metric": metric, "value": [0, str(value)]} for metric, value in rows]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_prometheus_tells_the_increase_of_both_versions_in_the_same_window():
    requests = []
    source = PrometheusSource("http://prometheus:9090/", 15, fake_prometheus(requests))

    traffic, cursor = source.read(ARMS, source.open(ARMS, 1000.0), 1060.0)

    assert (traffic.canary.requests, traffic.canary.errors) == (100, 5)
    assert (traffic.stable.requests, traffic.stable.errors) == (1900, 95)
    assert traffic.canary.latencies.above(np.array([0.01, 0.1])) == pytest.approx([50, 10])
    assert cursor == 1045.0
    assert {at for _, at in requests} == {1045.0}
    assert all("[45s]" in query for query, _ in requests)


def test_a_window_too_short_for_two_scrapes_is_left_to_the_next():
    source = PrometheusSource("http://prometheus:9090", 15, fake_prometheus([]))

    traffic, cursor = source.read(ARMS, 1000.0, 1030.0)

    assert traffic.canary.requests == 0
    assert cursor == 1000.0


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(503, text="no"),
        httpx.Response(200, json={"status": "error", "error": "bad query"}),
        httpx.Response(200, json={"status": "success", "data": {}}),
    ],
)
def test_a_prometheus_that_does_not_answer_is_asked_again_later(response):
    client = httpx.Client(transport=httpx.MockTransport(lambda request: response))

    with pytest.raises(TemporaryError, match="Prometheus"):
        PrometheusSource("http://prometheus:9090", 15, client).read_before(ARMS, 60, 1000)


def test_a_page_of_numbers_is_read_with_labels_and_infinity():
    page = '# TYPE a histogram\na_bucket{le="+Inf",name="x\\"y"} 3\nb 4.5 1700000000\n'

    assert [(s.name, dict(s.labels), s.value) for s in parse_samples(page)] == [
        ("a_bucket", {"le": "+Inf", "name": 'x\\"y'}, 3.0),
        ("b", {}, 4.5),
    ]


def test_a_replay_reports_the_paired_differences():
    rows = [{"x": i / 100} for i in range(100)]

    report, shift = replay(rows, "test rows", lambda r: r["x"], lambda r: r["x"] / 2, 0.005)

    assert report.mean_difference == pytest.approx(-0.2475)
    assert report.absolute_quantiles[2] == pytest.approx(0.495)
    assert report.distance == pytest.approx(0.5, abs=0.02)
    assert report.moved_most[0] == {"row": 99, "stable": 0.99, "candidate": 0.495}
    assert shift is not None


def test_a_row_that_both_refuse_is_not_the_candidates_failure():
    report, _ = replay([{}] * 10, "test rows", lambda r: None, lambda r: None, 0.005)

    assert (report.stable_failures, report.canary_failures) == (10, 0)


def test_few_pairs_are_nothing_to_hold_live_predictions_against():
    assert replay([{}] * 10, "test rows", lambda r: 0.1, lambda r: 0.2, 0.005)[1] is None


@pytest.mark.parametrize(
    ("prediction", "score"),
    [
        (0.3, 0.3),
        (True, 1.0),
        ([0.2, 0.7, 0.1], 0.7),
        ({"a": 0.2, "b": 0.8}, 0.8),
        ("yes", None),
        (None, None),
    ],
)
def test_a_prediction_is_brought_to_one_number(prediction, score):
    assert score_of(prediction) == score


def test_a_replay_never_takes_another_versions_answer_for_the_candidates():
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, json={"predictions": [0.4]}, headers={"X-Model-Version": "1"})
    )
    ask = ask_by_http(httpx.Client(transport=transport), "http://candidate", "heart", "2")

    with pytest.raises(TemporaryError, match="Another version answers"):
        ask({"x": 1})


def stable_traffic(requests=3000, errors=30):
    rng = np.random.default_rng(0)
    latencies = LatencySamples(0.02 * np.exp(0.5 * rng.normal(size=requests)))
    return ArmTraffic(requests=requests, errors=errors, latencies=latencies)


def test_a_forecast_says_that_worse_canaries_touch_fewer_requests():
    cases = {case.canary: case for case in forecast(Rollout(), stable_traffic(), seconds=150)}

    good = cases["as good as the stable version"]
    some, many = cases["5 % more of its requests fail"], cases["20 % more of its requests fail"]
    assert good.promoted > 0.95
    assert some.rolled_back == many.rolled_back == 1.0
    assert good.requests > some.requests > many.requests > 0
    assert cases["20 % slower"].rolled_back > 0.9
    assert cases["1 % slower"].promoted > 0.9


def test_a_forecast_without_latencies_has_the_cases_that_it_can_tell():
    cases = forecast(Rollout(), ArmTraffic(requests=1000, errors=10), seconds=50)

    assert all("slower" not in case.canary for case in cases)


@pytest.mark.parametrize(
    ("strategy", "served", "is_gradual"),
    [
        (RolloutStrategy.AUTOMATIC, 0.0, False),
        (RolloutStrategy.AUTOMATIC, 100.0, True),
        (RolloutStrategy.CANARY, 0.0, True),
        (RolloutStrategy.IMMEDIATE, 100.0, False),
    ],
)
def test_a_version_that_nobody_used_gives_way_at_once(strategy, served, is_gradual):
    callers = Callers(KServeCluster(), rate=served)

    plan = plan_rollout(Rollout(strategy=strategy), isvc("1"), isvc("2"), callers, now=0)

    assert plan.is_gradual is is_gradual


def test_the_first_version_needs_no_rollout():
    assert not plan_rollout(Rollout(), None, isvc("1"), Callers(KServeCluster()), now=0).is_gradual


def test_the_page_says_what_was_seen_why_and_what_it_touched(tmp_path):
    cluster = KServeCluster()
    scene = Scene(tmp_path, KnativeDriver(cluster, lambda manifest: None), Callers(cluster, errors=0.06))
    scene.settle(isvc("1"))
    rollout = scene.drive(scene.start(isvc("2")))

    page = render_rollout_page(rollout)

    assert "rolled back" in page
    assert f"{rollout.exposed:,.0f}" in page
    assert "requests failed" in page
    assert "<script" not in page
    assert "Evidence of harm" in page


class Rollouts:
    """Where a step's rollouts live, in a test."""

    def __init__(self, *references):
        self.references = list(references)

    def begin(self, policy, candidate, dataset_path):
        self.begun = (policy, candidate["metadata"]["name"], dataset_path)
        return self.references.pop(0)

    def wait(self, rollout_id, timeout_seconds):
        return self.references.pop(0)


def reference(is_over, is_promoted=False):
    return RolloutReference(rollout_id="r", is_over=is_over, is_promoted=is_promoted, reason="why")


@pytest.fixture
def run_step(tmp_path):
    def run_step(*references, wait_seconds=0):
        manifest = tmp_path / "manifest.yaml"
        manifest.write_text(yaml.safe_dump(isvc("2")))
        rollouts = Rollouts(*references)
        roll_out_model(
            project_path=SOURCE_ROOT / "projects" / "heart_disease",
            manifest_path=manifest,
            dataset_path=tmp_path,
            rollout_path=tmp_path / "rollout.json",
            wait_seconds=wait_seconds,
            rollouts=rollouts,
        )
        return json.loads((tmp_path / "rollout.json").read_text())

    return run_step


def test_the_step_leaves_a_rollout_to_itself_and_says_how_to_watch_it(run_step, capsys):
    written = run_step(reference(is_over=False))

    assert written["rollout_id"] == "r"
    assert "mulgil rollout watch r" in capsys.readouterr().out


def test_the_step_that_waits_passes_where_the_version_is_promoted(run_step):
    assert run_step(reference(False), reference(True, True), wait_seconds=5)["is_promoted"]


def test_the_step_that_waits_fails_as_a_gate_where_the_version_is_rolled_back(run_step):
    with pytest.raises(GateRejectedError, match="why"):
        run_step(reference(False), reference(True, False), wait_seconds=5)


def test_the_step_that_waits_in_vain_may_be_tried_again(run_step):
    with pytest.raises(TemporaryError, match="Undecided"):
        run_step(reference(False), reference(False), wait_seconds=1)


@pytest.mark.parametrize("is_standard", [False, True])
def test_the_objects_that_a_cluster_takes_are_taken_by_the_serving_plane_too(is_standard):
    stable, candidate = (isvc(number, is_standard=is_standard) for number in ("1", "2"))
    form = form_of(candidate)

    for manifest in (
        form.split(stable, candidate, 5),
        form.promote(stable, candidate),
        *form.restore(stable, candidate),
    ):
        assert parse_inference_service(manifest).metadata.name == "heart"
