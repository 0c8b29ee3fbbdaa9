"""Compilation of the pipelines to KFP v2's intermediate representation."""

import importlib
import tempfile
from pathlib import Path

from kfp import compiler

PIPELINES = ("training",)


def compile_pipeline(name: str) -> str:
    """Compile a pipeline.

    Args:
        name: One of `PIPELINES`; the module and its function have this name.

    Returns:
        The `PipelineSpec` as YAML, the form that Kubeflow Pipelines takes.
    """
    pipeline = getattr(importlib.import_module(f"pipelines.{name}"), name)
    # The compiler writes to files alone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")
