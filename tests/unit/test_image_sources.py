"""An image holds every module of ours that its sources import at their head."""

import ast
from pathlib import Path

import pytest

from images.images import IMAGES
from mulgil.home import SOURCE_ROOT


def files_of(source):
    path = SOURCE_ROOT / source
    return [path] if path.is_file() else [file for file in path.rglob("*.py") if ".venv" not in file.parts]


def is_module(name):
    path = SOURCE_ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def modules_imported_by(file):
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield node.module
            # What is imported from a package may be a module of it.
            yield from (name for alias in node.names if is_module(name := f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.names[0])
def test_an_image_holds_what_its_sources_import(image):
    held = [file for source in image.sources for file in files_of(source)]
    names = {".".join(file.relative_to(SOURCE_ROOT).with_suffix("").parts) for file in held}
    names |= {name.removesuffix(".__init__") for name in names}

    missing = {
        (module, Path(file).name)
        for file in held
        for module in modules_imported_by(file)
        if module.split(".")[0] in ("mulgil", "components", "feature_repo", "pipelines")
        and module not in names
    }

    assert names
    assert not missing
