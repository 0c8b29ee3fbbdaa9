"""What waiting interpreters import, and which is copied from which."""

import importlib

import pytest

from mulgil.home import SOURCE_ROOT
from mulgil.local.cache.code import fingerprint_code
from mulgil.local.shared_imports import Wants, branch, choose_imports, wants_of

COMPONENTS = sorted(file.parent.name for file in (SOURCE_ROOT / "components").glob("*/__main__.py"))


def test_what_two_begin_alike_is_imported_once():
    assert branch([("a", "b", "c"), ("a", "b", "d"), ("a", "e")]) == {
        ("a",): None,
        ("a", "b"): ("a",),
        ("a", "b", "c"): ("a", "b"),
        ("a", "b", "d"): ("a", "b"),
        ("a", "e"): ("a",),
    }


def test_one_alone_is_started_and_copied_from_none():
    assert branch([("a", "b")]) == {("a", "b"): None}


def test_those_that_share_nothing_are_copied_from_one_that_imported_nothing():
    assert branch([("a",), ("b",)]) == {(): None, ("a",): (), ("b",): ()}


def test_what_is_seldom_needed_is_taken_where_it_is_there_for_another():
    sparing = Wants(("a",), ("b", "c"), "sparing")
    heavy, light = Wants(("a", "b", "c"), (), "heavy"), Wants(("a",), (), "light")

    assert choose_imports({"sparing": sparing, "heavy": heavy})["sparing"] == ("a", "b", "c", "sparing")
    assert choose_imports({"sparing": sparing, "light": light})["sparing"] == ("a", "sparing")
    assert choose_imports({"sparing": sparing})["sparing"] == ("a", "sparing")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_names_for_sharing_what_is_in_its_own_code_and_can_be_called(component):
    wants = wants_of(component)
    ours = fingerprint_code(component)

    for name in (*wants.imports, *wants.spare):
        module, _, function = name.partition(":")
        if module.startswith(("mulgil.", "components.")):
            path = module.replace(".", "/")
            assert {f"{path}.py", f"{path}/__init__.py"} & ours.keys()
        if function:
            assert callable(getattr(importlib.import_module(module), function))
