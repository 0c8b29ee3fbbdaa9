"""Requests that are broken in every way that bytes can be, and what a server may say to them."""

import contextlib
import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import grpc
from served_bundles import ROW, SPARSE_ROW

from mulgil.serving.openapi import REFUSALS

PATHS = (b"/v1/models/heart:predict", b"/v1/models/heart:explain", b"/v2/models/heart/infer")
TENSORS = [
    {"name": "age", "shape": [1], "datatype": "INT64", "data": [63]},
    {"name": "oldpeak", "shape": [1], "datatype": "FP64", "data": [2.3]},
    {"name": "exang", "shape": [1], "datatype": "BOOL", "data": [True]},
    {"name": "thal", "shape": [1], "datatype": "BYTES", "data": ["6"]},
    {"name": "income", "shape": [1], "datatype": "FP64", "data": [41_000.0]},
]
BODIES = (
    {"instances": [ROW, SPARSE_ROW]},
    {"instances": [list(ROW.values())]},
    {"instances": [{"patient_id": 12}]},
    {"inputs": TENSORS, "id": "a", "outputs": [{"name": "probability"}]},
    {"inputs": [{"name": "rows", "shape": [1, 5], "datatype": "FP64", "data": [[63, 2.3, 1, 6, 41_000]]}]},
)
NUMBERS = struct.pack("<5d", 63, 2.3, 1, 6, 41_000)
# What a value of JSON may be replaced by.
ODD_VALUES = (
    *(None, True, "", "\ud800", -1, 2**63, 2**64, 10**400, 1e308, -0.0, [], {}, [[]], {"": {}}),
    *("x" * 5000, [None] * 300, "\x00", "6.0", "NaN"),
)
CALLS = ("ModelInfer", "ModelReady", "ModelMetadata", "ServerLive", "ServerMetadata", "Nothing")
CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def post(path, content, headers=b""):
    """A request as it should be."""
    return b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n%b" % (
        path,
        len(content),
        headers,
        content,
    )


def write(body):
    """JSON as it is, halves of surrogate pairs too."""
    return json.dumps(body, ensure_ascii=True).encode()


def mutate_bytes(random, content):
    """Change, cut out, repeat or insert a few bytes."""
    content = bytearray(content)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(content) + 1)
        end = min(len(content), start + random.choice((1, 1, 2, 8, 64)))
        match random.randrange(4):
            case 0:
                content[start:end] = random.randbytes(end - start)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case _:
                content[start:start] = random.choice((b"\r\n", b"\x00", b'"', b"\xff", b"[", b"}", b"1e999"))
    return bytes(content)


def mutate_json(random, body):
    """Replace one value of a body, however deep, by an odd one, or take it away."""
    if random.random() < 0.2 or not isinstance(body, dict | list) or not body:
        return random.choice(ODD_VALUES)
    copied = dict(body) if isinstance(body, dict) else list(body)
    place = random.choice(list(copied) if isinstance(copied, dict) else range(len(copied)))
    if random.random() < 0.1:
        del copied[place]
    else:
        copied[place] = mutate_json(random, copied[place])
    return copied


def broken_json(random):
    return post(random.choice(PATHS), mutate_bytes(random, write(random.choice(BODIES))))


def odd_json(random):
    return post(random.choice(PATHS), write(mutate_json(random, random.choice(BODIES))))


def deep_json(random):
    depth = random.choice((100, 1000, 100_000))
    opening = random.choice((b"[", b'{"a":', b'{"instances":[', b'{"inputs":[{"data":['))
    return post(random.choice(PATHS), opening * depth)


def long_json(random):
    rows = random.choice((2000, 20_000))
    return post(random.choice(PATHS), write({"instances": [mutate_json(random, ROW)] * rows}))


def broken_bytes(random):
    size = random.choice((len(NUMBERS), -1, 2**31, 2**70, None, "8"))
    shape = random.choice(([1, 5], [5, 1], [-1, 5], [2**40, 5], []))
    datatype = random.choice(("FP64", "FP32", "BYTES", "BOOL", "FP16"))
    tensor = {
        "name": random.choice(("rows", "thal", "age")),
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": size},
    }
    text, numbers = write({"inputs": [tensor]}), mutate_bytes(random, NUMBERS)
    length = random.choice((len(text), len(text), 0, 10**30, -1))
    header = b"Inference-Header-Content-Length: %d\r\n" % length
    return post(PATHS[2], text + numbers, header)


def broken_head(random):
    whole = post(random.choice(PATHS), write(random.choice(BODIES)))
    end = whole.index(b"\r\n\r\n")
    return mutate_bytes(random, whole[:end]) + whole[end:]


def broken_chunks(random):
    content = write(random.choice(BODIES))
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(content[i : i + 9]), content[i : i + 9]) for i in range(0, 90, 9)
    )
    head = b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % random.choice(PATHS)
    return head + mutate_bytes(random, chunks + b"0\r\n\r\n")


def noise(random):
    return random.randbytes(random.choice((1, 40, 3000, 100_000)))


def pipelined(random):
    kinds = (broken_json, odd_json, broken_head, noise)
    right = post(PATHS[0], write(BODIES[0]))
    return right * random.randint(1, 20) + random.choice(kinds)(random) + right


def lying_length(random):
    claimed = random.choice((b"99999999999", b"-5", b"1 2", b"0x10", b"18446744073709551617", b"30"))
    return b"POST %b HTTP/1.1\r\nContent-Length: %b\r\n\r\n%b" % (PATHS[0], claimed, write(BODIES[0]))


def without_end(random):
    return random.choice(
        (
            b"GET /" + b"a" * 400_000,
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 70_000,
            b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % PATHS[0] + b"1\r\n[\r\n" * 70_000,
        )
    )


KINDS = (
    *(broken_json, odd_json, deep_json, long_json, broken_bytes, broken_head, broken_chunks),
    *(noise, pipelined, lying_length, without_end),
)


class Exchange:
    """What one client sent and got.

    Attributes:
        sent: The bytes.
        statuses: Of the answers.
    """

    def __init__(self, sent, received):
        self.sent = sent
        self.statuses = [status for status, _ in read_answers(received)]
        for status, body in read_answers(received):
            assert status in REFUSALS or status in (100, 200), (status, sent[:500])
            assert status != 500, sent[:500]
            if status in REFUSALS:
                assert isinstance(json.loads(body)["error"], str), sent[:500]


def read_answers(received):
    """Part a stream into answers; it holds nothing else."""
    answers = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        version, status = head.split(b" ", 2)[:2]
        assert version == b"HTTP/1.1" and end, received[:200]
        lengths = [line[16:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        length = int(lengths[0]) if lengths else 0
        answers.append((int(status), rest[:length]))
        assert len(rest) >= length, "an answer is cut off"
        received = rest[length:]
    return answers


def exchange(port, sent, *, closes_half):
    """Send bytes as one client; return all that it gets."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        # A server that has refused stops reading, and then resets whoever goes on.
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            if closes_half:
                connection.shutdown(socket.SHUT_WR)
            else:
                # Else a request that is waited for would be waited for.
                connection.settimeout(0.2)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while data := connection.recv(65536):
                received += data
    return received


def fuzz(port, seed, rounds, clients=8):
    """Send every kind of broken request, several clients at once; return the exchanges."""

    def send(number):
        random = Random(seed * 1_000_003 + number)
        sent = KINDS[number % len(KINDS)](random)
        return Exchange(sent, exchange(port, sent, closes_half=random.random() < 0.7))

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(send, range(rounds * len(KINDS))))


def fuzz_grpc(port, seed, messages):
    """Send broken messages, and bytes that are no gRPC at all; return the codes of the calls."""
    random = Random(seed)
    whole = bytes(_right_message())
    codes = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(messages):
            name = random.choice(CALLS)
            content = random.choice((random.randbytes(random.randrange(200)), mutate_bytes(random, whole)))
            try:
                channel.unary_unary(f"/inference.GRPCInferenceService/{name}")(content, timeout=20)
                codes.append(grpc.StatusCode.OK)
            except grpc.RpcError as exc:
                codes.append(exc.code())
                assert exc.code() in CODES, (name, content, exc)
    for _ in range(messages // 10):
        preface = random.choice((b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        exchange(port, preface + random.randbytes(500), closes_half=False)
    return codes


def _right_message():
    from mulgil.serving.grpc_messages import make_messages

    messages = make_messages()
    tensor = {"name": "rows", "datatype": "FP64", "shape": [1, 5]}
    contents = {"fp64_contents": [63, 2.3, 1, 6, 41_000]}
    request = messages["ModelInferRequest"](model_name="heart", inputs=[{**tensor, "contents": contents}])
    return request.SerializeToString()


def read_memory(process):
    """Return a process' resident memory in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def check_fuzzed(server, seeds, rounds, expected, allowed_growth):
    """Fuzz a server; hold that it answers rightly, that nothing failed and that its memory stayed.

    Args:
        server: Of the tests' bundle, with a `grpc_port`.
        seeds: Of which the first warms up what is allocated once.
        rounds: Requests of each kind, a seed.
        expected: Statuses that are among the answers: the requests were of many kinds.
        allowed_growth: Of memory after the first seed, in MB.
    """
    grown_from, statuses = None, set()
    for seed in seeds:
        statuses |= {status for one in fuzz(server.port, seed, rounds) for status in one.statuses}
        codes = fuzz_grpc(server.grpc_port, seed, 10 * rounds)
        assert grpc.StatusCode.INVALID_ARGUMENT in codes
        grown_from = grown_from or read_memory(server.process)
    assert statuses >= expected
    assert read_memory(server.process) - grown_from < allowed_growth
    answers = read_answers(exchange(server.port, post(PATHS[0], write(BODIES[0])), closes_half=True))
    assert [status for status, _ in answers] == [200]
    return json.loads(answers[0][1])["predictions"]
