import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from registry_template import make_champion, write_empty_registry

from mulgil import registry, registry_database
from mulgil.artifacts import (
    BundleManifest,
    Check,
    FeatureServiceReference,
    Verdict,
    fingerprint_files,
    read_bundle,
)
from mulgil.errors import GateRejectedError, InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.rollout.opening import finish
from mulgil.rollout.record import Phase

SERVICE = FeatureServiceReference(
    name="s", project="p", store_version="1", online_store="o", entity="key", features=("a",)
)

REGISTER = """
import sys
from pathlib import Path
from mulgil import registry
from mulgil.artifacts import read_bundle
path = Path(sys.argv[1])
registered = registry.register(registry.Registration(
    name="m", bundle_path=path, bundle_fingerprint=read_bundle(path).fingerprint,
    parameters={"a": "1"}, metrics={"b": 1.0}, curves={"c": [float(i) for i in range(3000)]}, tags={"d": "2"},
))
print(registered.version, registered.storage_uri)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    # A space in a path is a case of its own in every URI.
    home = tmp_path / "a home"
    monkeypatch.setenv("MULGIL_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture
def empty_registry(home):
    write_empty_registry(home)


def write_bundle(path: Path, content: str = "weights") -> Path:
    (path / "saved_model").mkdir(parents=True)
    (path / "saved_model" / "saved_model.pb").write_text(content)
    BundleManifest(
        name="m",
        task="binary_classification",
        output="probability",
        data_fingerprint="1",
        dictionary_fingerprint="2",
        feature_service=SERVICE,
        files=fingerprint_files(path),
    ).write(path / "bundle.json")
    return path


def registration(path: Path) -> registry.Registration:
    return registry.Registration(
        name="m",
        bundle_path=path,
        bundle_fingerprint=read_bundle(path).fingerprint,
        parameters={"hidden_units": "[16]"},
        metrics={"test_roc_auc": 0.9},
        curves={"loss": [0.7, 0.6]},
        tags={"mulgil.run_id": "r1"},
    )


def start(path: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", REGISTER, str(path)],
        env={**os.environ, "MULGIL_HOME": str(home), "PYTHONPATH": str(SOURCE_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_made_by_looking_for_a_champion_or_for_versions(home):
    assert registry.find_champion("m") is None
    assert registry.list_versions() == []
    assert not home.exists()


def test_a_bundle_registers_once_with_its_lineage(tmp_path):
    path = write_bundle(tmp_path / "bundle")

    first = registry.register(registration(path))
    again = registry.register(registration(path))

    assert first == again
    assert first.version == "1"
    assert registry.bundle_directory(first) == Path(first.storage_uri.removeprefix("file://"))
    assert read_bundle(registry.bundle_directory(first)).fingerprint == first.bundle_fingerprint
    with registry._client() as client:
        version = client.get_model_version_by_alias("m", "candidate")
        assert version.tags == {
            "mulgil.run_id": "r1",
            "mulgil.bundle_fingerprint": first.bundle_fingerprint,
        }
        run = client.get_run(version.run_id)
        assert run.data.params == {"hidden_units": "[16]"}
        assert run.data.metrics["test_roc_auc"] == 0.9
        assert [m.value for m in client.get_metric_history(version.run_id, "loss")] == [0.7, 0.6]


def test_another_bundle_is_another_version_and_the_new_candidate(tmp_path, empty_registry):
    registry.register(registration(write_bundle(tmp_path / "one")))

    second = registry.register(registration(write_bundle(tmp_path / "two", "other weights")))

    assert second.version == "2"
    with registry._client() as client:
        assert int(client.get_model_version_by_alias("m", "candidate").version) == 2


def test_every_version_of_every_model_is_listed(tmp_path, empty_registry):
    first = registry.register(registration(write_bundle(tmp_path / "a", "1")))
    second = registry.register(registration(write_bundle(tmp_path / "b", "2")))
    other = registry.register(replace(registration(write_bundle(tmp_path / "c", "3")), name="other"))

    assert sorted(registry.list_versions(), key=lambda v: (v.name, v.version)) == [first, second, other]


def test_the_champion_is_the_version_that_was_promoted(tmp_path, empty_registry):
    registered = registry.register(registration(write_bundle(tmp_path / "bundle")))
    assert registry.find_champion("m") is None

    make_champion("m", registered.version)

    assert registry.find_champion("m") == registered


def test_each_alias_is_kept_with_the_verdict_that_it_was_given_for(tmp_path, empty_registry):
    registered = registry.register(registration(write_bundle(tmp_path / "bundle")))

    def give(alias, reason, is_passed=True):
        check = Check(name="asked", is_passed=is_passed, reason=reason)
        verdict = Verdict.of("deploy_model", registered.bundle_fingerprint, [check])
        registry.give_alias("m", registered.version, alias, verdict)

    with pytest.raises(GateRejectedError, match="it is slow"):
        give("staging", "it is slow", is_passed=False)
    assert registry._find_by_alias("m", "staging") is None
    give("staging", "it was approved")
    rolled_out = SimpleNamespace(
        candidate={"metadata": {"annotations": {"mulgil.dev/registered-model": "m"}}},
        candidate_version=registered.version,
        phase=Phase.PROMOTED,
        reason="It predicts as the version before.",
    )
    finish(rolled_out)
    give("champion", "again")

    [version] = registry.describe_versions("m")
    assert set(version.aliases) == {"candidate", "staging", "champion"}
    kept = {
        alias: Verdict.model_validate_json(version.tags[f"mulgil.promotion.{alias}"])
        for alias in ("staging", "champion")
    }
    assert kept["staging"].checks[0].reason == "it was approved"
    assert kept["champion"].gate == "roll_out_model"
    assert kept["champion"].checks[0].reason == "It predicts as the version before."


def test_the_database_is_read_as_mlflow_reads_it(tmp_path, empty_registry):
    first = registry.register(registration(write_bundle(tmp_path / "one")))
    second = registry.register(registration(write_bundle(tmp_path / "two", "other weights")))
    registry.register(replace(registration(write_bundle(tmp_path / "three", "3")), name="other"))
    make_champion("m", first.version)

    found = {alias: registry._find_by_alias("m", alias) for alias in ("candidate", "champion", "nobody")}

    assert found == {"candidate": second, "champion": first, "nobody": None}
    with registry._client() as client:
        for alias in ("candidate", "champion"):
            assert registry._as_record(client.get_model_version_by_alias("m", alias)) == found[alias]


def test_another_mlflows_tables_are_mlflows_to_read(tmp_path, empty_registry, monkeypatch):
    registered = registry.register(registration(write_bundle(tmp_path / "bundle")))
    query = registry_database._VERSION_BY_ALIAS.replace("registered_model_aliases", "aliases_of_tomorrow")
    monkeypatch.setattr(registry_database, "_VERSION_BY_ALIAS", query)

    assert registry.find_candidate("m") == registered


def test_a_registry_that_is_no_database_is_an_error_that_names_the_file(home):
    (home / "mlflow").mkdir(parents=True)
    (home / "mlflow" / "mlflow.db").write_bytes(
        b"no database at all, but long enough to be taken for one" * 9
    )

    with pytest.raises(PermanentError, match=r"mlflow\.db"):
        registry.find_champion("m")


def test_the_champion_is_found_without_mlflow(tmp_path, empty_registry, home):
    make_champion("m", registry.register(registration(write_bundle(tmp_path / "bundle"))).version)
    code = (
        "import sys; from mulgil import registry as r; print(r.find_champion('m'), 'mlflow' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=SOURCE_ROOT, capture_output=True, text=True, timeout=60
    )

    assert "version='1'" in found.stdout, found.stderr
    assert found.stdout.split()[-1] == "False"


def test_promoting_a_version_that_is_not_there_is_refused(tmp_path, empty_registry):
    registry.register(registration(write_bundle(tmp_path / "bundle")))

    with pytest.raises(PermanentError, match="version=7"):
        make_champion("m", "7")


def test_a_bundle_that_changed_in_the_store_is_not_registered_again(tmp_path, empty_registry):
    path = write_bundle(tmp_path / "bundle")
    stored = registry.bundle_directory(registry.register(registration(path)))
    (stored / "saved_model" / "saved_model.pb").write_text("tampered")

    with pytest.raises(InputError, match=r"saved_model/saved_model\.pb"):
        registry.register(registration(path))


def kill_once_there_is(
    process: subprocess.Popen[str], folder: Path, pattern: str, seconds: float = 0
) -> None:
    deadline = time.monotonic() + 30
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


# MLflow's migrations take about a second.
@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_a_start_killed_in_the_middle_of_the_migrations_leaves_nothing_broken(tmp_path, home, seconds):
    path = write_bundle(tmp_path / "bundle")
    kill_once_there_is(start(path, home), home / "mlflow", ".mlflow.db.*", seconds)
    assert not (home / "mlflow" / "mlflow.db").exists()

    assert registry.register(registration(path)).version == "1"

    assert list((home / "mlflow").glob(".mlflow.db.*")) == []


def test_a_registration_killed_while_it_copies_the_bundle_goes_on_with_its_run(
    tmp_path, home, empty_registry
):
    path = write_bundle(tmp_path / "bundle")
    (path / "saved_model" / "large").write_bytes(b"0" * 80_000_000)
    manifest = BundleManifest.read(path / "bundle.json")
    files = {k: v for k, v in fingerprint_files(path).items() if k != "bundle.json"}
    manifest.model_copy(update={"files": files}).write(path / "bundle.json")
    kill_once_there_is(start(path, home), home / "mlflow" / "artifacts", "**/large")
    with registry._client() as client:
        assert client.search_model_versions("name = 'm'") == []

    registered = registry.register(registration(path))

    read_bundle(registry.bundle_directory(registered))
    with registry._client() as client:
        (run,) = client.search_runs([client.get_experiment_by_name("m").experiment_id])
        (version,) = client.search_model_versions("name = 'm'")
        assert (run.info.status, version.run_id) == ("FINISHED", run.info.run_id)


def test_two_processes_that_start_at_once_make_one_registry_and_one_version(tmp_path, home):
    path = write_bundle(tmp_path / "bundle")

    processes = [start(path, home) for _ in range(2)]
    printed = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], printed
    (first, errors), (second, more_errors) = printed
    assert first == second
    assert first.startswith("1 file://")
    assert errors == more_errors == ""


def test_a_server_that_does_not_answer_is_a_temporary_error(monkeypatch):
    # Port 9 discards; nothing listens there.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(TemporaryError, match="MLflow at http://127"):
        registry.find_champion("m")


def test_each_trial_is_a_run_nested_in_the_models_and_a_registration_that_stopped_makes_the_rest(
    tmp_path, empty_registry, monkeypatch
):
    trials = [
        registry.Trial(
            f"trial-{place}",
            {"C": str(place)},
            {"loss": place / 10},
            {"fold_loss": [0.1, 0.3]},
            {"mulgil.ended": "early"},
            seconds=2.0,
        )
        for place in range(3)
    ]
    asked = replace(registration(write_bundle(tmp_path / "bundle")), trials=trials)
    log, logged = registry._log, []

    def stop_after_two(client, run, *more):
        logged.append(run)
        if len(logged) == 3:
            raise KeyboardInterrupt
        log(client, run, *more)

    monkeypatch.setattr(registry, "_log", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        registry.register(asked)
    monkeypatch.setattr(registry, "_log", log)

    for _ in range(2):
        registry.register(asked)

    with registry._client() as client:
        runs = client.search_runs([client.get_experiment_by_name("m").experiment_id])
    (parent,) = (run for run in runs if "mulgil.trial" not in run.data.tags)
    nested = sorted((run for run in runs if run is not parent), key=lambda run: run.data.params["C"])
    assert [run.data.metrics["loss"] for run in nested] == [0.0, 0.1, 0.2]
    for run in nested:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["mulgil.ended"] == "early"
        assert run.info.status == "FINISHED"
        assert run.info.end_time - run.info.start_time == 2000
        with registry._client() as client:
            folds = client.get_metric_history(run.info.run_id, "fold_loss")
        assert [(fold.step, fold.value) for fold in folds] == [(1, 0.1), (2, 0.3)]
