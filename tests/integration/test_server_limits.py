"""What a client may take of the model server, and who may ask: slow, many, greedy and unknown ones."""

import json
import ssl
import time

import grpc
import httpx
import pytest
from certificates import write_certificate
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from model_servers import Server, free_port, read_log, start
from served_bundles import ROW, network

from components.deploy_model.smoke import converse
from mulgil.endpoint_access import TOKEN_VARIABLE
from mulgil.errors import PermanentError

PREDICT = "/v1/models/heart:predict"
BODY = {"instances": [ROW]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "bundle"
    network(0).write_bundle(path)
    return path


def serve(bundle, *flags):
    server = Server(bundle, *flags)
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def hasty(bundle):
    yield from serve(bundle, "--head-seconds=0.3", "--body-seconds=0.6", "--idle-seconds=1.2")


def request(body=BODY, length=None):
    content = json.dumps(body).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: h\r\nContent-Length: {length or len(content)}\r\n\r\n"
    return head.encode() + content


def read_all(connection):
    received = b""
    connection.settimeout(5)
    while data := connection.recv(65536):
        received += data
    return received


def read_metric(server, name, **labels):
    page = httpx.get(f"{server.url}/metrics").text
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith(name + "{") and all(text in line for text in wanted)
    )


@pytest.mark.parametrize(
    ("sent", "part", "least_seconds"),
    [(request()[:20], b"head", 0.3), (request()[:-5], b"body", 0.6)],
    ids=["half a head", "half a body"],
)
def test_who_sends_too_slowly_gets_a_408_and_is_closed(hasty, sent, part, least_seconds):
    begun = time.monotonic()
    with hasty.connect() as connection:
        connection.sendall(sent)
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 408 ") and part in answer and b"Connection: close" in answer
    assert least_seconds <= time.monotonic() - begun < least_seconds + 2


def test_a_head_that_trickles_is_timed_from_its_beginning(hasty):
    begun = time.monotonic()
    answer = b""
    with hasty.connect() as connection:
        connection.settimeout(0.05)
        for byte in request()[:60]:
            connection.sendall(bytes([byte]))
            try:
                answer = connection.recv(1024)
                break
            except TimeoutError:
                continue

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < 2


def test_who_says_nothing_is_closed_without_a_word(hasty):
    with hasty.connect() as connection:
        assert read_all(connection) == b""


def test_a_kept_connection_stays_for_its_own_time(hasty):
    with hasty.connect() as connection:
        connection.sendall(request())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.9)
        connection.sendall(request())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        assert read_all(connection) == b""

    assert time.monotonic() - begun > 0.8


@pytest.fixture(scope="module")
def narrow(bundle):
    yield from serve(
        bundle,
        "--max-connections=3",
        "--max-body-bytes=150000",
        "--max-held-bytes=200000",
        "--wait-seconds=0.002",
    )


def test_beyond_the_connections_a_new_one_gets_a_503_that_says_when_to_try_again(narrow):
    busy = [narrow.connect() for _ in range(3)]
    for connection in busy:
        connection.sendall(request()[:-5])
    time.sleep(0.1)

    with narrow.connect() as late:
        refusal = read_all(late)
    for connection in busy:
        connection.sendall(request()[-5:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        connection.close()

    assert refusal.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in refusal
    time.sleep(0.1)
    assert read_metric(narrow, "mulgil_requests_shed_total", reason="connections") == 1
    assert read_metric(narrow, "mulgil_requests_in_flight") == 0


def test_an_idle_connection_makes_room_for_a_new_one(narrow):
    idle = [narrow.connect() for _ in range(3)]
    for connection in idle:
        connection.sendall(request())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.02)

    assert httpx.post(narrow.url + PREDICT, json=BODY).status_code == 200

    assert read_all(idle[0]) == b""
    idle[2].sendall(request())
    assert idle[2].recv(4096).startswith(b"HTTP/1.1 200 ")
    for connection in idle:
        connection.close()


def test_unfinished_requests_are_bounded_together(narrow):
    greedy = [narrow.connect() for _ in range(2)]
    for connection in greedy:
        connection.sendall(request(length=149_000) + b" " * 120_000)
        time.sleep(0.1)

    assert read_metric(narrow, "mulgil_requests_in_flight") == 1
    refusal = read_all(greedy[1])
    for connection in greedy:
        connection.close()

    assert refusal.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in refusal
    time.sleep(0.1)
    assert read_metric(narrow, "mulgil_requests_in_flight") == 0
    assert httpx.post(narrow.url + PREDICT, content=b" " * 150_001).status_code == 413


def test_predictions_that_waited_too_long_are_shed_and_health_is_not(narrow):
    answers = narrow.exchange(request() * 500 + b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]

    assert len(statuses) == 501 and set(statuses) == {200, 503}
    assert (statuses[0], statuses[-1]) == (200, 200)
    assert read_metric(narrow, "mulgil_requests_shed_total", reason="wait") == statuses.count(503)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text("first\nsecond\n")
    return path


@pytest.fixture(scope="module")
def guarded(bundle, tokens):
    port = free_port()
    for server in serve(bundle, f"--token-path={tokens}", f"--grpc-port={port}"):
        server.grpc_port = port
        yield server


@pytest.mark.parametrize("token", ["first", "second"])
def test_any_of_the_tokens_opens_the_door(guarded, token):
    answer = httpx.post(guarded.url + PREDICT, json=BODY, headers={"Authorization": f"bearer {token}"})

    assert answer.status_code == 200


def test_the_deployments_smoke_request_has_the_token_of_its_environment(guarded, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(PermanentError, match="status 401"):
        converse(guarded.url, name="heart", instance=ROW)
    monkeypatch.setenv(TOKEN_VARIABLE, "second\n")
    assert converse(guarded.url, name="heart", instance=ROW)[1] == "7"


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="mulgil"'),
        ({"Authorization": "Basic first"}, 'Bearer realm="mulgil"'),
        ({"Authorization": "Bearer"}, 'Bearer realm="mulgil", error="invalid_token"'),
        ({"Authorization": "Bearer firs"}, 'Bearer realm="mulgil", error="invalid_token"'),
    ],
)
def test_without_a_token_that_is_known_there_is_a_401(guarded, headers, challenge):
    for path in (PREDICT, "/v2/models/heart/infer", "/nothing"):
        answer = httpx.post(guarded.url + path, json=BODY, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)
    for path in ("/metrics", "/v2/models/heart", "/v1/models"):
        assert httpx.get(guarded.url + path, headers=headers).status_code == 401


def test_a_body_without_a_token_is_not_waited_for(guarded):
    assert guarded.exchange(request(length=10_000_000)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1/models/heart", "/v2/health/live", "/v2/health/ready", "/v2/models/heart/ready"],
)
def test_health_is_open(guarded, path):
    assert httpx.get(guarded.url + path).status_code == 200


def test_grpc_asks_for_the_same_token(guarded):
    with grpc.insecure_channel(f"127.0.0.1:{guarded.grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(messages.ServerReadyRequest()).ready
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelMetadata(messages.ModelMetadataRequest(name="heart"))
        assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = (("authorization", "Bearer second"),)
        assert (
            stub.ModelMetadata(messages.ModelMetadataRequest(name="heart"), metadata=metadata).name == "heart"
        )


def test_a_changed_file_of_tokens_is_read_again_and_a_broken_one_is_not(guarded, tokens):
    def ask(token):
        return httpx.post(guarded.url + PREDICT, json=BODY, headers={"Authorization": f"Bearer {token}"})

    def wait_for(token, status):
        deadline = time.monotonic() + 5
        while ask(token).status_code != status and time.monotonic() < deadline:
            time.sleep(0.1)
        return ask(token).status_code

    tokens.write_text("third\n")
    assert (wait_for("third", 200), ask("first").status_code) == (200, 401)
    tokens.write_text("\n")
    time.sleep(1.2)
    assert ask("third").status_code == 200
    tokens.write_text("first\nsecond\n")
    assert wait_for("first", 200) == 200


def test_metrics_can_be_open(bundle, tokens):
    for server in serve(bundle, f"--token-path={tokens}", "--open-metrics"):
        assert httpx.get(f"{server.url}/metrics").status_code == 200
        assert httpx.post(server.url + PREDICT, json=BODY).status_code == 401


def test_tls_serves_http_and_grpc_and_takes_a_renewed_certificate(bundle, tmp_path):
    certificate, key = write_certificate(tmp_path)
    grpc_port = free_port()
    flags = (f"--tls-certificate-path={certificate}", f"--tls-key-path={key}", f"--grpc-port={grpc_port}")
    for server in serve(bundle, *flags):
        url = server.url.replace("http:", "https:")

        def ask():
            context = ssl.create_default_context(cafile=str(certificate))
            return httpx.post(url + PREDICT, json=BODY, verify=context).status_code  # noqa: B023 - asked here

        assert ask() == 200
        assert not server.exchange(request()).startswith(b"HTTP/1.1 2")
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{grpc_port}", credentials) as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert stub.ModelReady(messages.ModelReadyRequest(name="heart"), timeout=5).ready
        write_certificate(tmp_path)
        time.sleep(1.5)
        assert ask() == 200


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--token-path=nowhere"], "Cannot read the tokens of nowhere"),
        (["--token-path=/dev/null"], "/dev/null holds no token"),
        (["--tls-certificate-path=nowhere"], "TLS needs both"),
        (["--tls-certificate-path=nowhere", "--tls-key-path=nowhere"], "Cannot use the certificate nowhere"),
        (["--max-connections=0"], "expected a whole number from 1; received '0'"),
        (["--idle-seconds=soon"], "expected a number of seconds; received 'soon'"),
    ],
)
def test_a_wrong_flag_is_named_before_anything_listens(bundle, flags, message):
    process = start(bundle, free_port(), *flags)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 2
    assert message in output and "Traceback" not in output


def test_the_log_is_json_with_the_ids_of_refused_requests_and_none_of_their_values(bundle):
    server = Server(bundle)
    refused = {"instances": [{**ROW, "age": 77_665_544, "income": -98_765_432}]}
    answer = httpx.post(server.url + PREDICT, json=refused, headers={"X-Request-Id": "mine-7"})
    httpx.post(server.url + PREDICT, json=BODY)
    server.exchange(request(refused) * 500)
    _, output = server.end()

    assert answer.status_code == 400
    lines = read_log(output)
    requests = [line for line in lines if line["message"] == "request"]
    assert requests[0].items() >= {"request_id": "mine-7", "status": 400, "protocol": "v1"}.items()
    assert all(line["status"] == 400 for line in requests)
    # Twenty a second, and its own.
    assert len(requests) <= 101
    # Of so many digits that no identifier, time or duration has them by chance.
    assert "77665544" not in output and "98765432" not in output
    others = [line["message"].partition(" ")[0] for line in lines if line not in requests]
    # Before these it says that the bundle's store is nowhere.
    assert others[1:] == [
        "loaded",
        "ready",
        "draining",
        "stopped",
    ]


def test_the_log_can_have_every_request_or_none(bundle):
    outputs = []
    for kind in ("all", "none"):
        server = Server(bundle, f"--log-requests={kind}")
        httpx.post(server.url + PREDICT, json=BODY)
        httpx.post(server.url + PREDICT, json={})
        outputs.append(server.end()[1])

    assert (outputs[0].count('"status":200'), outputs[0].count('"status":400')) == (1, 1)
    assert '"status"' not in outputs[1]
