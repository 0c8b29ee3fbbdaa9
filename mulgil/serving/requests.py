"""Requests to a served model, as a caller writes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping


def predict_url(base_url: str, model: str) -> str:
    """Return the address of KServe's V1 predict verb."""
    return f"{base_url}/v1/models/{model}:predict"


def explain_url(base_url: str, model: str) -> str:
    """Return the address of KServe's V1 explain verb."""
    return f"{base_url}/v1/models/{model}:explain"


def curl_command(base_url: str, model: str, instance: Mapping[str, object]) -> str:
    """Write one prediction as a command line that works as pasted."""
    body = json.dumps({"instances": [dict(instance)]})
    return f"curl -sS {predict_url(base_url, model)} -d {shlex.quote(body)}"
