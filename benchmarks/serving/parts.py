"""What is measured: the parts of the benchmark, each a list of loads and of who takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import payloads
from benchmarks.serving.bundle import IMAGE_PROJECT, PROJECT
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
        project: Whose columns and network all serve.
    """

    contenders: tuple[str, ...]
    loads: tuple[LoadKind, ...]
    project: Path = PROJECT

    @property
    def has_grpc(self) -> bool:
        """Whether a load of it comes over gRPC."""
        return any(load.protocol == GRPC for load in self.loads)


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
    "images": Part(
        ("mulgil", "kserve_litert", "pytriton"),
        (
            LoadKind("image_v1", "v1", 1, (4,), _v1),
            LoadKind("image_v2", "v2", 1, (4,), payloads.write_v2),
            LoadKind("image_binary", "v2", 1, (4,), payloads.write_binary),
            LoadKind("image_grpc", GRPC, 1, (4,)),
        ),
        IMAGE_PROJECT,
    ),
}
