"""One ingestion in a process of its own: `python -m benchmarks.data.ingestion FOLDER`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from components.ingest_data.core import ingest_data


def main() -> None:
    """Ingest a project's table into its folder, and print the CPU seconds and the greatest memory."""
    folder = Path(sys.argv[1])
    started = time.process_time(), time.perf_counter()
    ingest_data(
        project_path=folder,
        source="",
        dataset_path=folder / "dataset",
        quarantine_path=folder / "quarantine",
    )
    sample = {
        "cpu_seconds": time.process_time() - started[0],
        "seconds": time.perf_counter() - started[1],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(sample))


if __name__ == "__main__":
    main()
