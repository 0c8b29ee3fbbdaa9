"""Releases with real servers behind a real Envoy: a canary walked, promoted and taken back; who gets it."""

import os
import signal
import time

import pytest
from kserve_types import misfits
from serving_planes import SECONDS, Traffic, a_laptop, manifest, share_of, wait_until, write_bundles

from mulgil.local.plane import processes
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.traffic_policy import TrafficPolicy


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return write_bundles(tmp_path_factory.mktemp("models"))


@pytest.fixture
def laptop(tmp_path):
    with a_laptop(tmp_path / "serving") as laptop:
        yield laptop


def test_a_canary_is_walked_promoted_and_taken_back_without_a_failed_request(laptop, bundles):
    url = laptop.deploy(bundles / "first", version="1")

    def walk(percent):
        item = manifest(bundles / "second", "2")
        if percent is not None:
            item["spec"]["predictor"]["canaryTrafficPercent"] = percent
        laptop.plane.apply(item)
        return laptop.plane.wait_ready("heart", "default", SECONDS)["status"]

    with Traffic(url) as traffic:
        status = walk(50)
        assert [t["percent"] for t in status["components"]["predictor"]["traffic"]] == [50, 50]
        counts = share_of(url, 200)
        assert min(counts.values()) > 50
        assert set(share_of(f"{url}/tags/prev", 5)) == {"1"}
        assert walk(0)["components"]["predictor"]["latestRolledoutRevision"] == "heart-predictor-00001"
        assert set(share_of(url, 50)) == {"1"}
        walk(None)
        assert set(share_of(url, 50)) == {"2"}
        # The first revision's server ends meanwhile, and is begun again for the rollback.
        wait_until(lambda: len(laptop.processes()) == 4)
        assert walk(0)["components"]["predictor"]["latestRolledoutRevision"] == "heart-predictor-00001"
        assert set(share_of(url, 50)) == {"1"}

    assert traffic.failures == []
    assert misfits(laptop.plane.get("heart"), "V1beta1InferenceService") == []


def test_a_canary_in_the_standard_form_is_promoted_by_name(laptop, bundles):
    def standard(bundle, version, name="", canary=None):
        item = manifest(bundle, version)
        item["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Standard"}
        item["spec"]["predictor"]["name"] = name
        if canary:
            predictor = {**manifest(bundles / "second", "2")["spec"]["predictor"], "name": "v2"}
            item["spec"]["canary"] = [{"predictor": predictor, "trafficPercent": canary}]
        laptop.plane.apply(item)
        return laptop.plane.wait_ready("heart", "default", SECONDS)["status"]

    url = standard(bundles / "first", "1")["url"]
    with Traffic(url) as traffic:
        status = standard(bundles / "first", "1", canary=40)
        assert [(c["name"], c["ready"]) for c in status["canaryStatuses"]] == [("v2", True)]
        assert min(share_of(url, 200).values()) > 40
        canary = laptop.store.read_state(ServiceKey("default", "heart")).newest.servers[0].process
        standard(bundles / "second", "2", name="v2")
        assert set(share_of(url, 50)) == {"2"}

    assert traffic.failures == []
    assert laptop.server() == canary
    assert misfits(laptop.plane.get("heart"), "V1beta1InferenceService") == []


def test_a_policy_mirrors_sticks_and_matches_and_each_purpose_is_counted(laptop, bundles):
    laptop.deploy(bundles / "first", version="1")
    item = manifest(bundles / "second", "2")
    item["spec"]["predictor"]["canaryTrafficPercent"] = 0
    laptop.plane.apply(item)
    url = laptop.plane.wait_ready("heart", "default", SECONDS)["status"]["url"]

    def hold(**policy):
        before = laptop.routes()
        laptop.plane.set_traffic_policy("heart", "default", TrafficPolicy(**policy))
        wait_until(lambda: laptop.routes() != before)

    def counted():
        return laptop.plane.read_traffic_statistics("heart").revisions

    hold(mirror_percent=100)
    assert share_of(url, 40) == {"1": 40}
    wait_until(lambda: counted()["heart-predictor-00002"].mirrored.total == 40)
    assert counted()["heart-predictor-00001"].shared.answers == {"2xx": 40}
    assert counted()["heart-predictor-00002"].shared.total == 0

    hold(match_header="x-group", match_value="b")
    assert share_of(url, 5, **{"x-group": "b"}) == {"2": 5}
    assert share_of(url, 5, **{"x-group": "a"}) == {"1": 5}

    hold(sticky_header="x-user")

    def who_has_the_candidate(percent):
        item["spec"]["predictor"]["canaryTrafficPercent"] = percent
        laptop.plane.apply(item)
        laptop.plane.wait_ready("heart", "default", SECONDS)
        versions = {user: share_of(url, 3, **{"x-user": str(user)}) for user in range(60)}
        assert all(len(counts) == 1 for counts in versions.values())
        return {user for user, counts in versions.items() if "2" in counts}

    some, more = who_has_the_candidate(20), who_has_the_candidate(50)
    assert 0 < len(some) < len(more) < 60
    assert some < more

    direct = laptop.plane.revision_urls("heart")["heart-predictor-00002"]
    assert share_of(direct, 7) == {"2": 7}
    wait_until(lambda: counted()["heart-predictor-00002"].direct.total == 7)


def test_one_of_two_servers_killed_costs_no_request_that_comes_after(laptop, bundles):
    item = manifest(bundles / "first")
    item["spec"]["predictor"]["minReplicas"] = 2
    laptop.plane.apply(item)
    url = laptop.plane.wait_ready("heart", "default", SECONDS)["status"]["url"]
    killed, other = (
        s.process for s in laptop.store.read_state(ServiceKey("default", "heart")).servers.values()
    )
    # What notices first is Envoy alone.
    os.kill(laptop.supervisor.pid, signal.SIGKILL)

    with Traffic(url) as traffic:
        time.sleep(0.3)
        os.kill(killed.pid, signal.SIGKILL)
        time.sleep(0.5)
        laptop.plane.up()
        wait_until(
            lambda: len(laptop.store.read_state(ServiceKey("default", "heart")).newest.ready_servers) == 2
        )

    assert processes.is_alive(other)
    assert len(traffic.failures) <= 1
