"""`mulgil rollout`, as a user types it: what it tells of a rollout that is over, and of each mistake."""

import json

import pytest
from kserve_cluster import isvc
from plane_of_words import PlaneOfWords
from rollouts import Callers, Scene

from mulgil import cli
from mulgil.rollout.drivers.local import LocalDriver


@pytest.fixture
def mulgil(tmp_path, monkeypatch, capsys):
    """Run a command of `mulgil rollout`; return its exit code, what it wrote, and what it wrote as errors."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mulgil", "rollout", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as left:
            code = left.code or 0
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def rollout(tmp_path):
    """A rollout that was promoted."""
    plane = PlaneOfWords(tmp_path / "serving")
    scene = Scene(tmp_path / "rollouts", LocalDriver(plane), Callers(plane))
    scene.settle(isvc("1"))
    return scene.drive(scene.start(isvc("2")))


def test_one_that_is_over_is_shown_by_its_service_with_its_page(mulgil, rollout, tmp_path):
    code, out, _ = mulgil("status", "heart")

    assert code == 0
    assert f"{rollout.rollout_id}  promoted" in out
    assert "default/heart: version 1 to 2, driver local" in out
    assert "step 3: 50 percent" in out
    assert (tmp_path / "rollouts" / rollout.rollout_id / "rollout.html").exists()


def test_who_watches_one_that_is_over_reads_how_it_went(mulgil, rollout):
    code, out, _ = mulgil("watch")

    assert code == 0
    assert "Version 2 has all the traffic." in out


def test_the_history_has_every_rollout(mulgil, rollout):
    header, row = mulgil("history")[1].splitlines()

    assert header.split()[:5] == ["ROLLOUT", "FROM", "TO", "STATE", "STARTED"]
    assert row.split()[:4] == [rollout.rollout_id, "1", "2", "promoted"]


@pytest.mark.parametrize("word", ["abort", "promote"])
def test_one_that_is_over_takes_no_command(mulgil, rollout, word):
    code, _, err = mulgil(word)

    assert code == 2
    assert f"The rollout {rollout.rollout_id} is over" in err


@pytest.mark.parametrize("word", ["status", "watch", "abort", "promote"])
def test_a_name_that_nothing_has_is_refused_with_those_that_there_are(mulgil, rollout, word):
    code, _, err = mulgil(word, "pump")

    assert code == 2
    assert "There is no rollout pump" in err
    assert rollout.rollout_id in err


@pytest.mark.parametrize("word", ["status", "watch", "abort", "promote"])
def test_where_there_was_none_yet_that_is_said(mulgil, word):
    code, _, err = mulgil(word)

    assert code == 2
    assert "There is no rollout yet" in err
    assert mulgil("history")[1].startswith("No rollouts yet.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("start", "-f", "FILE", "--driver", "kubernetes"), "driver=kubernetes"),
        (("start", "-f", "FILE"), "Nothing serves default/heart"),
        (("start", "-f", "no.yaml"), "Cannot read no.yaml"),
        (("simulate", "heart"), "Nothing serves default/heart"),
        (("simulate", "heart", "--seconds", "0"), "--seconds"),
    ],
)
def test_a_mistake_is_named(mulgil, tmp_path, arguments, told):
    file = tmp_path / "heart.yaml"
    file.write_text(str(isvc("1")), encoding="utf-8")

    code, _, err = mulgil(*(str(file) if word == "FILE" else word for word in arguments))

    assert code == 2
    assert told in err


def test_a_service_without_traffic_gives_nothing_to_forecast_from(mulgil, rollout):
    code, _, err = mulgil("simulate", "heart", "--rate", "0")

    assert code == 2
    assert "Received: --rate 0" in err


def test_nothing_is_applied_beneath_a_rollout_that_is_under_way(tmp_path, monkeypatch, capsys):
    plane = PlaneOfWords(tmp_path / "serving")
    scene = Scene(tmp_path / "rollouts", LocalDriver(plane), Callers(plane))
    scene.settle(isvc("1"))
    rollout = scene.start(isvc("2"))
    (tmp_path / "third.json").write_text(json.dumps(isvc("3")))
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["mulgil", "apply", "-f", str(tmp_path / "third.json")])

    with pytest.raises(SystemExit) as left:
        cli.main()

    assert left.value.code == 4
    told = capsys.readouterr().err
    assert f"The rollout {rollout.rollout_id} of default/heart is under way" in told
    assert "mulgil rollout abort" in told
