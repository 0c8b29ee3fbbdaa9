"""The OpenAPI page of a running server, and Schemathesis over it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator

HOOKS = Path(__file__).with_name("openapi_hooks.py")


def answer_problems(server, path, answer):
    """Return what is wrong with an answer to a POST, by the server's own page."""
    page = httpx.get(f"{server.url}/openapi.json").json()
    response = page["paths"][path]["post"]["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = page["components"]["responses"][str(answer.status_code)]
    schema = response["content"][answer.headers["content-type"]]["schema"]
    problems = Draft202012Validator({**schema, "components": page["components"]}).iter_errors(answer.json())
    return [problem.message for problem in problems]


def run_schemathesis(server, folder, *flags):
    """Send right and wrong requests by the page; return whether all was as documented, and what was found."""
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"),
        *("--checks=all", "--phases=examples,coverage,fuzzing", "--no-color", *flags),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
    # In a folder of its own: it looks for settings, and keeps what it has learned, where it is started.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr
