"""An empty registry to copy: MLflow takes a second or two to make one."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from mulgil import registry
from mulgil.artifacts import Check, Verdict


def write_empty_registry(home: Path) -> None:
    """Put an empty registry into a home."""
    (home / "mlflow").mkdir(parents=True)
    shutil.copy(_template() / "mlflow" / "mlflow.db", home / "mlflow")


@functools.cache
def _template() -> Path:
    home = Path(tempfile.mkdtemp(prefix="mulgil-registry-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULGIL_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with registry._client():
            pass
    return home


def make_champion(name: str, version: str) -> None:
    """Give a version the alias that candidates are held against."""
    check = Check(name="answered", is_passed=True, reason="It serves.")
    registry.give_alias(name, version, registry.CHAMPION, Verdict.of("tests", "any", [check]))
