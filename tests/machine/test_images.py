"""The container images, as a cluster runs them: needs a Docker engine, and `make images` before."""

import json
import socket
import subprocess
import time
import uuid

import httpx
import pytest
from served_bundles import ROW, network

from images.images import IMAGES
from mulgil import __version__

# What Pod Security `restricted` and our manifests ask of a container.
RESTRICTED = (
    *("--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--network", "none"),
)
NAMES = [name for image in IMAGES for name in image.names]
STEPS = [name for name in NAMES if name not in ("model-server", "collector", "mlflow")]


def docker(*words, is_checked=True):
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)
    assert not is_checked or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def reference(name):
    return f"mulgil/{name}:{__version__}"


def inspect(name):
    (image,) = json.loads(docker("image", "inspect", reference(name)))
    return image


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_a_numeric_user_labels_and_no_build_tools(name):
    image = inspect(name)

    assert image["Config"]["User"] == "65532:65532"
    assert image["Config"]["Labels"]["org.opencontainers.image.version"] == __version__
    found = docker(
        "run", "--rm", *RESTRICTED, reference(name), "sh", "-c", "command -v uv gcc g++ cc make; true"
    )
    assert found == ""


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_all_that_its_core_imports_and_writes_nothing_to_its_image(name):
    module = name.replace("-", "_")
    core = f"from components.{module}.__main__ import load_core; load_core()"
    program = f"{core}; import fsspec, s3fs; print('whole')"

    said = docker("run", "--rm", *RESTRICTED, reference(name), "python", "-c", program)

    assert said.splitlines()[-1] == "whole"


def test_the_serving_image_is_small_and_holds_no_tensorflow():
    assert inspect("model-server")["Size"] <= 400e6
    assert "tensorflow" not in docker(
        "run",
        "--rm",
        *RESTRICTED,
        reference("model-server"),
        "ls",
        "/opt/environment/lib/python3.11/site-packages",
    )


def test_the_serving_image_answers_for_a_bundle(tmp_path):
    bundle = tmp_path / "bundle"
    network(0).write_bundle(bundle)
    # The image's user is not the one that wrote it.
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"mulgil-test-{uuid.uuid4().hex[:8]}"
    words = [word for word in RESTRICTED if word not in ("--network", "none")]
    docker(
        *("run", "--detach", "--name", name, *words, "--publish", f"127.0.0.1:{port}:8080"),
        *("--volume", f"{bundle}:/mnt/models:ro", reference("model-server")),
        *("python", "-m", "mulgil.serving", "--model-name=heart", "--model-path=/mnt/models"),
        *("--model-version=3", "--http-port=8080", "--host=0.0.0.0"),
    )
    try:
        answer = ask(f"http://127.0.0.1:{port}/v1/models/heart:predict", name)
    finally:
        docker("rm", "--force", name)

    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == "3"


def ask(url, container):
    for _ in range(100):
        try:
            return httpx.post(url, json={"instances": [ROW]})
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(docker("logs", container, is_checked=False))
