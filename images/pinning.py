"""An overlay's images by digest: what the registry has under a tag now is what runs from then on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from mulgil import __version__
from mulgil.artifacts import write_text
from mulgil.cluster.image_registry import find_digest
from mulgil.errors import MulgilError

# Those that manifests name; a pipeline's are pinned when it is compiled.
SERVERS = ("collector", "mlflow", "model-server")
_HEAD = """\
# Written by `make pin`: what the registry had under these tags. An overlay lists this folder as a component.
"""


def pin_images(
    folder: Path, registry: str, tag: str, find: Callable[[str], str] = find_digest
) -> Mapping[str, str]:
    """Write a kustomize component that names the servers' images by digest.

    Args:
        folder: Of the component; it is made where it does not exist.
        registry: Where the images are, such as `ghcr.io/acme`.
        tag: Of the images.
        find: Asks the registry for the digest of an image.

    Returns:
        The digests by image.

    Raises:
        InputError: The registry has no such image.
        PermanentError: It refuses.
        TemporaryError: It does not answer.
    """
    digests = {name: find(f"{registry}/mulgil/{name}:{tag}") for name in SERVERS}
    component = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": [
            {"name": f"mulgil/{name}", "newName": f"{registry}/mulgil/{name}", "digest": digest}
            for name, digest in digests.items()
        ],
    }
    write_text(folder / "kustomization.yaml", _HEAD + yaml.safe_dump(component, sort_keys=False))
    return digests


def main(argv: Sequence[str] | None = None) -> int:
    """Pin, and say what was written."""
    parser = argparse.ArgumentParser(prog="python -m images.pinning", description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="the component to write, such as manifests/overlays/mine/images"
    )
    parser.add_argument("--registry", required=True, help="where the images are, such as ghcr.io/acme")
    parser.add_argument("--tag", default=__version__, help="default: %(default)s")
    flags = parser.parse_args(argv)
    try:
        digests = pin_images(flags.folder, flags.registry.rstrip("/"), flags.tag)
    except MulgilError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    for name, digest in digests.items():
        print(f"{name}  {digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
