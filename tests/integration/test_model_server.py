"""The model server as its clients meet it: a real process, a real bundle, real clients, and broken ones."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from model_servers import Server, free_port, start
from served_bundles import ROW, SPARSE_ROW, NumericNetwork, edit_json, network, seal

from mulgil.artifacts import BUNDLE_DICTIONARY, BUNDLE_EXAMPLE, BUNDLE_LITERT, BUNDLE_TRANSFORM
from mulgil.serving.limits import Limits


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bundle"
    network(0).write_bundle(path)
    return path


@pytest.fixture(scope="module")
def server(bundle):
    server = Server(bundle)
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def post(path, body, headers=b""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = b"Content-Length: %d\r\n" % len(content)
    return b"POST %s HTTP/1.1\r\nHost: h\r\n%s%s\r\n%s" % (path, length, headers, content)


CLOSE = b"Connection: close\r\n"


PREDICT = b"/v1/models/heart:predict"


@pytest.mark.anyio
async def test_kserves_client_predicts_by_v1(server):
    client = InferenceRESTClient(RESTConfig(protocol="v1"))

    assert await client.is_server_live(server.url)
    assert await client.is_model_ready(server.url, "heart")
    answer = await client.infer(server.url, {"instances": [ROW, SPARSE_ROW]}, model_name="heart")

    assert answer["predictions"] == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    await client.close()


@pytest.mark.anyio
async def test_kserves_client_infers_by_v2(server):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    inputs = [
        InferInput("age", [2], "INT64", data=[63, 41]),
        InferInput("oldpeak", [2], "FP64", data=[2.3, None]),
        InferInput("exang", [2], "BOOL", data=[True, None]),
        InferInput("thal", [2], "BYTES", data=["6", None]),
        InferInput("income", [2, 1], "FP32"),
    ]
    inputs[-1].set_data_from_numpy(np.array([[41_000.0], [12_000.0]], np.float32), binary_data=False)

    assert await client.is_server_live(server.url)
    assert await client.is_server_ready(server.url)
    assert await client.is_model_ready(server.url, "heart")
    headers = {}
    answer = await client.infer(
        server.url,
        InferRequest("heart", inputs, request_id="mine-1"),
        model_name="heart",
        response_headers=headers,
    )

    assert (answer.id, answer.model_name, headers["x-model-version"]) == ("mine-1", "heart", "7")
    (output,) = answer.outputs
    assert (output.name, output.shape) == ("probability", [2])
    assert output.as_numpy().tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    await client.close()


@pytest.mark.anyio
@pytest.mark.parametrize("answers_in_bytes", [True, False])
async def test_kserves_client_sends_and_reads_binary_tensors(server, answers_in_bytes):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    columns = {
        "age": np.array([63, 41], np.int64),
        "oldpeak": np.array([2.3, np.nan], np.float64),
        "exang": np.array([1, np.nan], np.float32),
        "thal": np.array([b"6", b""], np.object_),
        "income": np.array([41_000.0, 12_000.0], np.float32),
    }
    datatypes = dict(zip(columns, ("INT64", "FP64", "FP32", "BYTES", "FP32"), strict=True))
    inputs = [InferInput(name, [2], datatypes[name]) for name in columns]
    for tensor in inputs:
        tensor.set_data_from_numpy(columns[tensor.name], binary_data=True)
    outputs = [RequestedOutput("probability", parameters={"binary_data": answers_in_bytes})]

    request = InferRequest("heart", inputs, request_outputs=outputs)
    answer = await client.infer(server.url, request, model_name="heart")

    (output,) = answer.outputs
    assert output.shape == [2]
    assert output.as_numpy().tolist() == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    await client.close()


@pytest.mark.anyio
async def test_kserves_client_sends_one_matrix(server):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    matrix = InferInput("input-0", [2, 5], "FP64")
    numbers = [[63, 2.3, 1, 6, 41_000.0], [41, np.nan, np.nan, np.nan, 12_000.0]]
    matrix.set_data_from_numpy(np.array(numbers, np.float64), binary_data=True)

    answer = await client.infer(server.url, InferRequest("heart", [matrix]), model_name="heart")

    scores = answer.outputs[0].as_numpy().tolist()
    assert scores == pytest.approx(network(0).predict(ROW, SPARSE_ROW), abs=1e-6)
    await client.close()


def test_a_bad_value_in_a_matrix_of_bytes_is_named(server):
    matrix = np.array([[63, 2.3, 1, 6, 41_000.0], [3, 2.3, 1, 6, 41_000.0]], "<f8").tobytes()
    parameters = {"binary_data_size": len(matrix)}
    tensor = {"name": "x", "shape": [2, 5], "datatype": "FP64", "parameters": parameters}
    text = json.dumps({"inputs": [tensor]}).encode()

    answer = httpx.post(
        f"{server.url}/v2/models/heart/infer",
        content=text + matrix,
        headers={"Inference-Header-Content-Length": str(len(text))},
    )

    assert answer.status_code == 400
    assert "instance 1, column age: expected 18 to 110 years, received 3" in answer.json()["error"]


@pytest.mark.anyio
async def test_kserves_client_is_told_why_a_request_is_refused(server):
    client = InferenceRESTClient(RESTConfig(protocol="v1"))

    with pytest.raises(httpx.HTTPStatusError, match="instance 0, column age: expected 18 to 110 years") as no:
        await client.infer(server.url, {"instances": [{**ROW, "age": 3}]}, model_name="heart")

    assert no.value.response.status_code == 400
    await client.close()


def test_what_plain_curl_sends_is_understood(server):
    answer = subprocess.run(
        ["curl", "-sS", f"{server.url}/v1/models/heart:predict", "-d", json.dumps({"instances": [ROW]})],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(answer.stdout)["predictions"] == pytest.approx(network(0).predict(ROW), abs=1e-6)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", {"status": "alive"}),
        ("/v1/models", {"models": ["heart"]}),
        ("/v1/models/heart", {"name": "heart", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["heart"]}),
        ("/v2/models/heart/ready", {"name": "heart", "ready": True}),
        ("/v2/models/heart/versions/7/ready", {"name": "heart", "ready": True}),
    ],
)
def test_the_protocols_paths_answer(server, path, expected):
    answer = httpx.get(server.url + path)

    assert (answer.status_code, answer.json()) == (200, expected)
    assert answer.headers["x-model-version"] == "7"


def test_metadata_is_the_dictionarys(server):
    assert httpx.get(f"{server.url}/v2").json()["name"] == "mulgil"
    inputs = httpx.get(f"{server.url}/v2/models/heart").json()["inputs"]
    assert [tensor["name"] for tensor in inputs] == list(ROW)


def test_a_request_id_is_kept_or_made(server):
    url = f"{server.url}/v1/models/heart:predict"
    body = {"instances": [ROW]}

    assert httpx.post(url, json=body, headers={"X-Request-Id": "a/b"}).headers["x-request-id"] == "a/b"
    made = {httpx.post(url, json=body).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    too_long = httpx.post(url, json=body, headers={"X-Request-Id": "x" * 129}).headers["x-request-id"]
    assert len(too_long) < 129


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "Model with name other does not exist."),
        ("POST", "/v1/models/other:predict", 404, "Model with name other does not exist."),
        ("POST", "/v2/models/other/infer", 404, "Model with name other does not exist."),
        ("GET", "/v2/models/heart/versions/6/ready", 404, "nothing at"),
        ("GET", "/v3", 404, "nothing at /v3"),
        ("POST", "/v1/models/heart:explain", 400, "The body is empty: expected JSON"),
        ("GET", "/v1/models/heart:predict", 405, "takes POST; received GET"),
        ("DELETE", "/v2/health/live", 405, "takes GET; received DELETE"),
    ],
)
def test_a_wrong_path_or_method_is_a_4xx_in_kserves_shape(server, method, path, status, message):
    answer = httpx.request(method, server.url + path)

    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_metrics_count_requests_by_code(server):
    def count():
        page = httpx.get(f"{server.url}/metrics").text
        return {
            code: int(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            for code in ("200", "400")
            if f'protocol="v1",code="{code}"' in line
        }

    before = count()
    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]})
    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": []})

    assert {code: n - before.get(code, 0) for code, n in count().items()} == {"200": 1, "400": 1}


def test_a_row_gives_the_same_alone_and_in_a_batch(server):
    url = f"{server.url}/v1/models/heart:predict"
    alone = [httpx.post(url, json={"instances": [row]}).json()["predictions"][0] for row in (ROW, SPARSE_ROW)]
    batch = httpx.post(url, json={"instances": [ROW, SPARSE_ROW] * 300}).json()["predictions"]

    assert batch == pytest.approx(alone * 300, abs=1e-6)


def test_pipelined_requests_are_answered_in_order(server):
    ages = [20, 30, 40, 50, 60]
    raw = b"".join(post(PREDICT, {"instances": [{**ROW, "age": age}]}) for age in ages)

    answers = server.exchange(raw[:200], raw[200:])

    predictions = [
        json.loads(line)["predictions"][0]
        for line in answers.split(b"\r\n\r\n")[1:]
        for line in [line.split(b"HTTP/1.1")[0]]
    ]
    assert predictions == pytest.approx(network(0).predict(*({**ROW, "age": age} for age in ages)), abs=1e-6)


def test_a_request_may_come_byte_by_byte_and_in_chunks(server):
    content = json.dumps({"instances": [ROW]}).encode()
    head = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" % PREDICT
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in content)

    answer = server.exchange(*(bytes([byte]) for byte in head), chunks + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_old_clients_and_closing_ones_get_what_they_asked_for(server):
    kept = server.exchange(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    closed = server.exchange(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    head = server.exchange(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert kept.count(b"200 OK") == kept.count(b"Connection: keep-alive") == 2
    assert closed.count(b"200 OK") == closed.count(b"Connection: close") == 1
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 18" in head


def test_a_client_that_expects_to_continue_is_invited(server):
    content = json.dumps({"instances": [ROW]}).encode()
    with server.connect() as connection:
        connection.sendall(
            b"POST %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            % (PREDICT, len(content))
        )
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(content)
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"400"),
        (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"400"),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"4"),
        (b"GET http://h/v9 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /%ff%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"404"),
        (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000, b"431"),
        (b"GET /" + b"a" * 600_000, b"431"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (Limits().body_bytes + 1),
            b"413",
        ),
        (post(PREDICT, b"", CLOSE), b"400"),
        (post(PREDICT, b"\x00\xff", CLOSE), b"400"),
        (post(PREDICT, b"[" * 200_000, CLOSE), b"400"),
        (post(PREDICT, b'{"instances": [' + b"{}," * 100_000 + b"{}]}", CLOSE), b"400"),
        (post(b"/v2/models/heart/infer", {"inputs": [{"name": "age"}]}, CLOSE), b"400"),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else None,
)
def test_what_is_not_a_request_gets_a_4xx_and_the_server_goes_on(server, raw, status):
    answer = server.exchange(raw)

    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert '"error"' in answer.decode()
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200


def test_a_body_that_grows_beyond_the_limit_in_chunks_is_refused(server):
    head = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % PREDICT
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    assert server.exchange(head, *[chunk] * 17).startswith(b"HTTP/1.1 413 ")


def test_clients_that_leave_early_or_never_finish_disturb_nobody(server):
    unfinished = [server.connect() for _ in range(20)]
    for connection in unfinished:
        connection.sendall(post(PREDICT, {"instances": [ROW]})[:-5])

    with ThreadPoolExecutor(4) as pool:
        statuses = list(
            pool.map(
                lambda _: (
                    httpx.post(f"{server.url}/v1/models/heart:predict", json={"instances": [ROW]}).status_code
                ),
                range(40),
            )
        )
    for connection in unfinished:
        connection.close()

    assert set(statuses) == {200}


def test_sigterm_loses_no_request_that_has_begun(bundle):
    server = Server(bundle)
    begun, kept = server.connect(), server.connect()
    raw = post(PREDICT, {"instances": [ROW]})
    begun.sendall(raw[:-5])
    kept.sendall(raw)
    kept.recv(4096)

    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 503
    kept.sendall(raw)
    last = kept.recv(4096)
    assert last.startswith(b"HTTP/1.1 200 OK") and b"Connection: close" in last
    time.sleep(0.5)
    assert not server.is_listening()
    begun.sendall(raw[-5:])

    assert begun.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert server.process.wait(timeout=5) == 0
    server.process.stdout.close()
    begun.close()
    kept.close()


def corrupt_model(bundle):
    content = bytearray((bundle / BUNDLE_LITERT).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (bundle / BUNDLE_LITERT).write_bytes(content)


def truncate_model(bundle):
    (bundle / BUNDLE_LITERT).write_bytes((bundle / BUNDLE_LITERT).read_bytes()[:100])
    seal(bundle)


def narrow_transform(bundle):
    columns = json.loads((bundle / BUNDLE_TRANSFORM).read_text())["columns"]
    edit_json(bundle / BUNDLE_TRANSFORM, columns=columns[:-1])
    seal(bundle)


def change_example(bundle):
    edit_json(bundle / BUNDLE_EXAMPLE, prediction=0.5)
    seal(bundle)


def answer_no_number(bundle):
    broken = NumericNetwork(0)
    broken.break_numbers()
    (bundle / BUNDLE_LITERT).write_bytes(broken.litert)
    seal(bundle)


def break_example(bundle):
    edit_json(bundle / BUNDLE_EXAMPLE, instance={**ROW, "age": 3})
    seal(bundle)


def break_dictionary(bundle):
    edit_json(bundle / BUNDLE_DICTIONARY, columns=[])
    seal(bundle)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt_model, "changed, missing or added: model.tflite"),
        (lambda bundle: (bundle / BUNDLE_TRANSFORM).unlink(), "changed, missing or added: transform.json"),
        (lambda bundle: (bundle / "bundle.json").unlink(), "bundle.json"),
        (truncate_model, "LiteRT cannot load"),
        (narrow_transform, "do not go together"),
        (change_example, "gives another prediction"),
        (answer_no_number, "Received: instance 0: its values lie where the model gives no finite number"),
        (break_example, "instance 0, column age: expected 18 to 110 years"),
        (break_dictionary, "not a data dictionary"),
    ],
    ids=["corrupt model", "no transform", "no manifest", "half a model", "narrow transform", "other example",
         "a network of NaN", "invalid example", "empty dictionary"],
)  # fmt: skip
def test_a_damaged_bundle_is_never_ready_and_says_why(tmp_path, damage, message):
    bundle = tmp_path / "bundle"
    network(0).write_bundle(bundle)
    damage(bundle)
    port = free_port()

    process = start(bundle, port)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 2, output
    assert "InputError" in output and message in output
    assert "ready on" not in output and "Traceback" not in output


def test_a_taken_port_is_worth_a_retry(server, bundle):
    process = start(bundle, server.port)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 75
    assert f"Cannot listen on 127.0.0.1:{server.port}" in output


def test_the_server_loads_no_heavy_library():
    code = "import sys, mulgil.serving.server; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    heavy = {
        "tensorflow",
        "keras",
        "feast",
        "mlflow",
        "pandas",
        "pyarrow",
        "kfp",
        "kserve",
        "sklearn",
        "grpc",
    }
    assert heavy.isdisjoint(loaded.split())
