"""Requests that are broken in every way: a short run; tests/machine has a long one."""

import fuzzing
import pytest
from model_servers import Server, free_port, read_log
from served_bundles import ROW, SPARSE_ROW, network


def test_broken_requests_are_refused_and_leave_the_server_as_it_was(tmp_path):
    network(0).write_bundle(tmp_path / "bundle")
    server = Server(tmp_path / "bundle", "--grpc-port", str(port := free_port()), "--max-body-bytes=2000000")
    server.grpc_port = port

    try:
        # What the first rounds leave allocated is some 20 MB; a leak of 1 MB a request would be 33 MB more.
        predictions = fuzzing.check_fuzzed(server, (1, 2), rounds=3, expected={200, 400}, allowed_growth=25)
    finally:
        code, output = server.end()

    assert predictions == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    assert code == 0
    messages = [line["message"] for line in read_log(output) if line["level"] == "error"]
    # That its bundle names a store that is nowhere is an error of another kind.
    assert [message for message in messages if "failed" in message] == []


def test_a_client_that_closes_its_half_still_gets_its_answers(tmp_path):
    network(0).write_bundle(tmp_path / "bundle")
    server = Server(tmp_path / "bundle")
    whole = fuzzing.post(fuzzing.PATHS[0], fuzzing.write(fuzzing.BODIES[0]))

    for sent, statuses in ((whole * 3, [200] * 3), (whole + whole[:-3], [200]), (whole[:40], [])):
        answers = fuzzing.read_answers(fuzzing.exchange(server.port, sent, closes_half=True))
        assert [status for status, _ in answers] == statuses
    assert server.end()[0] == 0
