"""Several workers on one port: one answer, one page of metrics, and no end but all together."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from model_servers import Server, free_port, read_log, start
from served_bundles import ROW, network

from mulgil.artifacts import BUNDLE_TRANSFORM

BODY = {"instances": [ROW]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("workers") / "bundle"
    network(0).write_bundle(path)
    return path


@pytest.fixture
def server(bundle):
    server = Server(bundle, "--workers=2")
    wait_until(lambda: all(metric(server, "process_resident", str(worker)) > 0 for worker in range(2)))
    yield server
    if server.process.poll() is None:
        server.end()


def wait_until(is_so, seconds=15):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def living_workers(server):
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def is_alive(pid):
    # One that nobody has buried yet has no command line.
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def ask(server):
    # A connection each: the kernel chooses a worker for each.
    return httpx.post(f"{server.url}/v1/models/heart:predict", json=BODY).status_code


def metric(server, name, worker=""):
    page = httpx.get(f"{server.url}/metrics").text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith(name) and (not worker or f'worker="{worker}"' in line)
    )


def test_every_worker_answers_and_each_counts_for_all(server):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ask(server), range(60))) == {200}

    pages = {httpx.get(f"{server.url}/metrics").text.count("process_cpu") for _ in range(20)}
    counts = {metric(server, "mulgil_requests_total{") for _ in range(20)}
    assert (pages, counts) == ({4}, {60})
    # Both took part: the cores are two, and so are the workers' times.
    assert all(metric(server, "process_resident_memory_bytes", str(worker)) > 20e6 for worker in range(2))
    code, output = server.end()
    assert code == 0
    assert [line["message"] for line in read_log(output)].count("stopped") == 2


def test_a_worker_that_dies_is_started_again_while_the_other_serves(server):
    assert ask(server) == 200
    victim = living_workers(server)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in living_workers(server))

    assert {ask(server) for _ in range(20)} == {200}
    wait_until(lambda: len(living_workers(server)) == 2)
    wait_until(lambda: metric(server, "mulgil_worker_restarts_total") == 1)

    assert metric(server, "mulgil_requests_total{") == 21
    code, output = server.end()
    assert code == 0
    assert "ended with signal 9; started again in" in output


@pytest.mark.parametrize("moment", ["loading", "serving"])
def test_no_worker_outlives_its_supervisor(bundle, moment):
    server = Server(bundle, "--workers=2", waits=False)
    wait_until(lambda: len(living_workers(server)) == 2)
    if moment == "serving":
        wait_until(server.is_listening)
    workers = living_workers(server)
    server.process.kill()
    server.process.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in workers))
    server.process.stdout.close()


def test_a_bundle_that_no_worker_can_serve_ends_the_server_with_the_workers_code(tmp_path):
    bundle = tmp_path / "bundle"
    network(0).write_bundle(bundle)
    (bundle / BUNDLE_TRANSFORM).unlink()
    process = start(bundle, free_port(), "--workers=2")
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "changed, missing or added: transform.json" in output and "No worker could serve" in output
    assert "Traceback" not in output


def test_a_taken_port_is_worth_a_retry(server, bundle):
    process = start(bundle, server.port, "--workers=2")
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 75
    assert f"Cannot listen on 127.0.0.1:{server.port}" in output
