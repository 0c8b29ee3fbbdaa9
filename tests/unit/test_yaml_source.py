import math

import pytest

from mulgil.contract.yaml_source import read_yaml
from mulgil.errors import ContractError


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes):
        path = tmp_path / "file.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_yaml(path)

    return read


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        # What YAML 1.1 would make false, true, 8, 750, a date, text.
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("010", "010"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1e-3", 0.001),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ('"7"', "7"),
        ("7 mm", "7 mm"),
    ],
)
def test_a_scalar_is_what_it_looks_like(read, scalar, value):
    found = read(f"key: {scalar}").data["key"]
    assert (type(found), found) == (type(value), value)


def test_each_value_knows_its_line(read):
    document = read("a: 1\nb:\n  - c: 2\n    d: 3\n  - c: 4\n")
    assert document.line_of(("a",)) == 1
    assert document.line_of(("b", 0, "d")) == 4
    assert document.line_of(("b", 1)) == 5
    assert document.line_of(("b", 0, "unknown", "deeper")) == 3
    assert document.line_of(("unknown",)) == 1


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_an_empty_file_holds_nothing(read):
    assert read("# only a comment").data is None


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a: 1\nb: [1, 2\n", 3, "cannot be read as YAML"),
        ("a: 1\n b: 2\n", 2, "cannot be read as YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands twice"),
        ("b:\n  - a: 1\n    a: 2\n", 3, "the key 'a' stands twice"),
        ("true: 1\nTrue: 2\n", 2, "the key True stands twice"),
        ("? [a, b]\n: 1\n", 1, "a key is a list or a mapping"),
        ("a: &x [1]\nb: *x\n", 2, "an alias"),
        ("a: &x [*x]\n", 1, "an alias"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: !!python/name:os.system x\n", 1, "could not determine a constructor"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_line(read, content, line, reason):
    with pytest.raises(ContractError) as caught:
        read(content)
    assert f"file.yaml:{line}: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("content", ["a: \x00", "[" * 5000, "a: !!int x", b"a: \xff"])
def test_a_file_that_no_parser_takes_is_a_users_mistake_too(read, content):
    with pytest.raises(ContractError, match=r"file\.yaml"):
        read(content)


def test_a_missing_file_says_what_a_project_folder_is(tmp_path):
    with pytest.raises(ContractError, match=r"project\.yaml does not exist") as caught:
        read_yaml(tmp_path / "project.yaml")
    assert "a project folder with a project.yaml in it" in str(caught.value)


def test_a_folder_in_the_files_place_is_a_users_mistake(tmp_path):
    with pytest.raises(ContractError, match="Cannot read"):
        read_yaml(tmp_path)
