"""What is measured: the parts of the benchmark, each a list of loads and of who takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving import payloads
from benchmarks.serving.payloads import Payload, Rows
from mulgil.contract import Column

GRPC = "grpc"


@dataclass(frozen=True)
class LoadKind:
    """A request that is sent again and again.

    Attributes:
        name: In the results.
        protocol: `v1`, `v2` or `grpc`.
        rows: In a request.
        connections: At once; each number is a load of its own.
        write: Writes the request, of what is not gRPC.
    """

    name: str
    protocol: str
    rows: int
    connections: tuple[int, ...]
    write: Callable[[Rows, Sequence[Column]], Payload] | None = None


@dataclass(frozen=True)
class Part:
    """Loads that are measured in turn, in one run.

    Attributes:
        contenders: Who takes them.
        loads: The loads.
    """

    contenders: tuple[str, ...]
    loads: tuple[LoadKind, ...]


def _v1(rows: Rows, _: Sequence[Column]) -> Payload:
    return payloads.write_v1(rows)


PARTS = {
    "protocols": Part(
        (
            *("mulgil", "mulgil_no_log", "bare", "kserve_litert", "kserve_saved_model"),
            *("mlserver", "bentoml", "litserve", "fastapi_onnx"),
        ),
        (LoadKind("v1", "v1", 1, (1, 16), _v1), LoadKind("v2", "v2", 1, (1, 16), payloads.write_v2)),
    ),
    "batches": Part(
        ("mulgil", "kserve_litert"),
        tuple(
            LoadKind(f"{protocol}_{rows}_rows", protocol, rows, (4,), write)
            for rows in (64, 1024)
            for protocol, write in (("v1", _v1), ("v2", payloads.write_v2))
        ),
    ),
    "tensors": Part(
        ("mulgil", "kserve_litert", "pytriton"),
        tuple(
            kind
            for rows in (1, 64, 1024)
            for kind in (
                LoadKind(f"binary_{rows}", "v2", rows, (4,), payloads.write_binary),
                LoadKind(f"grpc_{rows}", GRPC, rows, (4,)),
            )
        ),
    ),
}
