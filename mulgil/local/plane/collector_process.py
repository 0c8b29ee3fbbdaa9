"""The collector of predictions beside the servers, for every service whose logger names no other."""

from __future__ import annotations

import sys
from pathlib import Path

from mulgil.artifacts import Record
from mulgil.local.plane.envoy_config import HOST
from mulgil.local.plane.model_server import free_port
from mulgil.local.plane.processes import ProcessIdentity, is_alive, reap, start_process


class CollectorRecord(Record):
    """The collector that was started.

    Attributes:
        process: Who it is.
        port: Where servers send what they predicted.
    """

    process: ProcessIdentity
    port: int

    @property
    def url(self) -> str:
        """Where servers send what they predicted."""
        return f"http://{HOST}:{self.port}"


def ensure_collector(known: CollectorRecord | None, *, root: Path, mark: Path) -> CollectorRecord:
    """Return the collector that runs, started where none does.

    Args:
        known: The one that ran last, whose port servers know.
        root: Where predictions are kept.
        mark: The plane's folder.
    """
    if known is not None:
        reap(known.process)
        if is_alive(known.process):
            return known
    port = known.port if known else free_port()
    process = start_process(
        [
            *(sys.executable, "-P", "-m", "mulgil.prediction_log"),
            *("--root-path", str(root), "--http-port", str(port), "--host", HOST),
        ],
        log_path=mark / "collector.log",
        environment={},
        mark=mark,
    )
    return CollectorRecord(process=process, port=port)
