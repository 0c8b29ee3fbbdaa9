"""What the command line says, and the code that it leaves with, where the user made a mistake."""

from pathlib import Path

import pytest

from mulgil import cli
from mulgil.cli.run import AskedRun, say_how_to_go_on
from mulgil.cli.tables import align
from mulgil.errors import GateRejectedError, InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT

PROJECT = str(SOURCE_ROOT / "projects" / "breast_cancer")


@pytest.fixture
def leave(monkeypatch, capsys, tmp_path):
    """Run the command line; return its exit code and what it wrote as errors."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mulgil", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, capsys.readouterr().err

    return run


def test_brackets_in_what_was_received_are_shown_as_they_are(leave):
    code, message = leave("runs", "show", "[/red] [bold]")

    assert code == 2
    assert "run=[/red] [bold]" in message


@pytest.mark.parametrize("flag", [("--source", "rows.csv"), ("--set", "split.seed=3"), ("--no-deploy",)])
def test_what_would_change_a_run_that_goes_on_is_refused(leave, flag):
    code, message = leave("run", "--resume", "latest", *flag)

    assert code == 2
    assert "A run goes on as it began" in message


@pytest.mark.parametrize("content", ['{"age": NaN}', '{"age": 1e999}', "[" * 100_000])
def test_rows_that_cannot_be_sent_as_json_are_refused_before_anything_is_asked(leave, tmp_path, content):
    rows = tmp_path / "rows.json"
    rows.write_text(content, encoding="utf-8")

    code, message = leave("predict", PROJECT, "--file", rows)

    assert code == 2
    assert f"{rows} is not JSON" in message


@pytest.mark.parametrize(
    "command", [("runs", "list"), ("up",), ("down",), ("get", "isvc"), ("predict", PROJECT), ("run", PROJECT)]
)
def test_a_home_that_is_no_folder_is_named_by_every_command_that_needs_it(
    leave, monkeypatch, tmp_path, command
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "file"))

    code, message = leave(*command)

    assert code == 2
    assert f"cannot keep its state in {tmp_path / 'file'}" in message
    assert "set MULGIL_HOME" in message


@pytest.mark.parametrize("name", ["[a]", "a*", "a?", "a\\b"])
def test_a_home_that_tensorflow_would_take_for_a_pattern_is_refused(leave, monkeypatch, tmp_path, name):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / name))

    code, message = leave("runs", "list")

    assert code == 2
    assert "the path has one of" in message


def test_a_place_that_cannot_be_written_to_is_named_and_nothing_is_left_beside_it(leave, tmp_path):
    place = tmp_path / "folder"
    place.mkdir()

    code, message = leave("dictionary", PROJECT, "--output", place)

    assert code == 4
    assert f"Cannot write {place}: Is a directory" in message
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("command", ["run", "predict", "dictionary"])
def test_a_project_that_is_not_there_is_named_with_the_place_that_was_looked_at(
    leave, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(tmp_path)

    code, message = leave(command, "mine")

    assert code == 2
    assert f"PROJECT={tmp_path / 'mine'}" in message


def test_a_setting_that_the_project_file_does_not_have_is_named_by_its_key(leave):
    code, message = leave("run", PROJECT, "--set", "serving.replicas=3")

    assert code == 2
    assert "serving.replicas: this key is unknown" in message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "The source is a folder without files"),
        ("*.csv", "The source does not exist"),
        ("a**b/rows.csv", "The source does not exist"),
    ],
)
def test_a_source_of_no_file_is_refused_before_anything_is_run(leave, tmp_path, source, message):
    code, said = leave("run", PROJECT, "--source", tmp_path / source)

    assert code == 2
    assert message in said


def test_a_table_has_every_cell_whole_and_its_columns_under_each_other():
    name = "n" * 300

    assert align(("NAME", "AGE"), (name, "1m"), ("물길", "2m")).splitlines() == [
        "NAME" + " " * 299 + "AGE",
        name + "   1m",
        "물길" + " " * 299 + "2m",
    ]


@pytest.mark.parametrize("kind", [InputError, GateRejectedError])
def test_what_the_users_files_caused_is_run_anew_as_it_was_asked_for(kind):
    again = AskedRun(Path("my table"), "rows.csv", ("split.seed=3",), is_deployed=False).command

    said = say_how_to_go_on(kind.exit_code, "run-1", again)

    assert "mulgil run 'my table' --source rows.csv --set split.seed=3 --no-deploy\n" in said
    assert "--resume run-1" not in said


@pytest.mark.parametrize("code", [PermanentError.exit_code, TemporaryError.exit_code, 1])
def test_what_the_machine_caused_is_resumed(code):
    assert say_how_to_go_on(code, "run-1", "mulgil run table").endswith("mulgil run --resume run-1")
