"""The model server against its OpenAPI page, and against thousands of broken and slow requests."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import fuzzing
import httpx
import pytest
from feature_stores import write_whole_bundle
from model_servers import Server, free_port, read_log
from openapi_pages import run_schemathesis
from served_bundles import ROW, SPARSE_ROW, network

SLOW_CLIENTS = 200


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_whole_bundle(tmp_path_factory.mktemp("fuzzed"))


@pytest.fixture
def server(bundle):
    # Nobody reads the server's log before its end, and a pipe that is full would hold it up.
    flags = ("--grpc-port", str(port := free_port()), "--log-requests=none")
    server = Server(bundle, *flags, "--head-seconds=2", "--body-seconds=3")
    server.grpc_port = port
    yield server
    code, output = server.end()
    assert code == 0, output
    assert [line for line in read_log(output) if line["level"] == "error"] == []


def test_right_and_wrong_requests_are_answered_as_the_page_says(server, tmp_path):
    is_documented, found = run_schemathesis(server, tmp_path, "--max-examples=300")

    assert is_documented, found


def test_thousands_of_broken_requests_leave_the_server_as_it_was(server):
    seed = Random().randrange(10**6)
    print(f"the first seed is {seed}")

    # Each seed is 550 requests, some of 16 MB.
    seeds, expected = range(seed, seed + 20), {200, 400, 404, 413, 431}
    predictions = fuzzing.check_fuzzed(server, seeds, rounds=50, expected=expected, allowed_growth=25)

    assert predictions == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)


def test_slow_senders_hold_nobody_up_and_nothing_back(server):
    whole = fuzzing.post(fuzzing.PATHS[0], fuzzing.write(fuzzing.BODIES[0]))

    def trickle(number):
        """Send a request a few bytes at a time, slower than the server waits, and see what it says."""
        random = Random(number)
        received = b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            try:
                for place in range(0, len(whole) - 5, 5):
                    connection.sendall(whole[place : place + 5])
                    time.sleep(random.uniform(0.2, 0.4))
            except ConnectionError:
                pass
            try:
                while data := connection.recv(65536):
                    received += data
            except ConnectionError:
                # It wrote into a connection that was closed, which takes the answer with it.
                pass
        return [status for status, _ in fuzzing.read_answers(received)]

    before = fuzzing.read_memory(server.process)
    with ThreadPoolExecutor(SLOW_CLIENTS) as pool, httpx.Client() as client:
        slow = [pool.submit(trickle, number) for number in range(SLOW_CLIENTS)]
        waits = []
        while not all(one.done() for one in slow):
            begun = time.perf_counter()
            answer = client.post(server.url + "/v1/models/heart:predict", json=fuzzing.BODIES[0])
            waits.append(time.perf_counter() - begun)
            assert answer.status_code == 200
            time.sleep(0.02)
        statuses = [status for one in slow for status in one.result()]

    assert set(statuses) == {408}
    assert sorted(waits)[len(waits) // 2] < 0.25
    assert fuzzing.read_memory(server.process) - before < 10
