"""`mulgil models`: registered versions listed, compared, promoted with a verdict, and told of on a card."""

import re
from dataclasses import replace

import pytest
from registry_template import write_empty_registry
from run_folders import EVALUATION as MEASURED
from served_bundles import DICTIONARY

from mulgil import cli, registry
from mulgil.artifacts import (
    BundleManifest,
    Check,
    DecisionRule,
    FeatureServiceReference,
    Interval,
    SliceScore,
    ThresholdPoint,
    Verdict,
    fingerprint_files,
)
from mulgil.home import SOURCE_ROOT


@pytest.fixture
def mulgil(monkeypatch, capsys, tmp_path):
    """Run the command line; return its exit code and what it wrote."""
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_empty_registry(tmp_path / "home")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mulgil", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        written = capsys.readouterr()
        return left.value.code or 0, written.out + written.err

    return run


def _register(root, content, accuracy=0.9, *, is_approved=True, has_evidence=True):
    bundle = root / content
    bundle.mkdir()
    (bundle / "model.tflite").write_text(content)
    (bundle / "dictionary.json").write_text(DICTIONARY.model_dump_json())
    manifest = BundleManifest(
        name="m",
        task="binary_classification",
        output="probability",
        data_fingerprint=content * 8,
        dictionary_fingerprint="2",
        feature_service=FeatureServiceReference(
            name="m", project="m", store_version="1", online_store="", entity="patient_id", features=("age",)
        ),
        files=fingerprint_files(bundle),
    )
    manifest.write(bundle / "bundle.json")
    score = Interval(value=0.8, low=0.7, high=0.9, confidence=0.99)
    evaluation = MEASURED.model_copy(
        update={
            "bundle_fingerprint": manifest.fingerprint,
            "slices": (
                SliceScore(column="thal", group="3", rows=60, is_compared_for_fairness=True, score=score),
                SliceScore(
                    column="thal",
                    group="6",
                    rows=4,
                    is_compared_for_fairness=True,
                    score=None,
                    reason="fewer than 20 rows",
                ),
            ),
            "decision": DecisionRule(
                threshold=0.25,
                rule="recall of at least 0.9",
                is_met=True,
                rows=60,
                points=tuple(
                    ThresholdPoint(
                        threshold=place / 100,
                        false_positives=100 - place,
                        false_negatives=place,
                        true_positives=100 - place,
                        true_negatives=place,
                    )
                    for place in range(101)
                ),
            ),
        }
    )
    evaluation.write(root / f"{content}-evaluation")
    check = Check(name="floor", is_passed=is_approved, reason="roc_auc is good")
    Verdict.of("evaluate_model", manifest.fingerprint, [check]).write(root / f"{content}-verdict")
    registration = registry.Registration(
        name="m",
        bundle_path=bundle,
        bundle_fingerprint=manifest.fingerprint,
        parameters={"family": '"linear"', "rows_train": "100", "rows_validation": "20", "seed": content},
        metrics={"test_accuracy": accuracy},
        curves={},
        tags={"mulgil.run_id": f"run-{content}"},
    )
    evidence = {
        "evaluation.json": root / f"{content}-evaluation",
        "verdict.json": root / f"{content}-verdict",
    }
    registry.register(registration)
    # A version of before evidence was kept gets it when the same bundle is registered again.
    return registry.register(replace(registration, evidence=evidence) if has_evidence else registration)


def test_versions_are_listed_compared_and_promoted_step_by_step(mulgil, tmp_path):
    _register(tmp_path, "one", accuracy=0.9)
    _register(tmp_path, "two", accuracy=0.95)

    code, listed = mulgil("models", "list")
    assert code == 0
    assert re.search(r"m +2 +candidate +roc_auc 0\.\d+ \(0\.\d+ to 0\.\d+\) .* run-two", listed)
    assert re.search(r"m +1 +roc_auc", listed)

    code, differences = mulgil("models", "diff", "m", "1", "candidate")
    assert code == 0
    assert re.search(r"test_accuracy +0\.9000 +0\.9500", differences)
    assert re.search(r"seed +one +two", differences)
    assert "rows_train" not in differences
    assert "They do not differ" in mulgil("models", "diff", "m", "1", "1")[1]

    code, refused = mulgil("models", "promote", "m", "2", "--to", "champion")
    assert code == 3
    assert "it is not in staging; promote it there first" in refused
    assert registry.find_champion("m") is None

    assert "m 2 is in staging now" in mulgil("models", "promote", "m", "2")[1]
    code, promoted = mulgil("models", "promote", "m", "staging")
    assert code == 0
    assert "m 2 is the champion now" in promoted
    assert registry.find_champion("m").version == "2"
    assert "is the champion already" in mulgil("models", "promote", "m", "2", "--to", "champion")[1]

    code, shown = mulgil("models", "show", "m")
    assert code == 0
    assert "m 2  candidate, champion, staging" in shown
    for alias in ("staging", "champion"):
        assert f"{alias}: evaluate_model approved" in shown
    assert mulgil("models", "promote", "m", "1")[0] == 0
    assert "staging: " not in mulgil("models", "show", "m", "2")[1]
    assert "staging: evaluate_model approved" in mulgil("models", "show", "m", "1")[1]


def test_a_version_that_was_rejected_is_not_promoted(mulgil, tmp_path):
    _register(tmp_path, "one", is_approved=False)
    code, refused = mulgil("models", "promote", "m", "1")
    assert code == 3
    assert "evaluate_model rejected" in refused


def test_a_card_says_what_a_model_is_for_how_good_it_is_and_where_not(mulgil, tmp_path):
    _register(tmp_path, "one")
    page = tmp_path / "card.html"
    project = SOURCE_ROOT / "projects" / "breast_cancer"
    code, _ = mulgil("models", "card", "m", "--project", project, "--output", page)
    assert code == 0
    card = page.read_text(encoding="utf-8")
    for words in (
        "m, version 1",
        "What it is for",
        "roc_auc is good",
        "From where on it is a yes",
        "recall of at least 0.9",
        "thal 6 (4)",
        "120 rows",
        "run-one",
    ):
        assert words in card, words
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", card)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "show", "nobody"), "There is no model nobody"),
        (("models", "show", "m", "9"), "m has no version 9"),
        (("models", "card", "m"), "was registered without its evaluation"),
        (("models", "promote", "m", "1"), "was registered without its evaluation"),
    ],
)
def test_what_is_not_there_is_named(mulgil, tmp_path, arguments, message):
    _register(tmp_path, "one", has_evidence=False)
    code, said = mulgil(*arguments)
    assert code == 2
    assert message in said


def test_without_models_the_list_says_how_to_make_one(mulgil):
    code, said = mulgil("models", "list")
    assert code == 0
    assert "No models yet" in said
