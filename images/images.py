"""Which images there are, and what goes into each: `make images` builds them.

Components that share an environment share an image, under a name each: the layers are there once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulgil import __version__
from mulgil.artifacts import fingerprint_json
from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.docker.launcher import CODE_LABEL

DOCKERFILE = SOURCE_ROOT / "images" / "Dockerfile"
# What every program of ours needs, whatever it does; then what every step does.
_LIBRARY = (
    *("mulgil/__init__.py", "mulgil/artifacts.py", "mulgil/contract", "mulgil/errors.py", "mulgil/home.py"),
    *(
        "mulgil/images.py",
        "mulgil/online_rows.py",
        "mulgil/online_stores.py",
        "mulgil/full_disk.py",
        "mulgil/program.py",
        "mulgil/project_code.py",
        "mulgil/project_location.py",
    ),
)
_STEP = (*_LIBRARY, "components/__init__.py", "components/image.py")
# What asks a model, or reads what was asked.
_MODEL = (
    *("mulgil/litert_model.py", "mulgil/numeric_model.py", "mulgil/onnx_model.py"),
    "mulgil/preprocessing",
)
_REGISTRY = ("mulgil/registry.py", "mulgil/registry_database.py")
# Settings of this shell that a build behind a proxy needs too.
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        names: What it is called, without registry and tag.
        groups: The dependency groups that are installed.
        sources: Files and folders of the checkout.
        project: The folder whose lock is installed.
        build_packages: Debian packages that a dependency without a wheel is built with.
        left_out: Patterns of what packages bring that the image's program never loads, below site-packages.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    project: str = "."
    build_packages: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


# Of the runtimes: what converts and quantizes models, what runs them on devices, what programs in C link to.
# Of Pillow: what draws text and reads AVIF. Of numpy: its tests.
_NOT_FOR_SERVING = (
    *("ml_dtypes*", "ai_edge_litert/libLiteRtWebGpuAccelerator.so", "ai_edge_litert/tools"),
    *("ai_edge_litert/vendors", "onnxruntime/transformers", "onnxruntime/tools", "onnxruntime/quantization"),
    *("onnxruntime/capi/libonnxruntime.so.*", "PIL/_avif.*", "pillow.libs/libavif*", "PIL/_imagingft.*"),
    *("pillow.libs/libfreetype*", "pillow.libs/libharfbuzz*"),
    *("numpy/tests", "numpy/*/tests", "numpy/f2py", "numpy/distutils", "numpy/_pyinstaller", "*/include"),
    *("grpc/_cython/_credentials", "uvloop/*.pyx", "uvloop/*/*.pyx", "uvloop/loop.c"),
)

IMAGES = (
    Image(
        ("ingest-data",),
        ("data", "project"),
        (
            *(*_STEP, "components/ingest_data", "mulgil/broken_rules.py", "mulgil/preprocessing"),
            "mulgil/source_code.py",
        ),
    ),
    Image(
        ("validate-data",),
        ("project",),
        (
            *_STEP,
            "components/validate_data",
            "mulgil/broken_rules.py",
            "mulgil/divergence.py",
            "mulgil/preprocessing",
        ),
        project="components/validate_data",
        # tensorflow-data-validation wants pyfarmhash, which has no wheel.
        build_packages=("g++", "python3-dev"),
    ),
    Image(
        ("materialize-features",),
        ("features", "project"),
        (*_STEP, "components/materialize_features", "feature_repo", "mulgil/preprocessing"),
    ),
    Image(
        ("train-model", "evaluate-model"),
        ("training", "registry", "project"),
        (
            *(*_STEP, "components/train_model", "components/evaluate_model"),
            *(*_MODEL, "components/tensorflow_startup.py", *_REGISTRY),
            *("mulgil/quantile_regression.py", "mulgil/source_code.py"),
        ),
    ),
    Image(
        ("register-model", "deploy-model", "roll-out-model"),
        ("registry", "cluster"),
        (
            *(*_STEP, "components/register_model", "components/deploy_model", "components/roll_out_model"),
            *(
                *_REGISTRY,
                "mulgil/kserve_modes.py",
                "mulgil/endpoint_access.py",
                *_MODEL,
                "mulgil/local",
                "mulgil/cluster",
                "mulgil/rollout",
                "mulgil/serving",
            ),
        ),
    ),
    Image(
        ("model-server",),
        ("serving",),
        (*_LIBRARY, *_MODEL, "mulgil/serving"),
        left_out=_NOT_FOR_SERVING,
    ),
    Image(
        ("collector",),
        ("collector",),
        (*_LIBRARY, *_MODEL, "mulgil/prediction_log", "mulgil/serving"),
    ),
    Image(("mlflow",), ("mlflow",), ("mulgil/__init__.py",)),
)


def refer(image: Image, registry: str, tag: str) -> list[str]:
    """Return an image's names with registry and tag."""
    return [f"{registry}{'/' if registry else ''}mulgil/{name}:{tag}" for name in image.names]


def build(image: Image, registry: str, tag: str) -> list[str]:
    """Build an image, and return its names with registry and tag."""
    references = refer(image, registry, tag)
    with tempfile.TemporaryDirectory(prefix="mulgil-image-") as folder:
        context = Path(folder)
        for name in ("pyproject.toml", "uv.lock"):
            _copy(SOURCE_ROOT / image.project / name, context / "lock" / name)
        for source in image.sources:
            _copy(SOURCE_ROOT / source, context / "source" / source)
        arguments = {
            "PROJECT": "lock",
            "DEPENDENCY_GROUPS": " ".join(f"--group={group}" for group in image.groups),
            "BUILD_PACKAGES": " ".join(image.build_packages),
            "LEFT_OUT": " ".join(image.left_out),
            "TITLE": image.names[0],
            "VERSION": __version__,
            "REVISION": _revision(),
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        }
        flags = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        flags += [
            word for name, value in _code_labels(image).items() for word in ("--label", f"{name}={value}")
        ]
        tags = [word for reference in references for word in ("--tag", reference)]
        _docker("build", "--file", str(DOCKERFILE), *flags, *tags, str(context))
    return references


def _code_labels(image: Image) -> dict[str, str]:
    """Say of each component in an image which code it holds, by which the Docker runner knows a stale one."""
    names = (name.replace("-", "_") for name in image.names)
    components = [name for name in names if (SOURCE_ROOT / "components" / name).is_dir()]
    return {f"{CODE_LABEL}.{name}": fingerprint_json(fingerprint_code(name)) for name in components}


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", ".venv", "pyproject.toml", "uv.lock")
        shutil.copytree(source, place, ignore=left_out, dirs_exist_ok=True)
    else:
        shutil.copy2(source, place)


def _revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=SOURCE_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _docker(*words: str) -> None:
    # The classic builder of older engines reads no `# syntax` line.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run(["docker", *words], check=True, env=environment)


def _size_of(reference: str) -> int:
    inspected = subprocess.run(
        ["docker", "image", "inspect", reference], capture_output=True, text=True, check=True
    )
    return int(json.loads(inspected.stdout)[0]["Size"])


def main(argv: Sequence[str] | None = None) -> int:
    """Build the images that were asked for, push them where that was asked for, and print their sizes."""
    known = sorted(name for image in IMAGES for name in image.names)
    parser = argparse.ArgumentParser(prog="python -m images.images", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"all where none is given: {', '.join(known)}"
    )
    parser.add_argument("--registry", default="", help="put before each name, such as ghcr.io/acme")
    parser.add_argument("--tag", default=__version__, help="default: %(default)s")
    parser.add_argument("--push", action="store_true", help="push them to the registry")
    parser.add_argument("--list", action="store_true", help="print their names instead of building them")
    flags = parser.parse_args(argv)
    if unknown := set(flags.names) - set(known):
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if flags.push and not flags.registry:
        parser.error("--push needs --registry")
    wanted = [image for image in IMAGES if not flags.names or set(flags.names) & set(image.names)]
    if flags.list:
        for image in wanted:
            print(*refer(image, flags.registry, flags.tag), sep="\n")
        return 0
    if shutil.which("docker") is None:
        print("Images need a Docker engine; there is no docker here.", file=sys.stderr)
        return 2
    for image in wanted:
        try:
            references = build(image, flags.registry, flags.tag)
            for reference in references if flags.push else ():
                _docker("push", reference)
        except subprocess.CalledProcessError as exc:
            print(f"docker {exc.cmd[1]} failed for {image.names[0]}", file=sys.stderr)
            return 4
        for reference in references:
            print(f"{reference}  {_size_of(reference) / 1e6:.0f} MB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
