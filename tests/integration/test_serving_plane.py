"""The local serving plane with real servers behind a real Envoy, and what happens when parts of it die."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve_types import misfits
from served_bundles import ROW, SPARSE_ROW, network
from serving_planes import (
    SECONDS,
    Traffic,
    a_laptop,
    manifest,
    predict,
    share_of,
    wait_until,
    write_bundles,
)

import mulgil
from mulgil.errors import InputError, PermanentError, TemporaryError
from mulgil.local.plane import client, processes
from mulgil.local.plane.client import ServingPlane
from mulgil.local.plane.code_version import code_version
from mulgil.local.plane.revisions import ServiceKey
from mulgil.prediction_log.reading import read_predictions


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return write_bundles(tmp_path_factory.mktemp("models"))


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def laptop(tmp_path):
    with a_laptop(tmp_path / "serving") as laptop:
        yield laptop


@pytest.mark.anyio
async def test_kserves_clients_reach_a_model_through_envoy(laptop, bundles):
    url = laptop.deploy(bundles / "first", version="3")
    expected = network(0).predict(ROW, SPARSE_ROW)

    async with InferenceRESTClient(RESTConfig(protocol="v1")) as v1:
        assert await v1.is_server_live(url)
        answer = await v1.infer(url, {"instances": [ROW, SPARSE_ROW]}, model_name="heart")
        assert answer["predictions"] == pytest.approx(expected, abs=1e-6)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as v2:
        assert await v2.is_server_ready(url)
        inputs = [
            InferInput("age", [1], "INT64", data=[ROW["age"]]),
            InferInput("oldpeak", [1], "FP64", data=[ROW["oldpeak"]]),
            InferInput("exang", [1], "BOOL", data=[ROW["exang"]]),
            InferInput("thal", [1], "BYTES", data=[ROW["thal"]]),
            InferInput("income", [1], "FP64", data=[ROW["income"]]),
        ]
        headers = {}
        answer = await v2.infer(
            url,
            InferRequest("heart", inputs),
            model_name="heart",
            headers={"X-Request-Id": "mine"},
            response_headers=headers,
        )
        assert answer.outputs[0].data == pytest.approx(expected[:1], abs=1e-6)
        assert (headers["x-model-version"], headers["x-request-id"]) == ("3", "mine")


# Triton's gRPC messages and KServe's are of the same names, which one process holds once.
TRITON_OVER_GRPC = """
import sys
import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

def infer(authority, row):
    options = [("grpc.default_authority", authority)]
    with grpc.InferenceServerClient(sys.argv[1], channel_args=options) as client:
        tensor = grpc.InferInput("rows", [1, 5], "FP64")
        tensor.set_data_from_numpy(np.array([row]))
        answer = client.infer("heart", [tensor])
        return answer.get_response().model_version, answer.as_numpy("probability").tolist()

print(*infer("heart.default.example.com", [63, 2.3, 1, 6, 41_000.0]))
for authority, age in (("heart.default", 3), ("lung.default", 63)):
    try:
        infer(authority, [age, 2.3, 1, 6, 41_000.0])
    except InferenceServerException as exc:
        print(exc.status(), exc.message())
"""


@pytest.mark.anyio
async def test_grpc_clients_reach_a_model_through_envoy_by_its_host(laptop, bundles):
    wanted = manifest(bundles / "first", version="3")
    wanted["spec"]["predictor"]["model"]["protocolVersion"] = "grpc-v2"
    laptop.plane.apply(wanted)
    url = laptop.plane.wait_ready("heart", "default", SECONDS)["status"]["url"]
    address = laptop.plane.base_url.removeprefix("http://")
    expected = network(0).predict(ROW)

    client = InferenceGRPCClient(address, channel_args=[("grpc.default_authority", "heart.default")])
    rows = InferInput("rows", [1, 5], "FP64", data=[63, 2.3, 1, 6, 41_000])
    answer = await client.infer(InferRequest("heart", [rows]))
    await client.close()
    by_triton = subprocess.run(
        [sys.executable, "-c", TRITON_OVER_GRPC, address], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert (answer.model_version, answer.outputs[0].data) == ("3", pytest.approx(expected, abs=1e-6))
    version, scores = by_triton[0].split(maxsplit=1)
    assert (version, json.loads(scores)) == ("3", pytest.approx(expected, abs=1e-6))
    assert by_triton[1].startswith("StatusCode.INVALID_ARGUMENT") and "column age" in by_triton[1]
    assert by_triton[2].startswith("StatusCode.UNIMPLEMENTED") and "NAME.NAMESPACE" in by_triton[2]
    # REST goes on beside it, by path and, as on a cluster, by host.
    assert predict(url) == ("3", pytest.approx(expected[0], abs=1e-6))
    by_host = httpx.get(f"http://{address}/v2/models/heart", headers={"Host": "heart.default.example.com"})
    assert by_host.json()["versions"] == ["3"]

    def counted():
        return laptop.plane.read_traffic_statistics("heart").revisions["heart-predictor-00001"].shared

    assert counted().answers == {"2xx": 4, "4xx": 1}
    # Envoy brings its histograms up to date every few seconds.
    wait_until(lambda: sum(count for _, count in counted().latency) == 5)


def test_a_second_version_takes_over_without_a_failed_request(laptop, bundles):
    url = laptop.deploy(bundles / "first", version="1")
    first = laptop.server()

    with Traffic(url) as traffic:
        time.sleep(0.3)
        laptop.deploy(bundles / "second", version="2")
        wait_until(lambda: not processes.is_alive(first))
        time.sleep(0.3)

    assert traffic.failures == []
    assert len(traffic.versions) > 50
    switched = traffic.versions.index("2")
    assert set(traffic.versions[:switched]) == {"1"}
    assert "1" not in traffic.versions[switched + 2 :]
    assert predict(url) == ("2", pytest.approx(network(1).predict(ROW)[0], abs=1e-6))
    assert laptop.plane.get("heart")["status"]["components"]["predictor"] == {
        "latestCreatedRevision": "heart-predictor-00002",
        "latestReadyRevision": "heart-predictor-00002",
        "latestRolledoutRevision": "heart-predictor-00002",
        "previousRolledoutRevision": "heart-predictor-00001",
        "traffic": [{"revisionName": "heart-predictor-00002", "percent": 100, "latestRevision": True}],
        "url": url,
        "address": {"url": url},
    }


def test_the_status_has_only_fields_of_kserve(laptop, bundles):
    laptop.deploy(bundles / "first")
    with pytest.raises(PermanentError):
        laptop.deploy(bundles / "broken")
    item = laptop.plane.get("heart")

    assert misfits(item, "V1beta1InferenceService") == []
    assert "lastFailureInfo" in item["status"]["modelStatus"]


def test_the_same_object_again_changes_nothing(laptop, bundles):
    laptop.deploy(bundles / "first")
    before, server = laptop.plane.get("heart"), laptop.server()

    laptop.deploy(bundles / "first")

    assert laptop.plane.get("heart") == before
    assert laptop.server() == server
    assert before["metadata"]["generation"] == before["status"]["observedGeneration"] == 1


def test_a_model_that_cannot_be_served_leaves_the_old_one_and_says_why(laptop, bundles):
    url = laptop.deploy(bundles / "first")

    with pytest.raises(PermanentError, match="gives another prediction here") as refusal:
        laptop.deploy(bundles / "broken", version="2")

    assert "heart-predictor-00002" in str(refusal.value)
    assert predict(url)[0] == "1"
    status = laptop.plane.get("heart")["status"]
    assert status["modelStatus"]["lastFailureInfo"]["exitCode"] == 2
    assert status["components"]["predictor"]["latestReadyRevision"] == "heart-predictor-00001"


def test_a_model_that_is_not_ready_in_time_is_told_with_its_log(laptop, bundles):
    laptop.plane.apply(manifest(bundles / "first"))

    with pytest.raises(TemporaryError, match=r"default/heart is not ready after 0 s"):
        laptop.plane.wait_ready("heart", "default", 0)


def test_a_killed_server_comes_back_and_its_requests_with_it(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    killed = laptop.server()

    with Traffic(url) as traffic:
        time.sleep(0.1)
        os.kill(killed.pid, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(killed))
        laptop.plane.wait_ready("heart", "default", SECONDS)
        wait_until(lambda: laptop.server() != killed)
        wait_until(lambda: predict(url)[0] == "1")

    assert laptop.server() != killed
    # Envoy asked again what the dying server did not answer.
    assert traffic.failures == []


def test_a_killed_supervisor_disturbs_nobody_and_the_next_one_adopts_what_runs(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    server, envoy, supervisor = laptop.server(), laptop.envoy, laptop.supervisor

    with Traffic(url) as traffic:
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(supervisor))
        assert not laptop.plane.is_up
        assert predict(url)[0] == "1"
        laptop.plane.up()

        assert laptop.plane.is_up
        assert laptop.supervisor != supervisor
        assert (laptop.server(), laptop.envoy) == (server, envoy)
        # What it adopted it also watches and replaces.
        laptop.deploy(bundles / "second", version="2")
        wait_until(lambda: not processes.is_alive(server))

    assert traffic.failures == []


def test_a_killed_supervisor_comes_back_with_no_hand(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    server, supervisor = laptop.server(), laptop.supervisor

    with Traffic(url) as traffic:
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: laptop.plane.is_up and laptop.supervisor != supervisor)

    assert laptop.server() == server
    assert traffic.failures == []


def metrics_of(collector):
    """The collector's metrics; nothing while it is not there."""
    try:
        return httpx.get(f"{collector.url}/metrics").text
    except httpx.ConnectError:
        return ""


def test_a_plane_that_another_version_began_is_taken_over_while_its_servers_go_on(
    laptop, bundles, tmp_path, monkeypatch
):
    older = tmp_path / "older"
    shutil.copytree(Path(mulgil.__file__).parent, older / "mulgil")
    with (older / "mulgil" / "local" / "plane" / "__init__.py").open("a") as file:
        file.write("# Of before.\n")
    with monkeypatch.context() as before:
        before.setenv("PYTHONPATH", str(older))
        tell = "from mulgil.local.plane.code_version import code_version; print(code_version())"
        code = subprocess.run(
            [sys.executable, "-P", "-c", tell], capture_output=True, text=True, check=True
        ).stdout
        before.setattr(client, "code_version", code.strip)
        url = laptop.deploy(bundles / "first", version="1")
    supervisor, server, envoy = laptop.supervisor, laptop.server(), laptop.envoy
    assert laptop.store.read_record().code == code.strip() != code_version()

    with Traffic(url) as traffic:
        laptop.deploy(bundles / "first", version="1")
        assert not processes.is_alive(supervisor)
        assert (laptop.server(), laptop.envoy) == (server, envoy)
        laptop.deploy(bundles / "second", version="2")

    assert traffic.failures == []
    assert laptop.store.read_record().code == code_version()


def test_a_damaged_record_of_what_runs_is_told_and_survived_at_the_same_address(laptop, bundles):
    url = laptop.deploy(bundles / "first", version="1")
    server, envoy = laptop.server(), laptop.envoy

    (laptop.store.folder / "plane.json").write_text("{half")
    wait_until(lambda: laptop.store.read_record() is not None and laptop.plane.is_up)

    wait_until(lambda: not processes.is_alive(envoy))
    assert predict(url)[0] == "1"
    assert laptop.server() == server
    assert "plane.json is gone or damaged" in laptop.store.supervisor_log_path.read_text()


def test_an_envoy_that_another_version_began_otherwise_is_begun_anew_on_its_port(laptop, bundles):
    url = laptop.deploy(bundles / "first", version="1")
    envoy = laptop.envoy
    (laptop.store.envoy_folder / "bootstrap.json").write_text("{}")

    os.kill(laptop.supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(envoy))
    wait_until(lambda: laptop.plane.is_up)

    assert predict(url)[0] == "1"


def test_predictions_are_recorded_where_the_object_asks_for_it(laptop, bundles):
    item = manifest(bundles / "first", "7")
    item["spec"]["predictor"]["logger"] = {"mode": "all"}
    laptop.plane.apply(item)
    url = laptop.plane.wait_ready("heart", "default", SECONDS)["status"]["url"]

    assert share_of(url, 20) == {"7": 20}
    # A service is ready without its collector, which may still be starting: the server keeps its records.
    collector = laptop.store.read_record().collector
    wait_until(lambda: "mulgil_collector_records_total 20" in metrics_of(collector))
    # A collector that is told to end writes what it has.
    laptop.plane.down()

    assert read_predictions(laptop.plane.predictions_folder, "heart", version="7").num_rows == 20


def test_a_server_keeps_to_its_limits(laptop, bundles):
    item = manifest(bundles / "first")
    item["spec"]["predictor"]["model"]["resources"] = {"limits": {"cpu": 1, "memory": "1Gi"}}
    laptop.plane.apply(item)
    laptop.plane.wait_ready("heart", "default", SECONDS)
    assert len(os.sched_getaffinity(laptop.server().pid)) == 1

    item["spec"]["predictor"]["model"]["resources"] = {"limits": {"memory": "1Mi"}}
    laptop.plane.apply(item)
    with pytest.raises(PermanentError, match=r"OOMKilled: .*limits\.memory=1Mi"):
        laptop.plane.wait_ready("heart", "default", SECONDS)
    assert laptop.plane.get("heart")["status"]["components"]["predictor"]["latestReadyRevision"][-1] == "1"


def test_a_killed_envoy_is_started_again_on_its_port(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    killed = laptop.envoy

    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: laptop.plane.is_up and laptop.envoy != killed)

    assert predict(url)[0] == "1"


def test_down_ends_every_process_and_up_brings_everything_back(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    assert len(laptop.processes()) == 4

    laptop.plane.down()
    assert laptop.processes() == []
    assert not laptop.plane.is_up
    item = laptop.plane.get("heart")
    ready = next(c for c in item["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Stopped")
    with pytest.raises(httpx.ConnectError):
        predict(url)

    laptop.plane.up()
    assert predict(url)[0] == "1"
    assert laptop.plane.get("heart")["spec"] == item["spec"]


def test_after_everything_was_killed_up_brings_everything_back(laptop, bundles):
    url = laptop.deploy(bundles / "first")
    everything = laptop.processes()
    for process in everything:
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(processes.is_alive, everything)))

    laptop.plane.up()

    assert predict(url)[0] == "1"


def test_a_server_that_nobody_wrote_down_is_ended_by_the_next_supervisor(laptop, bundles):
    laptop.deploy(bundles / "first")
    os.kill(laptop.supervisor.pid, signal.SIGKILL)
    # As if the supervisor had been killed right after it began a server.
    stray = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(100)"],
        env={**os.environ, processes.MARK: str(laptop.store.folder)},
    )
    wait_until(lambda: not laptop.plane.is_up)

    laptop.plane.up()

    assert stray.wait(timeout=5) == -signal.SIGTERM


def test_services_live_side_by_side_and_are_deleted_alone(laptop, bundles):
    one = laptop.deploy(bundles / "first", name="heart")
    other = laptop.deploy(bundles / "second", name="heart-2", namespace="clinic", version="9")
    server = laptop.server("heart-2", "clinic")

    assert (predict(one)[0], predict(other, "heart-2")[0]) == ("1", "9")
    assert [item["metadata"]["name"] for item in laptop.plane.list()] == ["heart-2", "heart"]
    assert [item["metadata"]["name"] for item in laptop.plane.list("default")] == ["heart"]

    laptop.plane.delete("heart-2", "clinic")
    assert not processes.is_alive(server)
    answer = httpx.get(f"{other}/v2/health/ready")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "No InferenceService is served at this path.",
    )
    assert predict(one)[0] == "1"
    with pytest.raises(InputError, match="There is no InferenceService clinic/heart-2"):
        laptop.plane.get("heart-2", "clinic")


def test_the_trouble_of_one_service_is_not_the_others(laptop, bundles):
    volume = laptop.store.volumes_folder / "claim"
    volume.parent.mkdir(parents=True)
    volume.symlink_to(bundles)
    item = manifest(bundles / "first", name="adrift")
    item["spec"]["predictor"]["model"]["storageUri"] = "pvc://claim/first"
    laptop.plane.apply(item)
    laptop.plane.wait_ready("adrift", "default", SECONDS)
    volume.unlink()
    os.kill(laptop.server("adrift").pid, signal.SIGKILL)
    unspeakable = manifest(bundles / "first", name="unspeakable")
    unspeakable["spec"]["predictor"]["model"]["env"][0]["value"] = "a\0b"
    laptop.plane.apply(unspeakable)
    # As an older version, which honoured it or did not look, may have left it.
    older = {"metadata": {"name": "older", "generation": 1}, "spec": {"unheard": "of"}}
    laptop.store.write_object(ServiceKey("default", "older"), older)

    assert predict(laptop.deploy(bundles / "second", "2", name="well"), "well")[0] == "2"

    wait_until(lambda: laptop.store.read_state(ServiceKey("default", "adrift")).newest.has_failed)
    failures = [
        laptop.plane.get(name)["status"]["modelStatus"]["lastFailureInfo"]["message"]
        for name in ("adrift", "unspeakable")
    ]
    assert "There is no volume claim" in failures[0]
    assert "null byte" in failures[1]
    # The supervisor, its keeper, Envoy, and the one server that runs.
    assert len(laptop.processes()) == 4
    # What the older version left can be said anew.
    assert predict(laptop.deploy(bundles / "first", name="older"), "older")[0] == "1"


def test_a_revision_that_an_earlier_version_took_does_not_keep_the_plane_from_coming_up(laptop, bundles):
    laptop.deploy(bundles / "first")
    laptop.deploy(bundles / "second", "2")
    laptop.plane.down()
    path = laptop.store.folder / "states" / "default" / "heart.json"
    state = json.loads(path.read_text())
    state["revisions"][0]["template"]["predictor"]["model"]["args"] = ["--host", "0.0.0.0"]
    path.write_text(json.dumps(state))

    laptop.plane.up()

    assert predict(laptop.plane.get("heart")["status"]["url"])[0] == "2"


def test_a_changed_label_is_waited_for_though_the_generation_stays(laptop, bundles):
    laptop.deploy(bundles / "first")
    item = manifest(bundles / "first")
    item["metadata"]["labels"] = {"team": "blue"}

    laptop.plane.apply(item)
    status = laptop.plane.wait_ready("heart", "default", SECONDS)["status"]

    assert status["components"]["predictor"]["latestReadyRevision"] == "heart-predictor-00002"


def test_who_waits_does_not_bring_back_what_was_stopped_on_purpose(laptop, bundles):
    laptop.deploy(bundles / "first")
    laptop.plane.down()

    with pytest.raises(TemporaryError, match="was stopped before default/heart was ready"):
        laptop.plane.wait_ready("heart", "default", SECONDS)

    assert laptop.processes() == []


def test_servers_of_two_services_never_have_the_same_name(laptop, bundles):
    item = manifest(bundles / "first")
    item["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Standard"}
    item["spec"]["predictor"]["name"] = "v2"
    laptop.plane.apply(item)

    with pytest.raises(InputError, match="would both be called heart-v2-predictor"):
        laptop.plane.apply(manifest(bundles / "second", name="heart-v2"))


def test_a_service_that_was_never_ready_answers_503(laptop, bundles):
    with pytest.raises(PermanentError):
        laptop.deploy(bundles / "broken")

    answer = httpx.get(f"{laptop.plane.base_url}/serving/default/heart/v2/health/ready")
    assert (answer.status_code, answer.json()["error"]) == (503, "The InferenceService is not ready yet.")


def test_a_taken_port_is_passed_over_and_the_choice_remembered(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plane = ServingPlane(tmp_path / "serving", preferred_port=port)
        plane.up()
        chosen = plane.base_url
        plane.down()
    assert chosen != f"http://127.0.0.1:{port}"

    plane.up()
    assert plane.base_url == chosen
    plane.down()


def test_everything_listens_on_the_loopback_address_alone(laptop, bundles):
    laptop.deploy(bundles / "first")

    listening = [address for process in laptop.processes() for address in listeners(process.pid)]

    assert len(listening) >= 3
    assert set(listening) == {"0100007F"}


def listeners(pid):
    """Addresses, as the kernel writes them, that a process listens on (proc_pid_net(5))."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.append(fields[1].split(":")[0])
    return found


def test_nothing_is_there_before_anything_was_deployed(tmp_path):
    plane = ServingPlane(tmp_path / "serving")

    assert not plane.is_up
    assert plane.list() == []
    plane.down()
    with pytest.raises(InputError, match="There is no InferenceService default/heart"):
        plane.get("heart")
    with pytest.raises(InputError):
        plane.apply({"kind": "Pod"})
    assert not plane.is_up
