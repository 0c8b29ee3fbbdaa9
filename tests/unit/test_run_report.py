"""A run as a page: of one that went well, of one that was rejected, of one that hardly began."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from run_folders import DATASET, DISTRIBUTIONS, EVALUATION, HEART, HISTORY, STEPS, Made, verdict
from typer.testing import CliRunner

from mulgil.artifacts import (
    BehaviorExample,
    BehaviorFinding,
    Check,
    ColumnDrift,
    CrossValidatedMetric,
    CrossValidatedScores,
    DatasetManifest,
    FeatureImportance,
    FeatureSelection,
    LearningCurvePoint,
    QuarantineReason,
    QuarantineSummary,
    SpanComparison,
    SpanNews,
    SpanSummary,
    TuningTrial,
)
from mulgil.cli import app
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.run_store import RunRecord, State
from mulgil.reports.evidence import read_evidence
from mulgil.reports.run_page import render_run_page
from mulgil.reports.training_figures import tell_gain
from mulgil.reports.writing import gather, write_report


class Page(HTMLParser):
    """Collects a page's text, its tags, and what it would fetch."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.fetched, self.anchors, self.ids = "", [], [], [], set()
        self.pictures = []
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.text += " "
        self.tags.append(tag)
        self.ids.add(attributes.get("id"))
        if tag == "a":
            self.anchors.append(attributes["href"])
        if tag == "svg" and attributes.get("aria-hidden") != "true":
            self.pictures.append(attributes)
        self.fetched += [
            value
            for name, value in attrs
            if name in ("src", "srcset", "data", "xlink:href", "action", "poster")
            or (name == "href" and tag != "a")
        ]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path))


def page_of(made=None):
    return Page(render_run_page(gather((made or Made()).write())))


def test_the_training_is_told_from_the_baseline_to_the_one_look_at_the_test_rows():
    text = " ".join(page_of().text.split())
    stages = (
        "Baseline train 0.6900 0.7000",
        "Overfits train 2,417 0.3000 0.5000",
        "step 2, hidden_units=64 16; the ladder took 3.5 s; least after epoch 2, then 0.9000 after epoch 5",
        "Regularised train 417 0.5000 0.4500",
        "Final train and validation 417",
        "One look at the test rows train and validation 417 ROC AUC 0.910 (0.860 to 0.950)",
    )
    places = [text.find(stage) for stage in stages]

    assert -1 not in places, stages[places.index(-1)]
    assert places == sorted(places)
    assert "A row counts in the loss by its class: no 0.8, yes 1.25." in text
    for picture in ("Loss by capacity, without a penalty", "Where it overfits", "Loss by epoch"):
        assert picture in text


def test_a_training_without_a_ladder_shows_the_stages_that_it_had():
    history = HISTORY.model_copy(
        update={
            "ladder": None,
            "learning_curve": None,
            "baseline_loss": None,
            "class_weights": {},
            "rows": {"train": 181},
        }
    )
    text = " ".join(page_of(Made(history=history)).text.split())

    assert "Regularised train 417 0.5000 0.4500" in text
    assert "Final train 417 the very model of the row before" in text
    for missing in ("Baseline train", "Overfits", "by its class", "Loss by rows"):
        assert missing not in text


def test_a_fit_and_a_reference_on_part_of_the_rows_are_told():
    text = " ".join(page_of(Made(history=HISTORY.model_copy(update={"fitted_rows": 200}))).text.split())
    assert "fitted on 200 of the rows, evenly spread" in text
    assert "logistic regression fitted on the same rows" in text

    evaluation = EVALUATION.model_copy(update={"quantile": 0.5, "reference_rows": 180})
    text = " ".join(page_of(Made(run_id="other-1", evaluation=evaluation)).text.split())
    assert "without a penalty fitted on 180 of the same rows, as it is a linear program" in text
    assert "Baseline always gives the rows' quantile" in text


def test_a_search_shows_what_it_tried_what_was_taken_and_why_its_score_is_doubted():
    trials = (
        TuningTrial(settings={}, loss=0.5, losses=(0.4, 0.6), seconds=1.0),
        TuningTrial(settings={"C": 0.25}, loss=0.45, losses=(0.35, 0.55), seconds=1.0),
        TuningTrial(settings={"C": 4.0}, loss=0.8, losses=(0.8,), reason="surely worse than the best"),
        TuningTrial(settings={"C": 9.0}, reason="of no luck"),
    )
    searched = {"trials": trials, "settings": {"C": 0.25}, "tuning_warning": "trust no score"}
    page = page_of(Made(history=HISTORY.model_copy(update=searched)))
    text = " ".join(page.text.split())

    assert "4 settings were tried by cross-validation" in text
    assert "! A warning: trust no score." in text
    for row in ("1 as declared 0.5000 2 1.0 s", "2 C=0.25 0.4500 2 1.0 s taken", "4 C=9 0 0.0 s of no luck"):
        assert row in text
    assert "the best of 4 that were tried: C=0.25, 2 epochs" in text
    picture = next(one for one in page.pictures if "setting" in one["aria-label"])
    assert "3 settings in the order in which they were tried, 1 of them ended early" in picture["aria-label"]
    assert "least so far, 0.4500" in picture["aria-label"]


def test_a_learning_curve_shows_its_spread_and_what_more_rows_may_bring():
    page = page_of()
    text = " ".join(page.text.split())

    assert "From 48 to 193 rows the loss fell by 0.1967 (standard error 0.0033, by pairs of 3 folds)" in text
    assert "more rows may bring more. Left out: 0.1 of the rows: too few rows, or of a class." in text
    assert "193 0.4533 0.0503 0.3000 0.0000" in text
    assert any("with 193 rows it is 0.4533" in picture["aria-label"] for picture in page.pictures)
    one, other = (
        LearningCurvePoint(rows=rows, losses=losses, training_losses=losses)
        for rows, losses in ((50, (0.5, 0.6, 0.4)), (100, (0.52, 0.57, 0.39)))
    )
    assert "these folds do not tell" in tell_gain((one, other))
    single = [point.model_copy(update={"losses": point.losses[:1]}) for point in (one, other)]
    assert "tells nothing of chance" in tell_gain(single)


def test_a_ladder_that_found_no_end_says_why():
    ladder = HISTORY.ladder.model_copy(
        update={"steps": HISTORY.ladder.steps[:1], "reason": "the time budget of 9 s was over"}
    )
    text = page_of(Made(history=HISTORY.model_copy(update={"ladder": ladder}))).text

    assert "Does not overfit yet" in text
    assert "the time budget of 9 s was over" in text


def sensitive_project(folder, *names):
    """Copy the heart project with some columns made sensitive."""
    shutil.copytree(HEART, folder)
    path = folder / "data_dictionary.yaml"
    dictionary = yaml.safe_load(path.read_text())
    for column in dictionary["columns"]:
        column["sensitive"] = column["name"] in names
    path.write_text(yaml.safe_dump(dictionary))
    return folder


def test_a_run_that_went_well_shows_everything_that_it_left():
    text = " ".join(page_of().text.split())

    for expected in (
        "Approved by every gate and serving.",
        "Test ROC AUC 0.910 95% interval 0.860 to 0.950, 61 rows",
        "Tell whether a patient referred for angiography",
        "310 read = 181 train + 61 validation + 61 test + 5 quarantined + 2 repeated",
        "a number 'old'",
        "d" * 64,
        "roc_auc_floor",
        "417 numbers learned",
        "kind: InferenceService",
        "heart-disease 3",
        "heart_disease_1",
        "Serum cholesterol.",
        "Confusion matrix of the champion",
    ):
        assert expected in text, expected
    for step in STEPS:
        assert step.rpartition("/")[2] in text


def test_what_was_asked_of_the_models_behavior_is_counted_with_the_worst_rows():
    finding = BehaviorFinding(
        title="age by +10: prediction rises",
        column="age",
        rows=60,
        broken=2,
        least_share=0.99,
        greatest=0.1,
        examples=(BehaviorExample(row=6, value=54.0, changed=64.0, said=0.41, says=0.31),),
    )
    evaluation = EVALUATION.model_copy(update={"behaviors": (finding,)})

    text = " ".join(page_of(Made(evaluation=evaluation)).text.split())

    assert "age by +10: prediction rises ✗ failed 60 2 row 7, 54.0 to 64.0: 0.41 became 0.31" in text


SELECTION = FeatureSelection(
    method="select_from_model",
    asked=None,
    rows=181,
    features=(
        FeatureImportance(name="age", importance=0.25, by_chance=0.0625, is_kept=True),
        FeatureImportance(name="sex", importance=0.03125, by_chance=0.0625, is_kept=False),
    ),
)


def test_the_features_that_were_chosen_stand_beside_what_chance_gives():
    page = page_of(Made(selection=SELECTION))

    assert "Of 2 features 1 were kept by select from model, on 181 training rows" in page.text
    label = "Features by select from model. age 0.25 kept; sex 0.0312 left out"
    assert label in [picture["aria-label"] for picture in page.pictures]
    assert "Kept by select from model: 0.25, by chance 0.0625." in page.text
    assert "Left out by select from model: 0.03125, by chance 0.0625." in page.text
    assert "were kept by" not in page_of(Made(run_id="another")).text


def test_the_dictionary_page_has_the_choice_of_the_projects_last_run(tmp_path):
    Made(selection=SELECTION).write()

    result = CliRunner().invoke(app, ["dictionary", str(HEART), "--output", str(tmp_path / "page.html")])

    assert result.exit_code == 0, result.output
    assert "Left out by select from model" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_every_picture_is_named_and_described():
    page = page_of()

    assert len(page.pictures) >= 15
    for picture in page.pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"]) > 20
    assert page.tags.count("title") > len(page.pictures)
    assert page.tags.count("desc") == len(page.pictures)


def test_the_numbers_of_a_picture_stand_in_a_table():
    page = page_of()

    for cell in ("0.300", "0.4500", "29 to 48", "40.0%"):
        assert cell in page.text


def test_the_cells_behind_a_distance_stand_with_their_rows():
    _, _, after = page_of().text.partition("Cells behind the distance between splits")
    words = " ".join(after.split())

    # Nobody is above all of the training rows.
    assert "less than 29 0 1 0 29 to 44 20 20 20 44 to 77 10 9 10" in words[:200]


def test_the_page_asks_for_nothing_from_a_network_and_runs_no_script():
    source = render_run_page(gather(Made().write()))
    page = Page(source)

    assert page.fetched == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"@import|url\(|\son\w+=", source)
    assert all(anchor.startswith("#") and anchor[1:] in page.ids for anchor in page.anchors)


def test_what_a_run_left_cannot_bring_markup():
    evil = "<script>alert(1)</script>"
    check = Check(name=evil, is_passed=False, reason=evil)
    page = page_of(
        Made(
            validation=verdict("validate_data", check),
            quarantine=QuarantineSummary(
                reasons=(QuarantineReason(column=evil, expected=evil, received=evil, rows=1),)
            ),
            parameters={evil: evil},
            failed=("validate-data", 3, evil),
        )
    )

    assert "script" not in page.tags
    assert page.text.count(evil) >= 7


def test_a_sensitive_column_is_named_and_its_values_are_not_shown(tmp_path):
    project = sensitive_project(tmp_path / "project", "age")
    page = page_of(Made(project=project))

    assert "Sensitive: its values are not shown." in page.text
    assert "age by answer" not in page.text
    assert "'old'" not in page.text
    assert "29 to 48" not in page.text
    assert "sex by answer" in page.text


def test_a_rejected_run_shows_the_gate_its_reasons_and_the_end_of_its_log():
    check = Check(name="column:cp", is_passed=False, value=1, limit=0, reason="cp: received 'abc' in 1 row")
    page = page_of(
        Made(validation=verdict("validate_data", check), failed=("validate-data", 3, "one\ntwo\nthe end"))
    )

    assert "Validate data rejected it; nothing after it ran." in page.text
    assert "ended with exit code 3: a gate said no" in page.text
    assert page.text.count("cp: received 'abc' in 1 row") == 2
    assert "the end" in page.text
    assert "29 to 48" in page.text
    assert "How good it is" not in page.text
    assert page.text.count("a step before it failed") == 6


def test_a_run_that_failed_at_its_first_step_shows_its_log_and_its_problem():
    page = page_of(Made(failed=("ingest-data", 2, "InputError: Everything is in one column.")))

    assert "Everything is in one column." in page.text
    assert "Ingest data failed" in page.text
    assert "Tell whether a patient" in page.text
    assert "Distributions" not in page.text


def test_a_run_of_which_nothing_is_left_but_its_record_has_a_page():
    run = RunRecord("run-1", "training", "heart-disease", State.RUNNING, {"project_path": "/gone"}, 1.0)
    open_run_store().write_run(run)

    page = Page(render_run_page(gather(run)))

    assert "still running, or was killed" in page.text
    assert "No step has started." in page.text


def in_spans() -> DatasetManifest:
    spans = [
        SpanSummary(
            name=f"2026-11-{day:02}",
            rows_read=10 * day,
            rows={"train": 7, "validation": 2, "test": 1},
            rows_quarantined=10 * day - 10,
            rows_deduplicated=0,
        )
        for day in range(1, 13)
    ]
    return DATASET.model_copy(update={"spans": tuple(spans)})


def test_the_rows_of_each_span_are_counted_and_what_is_new_is_told():
    news = SpanNews(new=("2026-11-12",), vanished=("2026-10-31",))
    text = " ".join(page_of(Made(dataset=in_spans(), span_news=news)).text.split())

    told = "12 spans, 2026-11-01 to 2026-11-12; new: 2026-11-12; vanished, and left out: 2026-10-31"
    assert told in text
    assert "2026-11-12 120 7 2 1 110 0" in text
    assert (
        text.index("2026-11-12 120") < text.index("2 spans before") < text.index("2026-11-02 20 7 2 1 10 0")
    )


def test_news_that_is_missing_is_not_told_as_nothing_new():
    text = " ".join(page_of(Made(dataset=in_spans(), span_news=None)).text.split())
    assert "12 spans, 2026-11-01 to 2026-11-12; which of them are new is not recorded" in text
    assert "nothing new" not in text


def test_a_newest_span_that_differs_is_shown_with_what_changed_most():
    drift = ColumnDrift(
        divergence=0.21,
        chance=0.02,
        limit=None,
        by_tfdv=0.4,
        where="more than 60",
        share_before=0.1,
        share_newest=0.45,
    )
    alike = drift.model_copy(update={"divergence": 0.01})
    made = Made(
        dataset=in_spans(),
        newest_span=SpanComparison(
            name="2026-11-12", rows=10, rows_before=110, columns={"age": drift, "sex": alike}
        ),
    )
    text = " ".join(page_of(made).text.split())

    assert "Span 2026-11-12 (10 rows) differs from the 110 rows of those before in 1 of 2 columns" in text
    assert "age more than 60 10.0 % 45.0 % 0.210 0.020 0.400" in text


def test_what_folds_say_stands_beside_the_test_rows():
    metric = CrossValidatedMetric(
        mean=0.88, deviation=0.03, low=0.83, high=0.93, confidence=0.95, values=(0.85, 0.91)
    )
    folds = CrossValidatedScores(folds=2, repeats=1, rows=242, metrics={"roc_auc": metric})
    made = Made(evaluation=EVALUATION.model_copy(update={"cross_validation": folds}))
    text = " ".join(page_of(made).text.split())

    assert "The 242 rows that are no test rows, in 2 folds: each fold is scored by a model" in text
    assert "0.880 0.030 0.830 to 0.930 2 0.910" in text
    assert "What folds of the other rows say" not in page_of(Made(run_id="another")).text


def test_a_damaged_record_is_named_and_the_rest_is_shown():
    made = Made()
    run = made.write()
    (folder_of(made.run_id) / "tasks" / "evaluate-model" / "artifacts" / "evaluation").write_text("{")

    text = Page(render_run_page(gather(run))).text

    assert "What could not be read" in text
    assert "does not hold a Evaluation" in text
    assert "417 numbers learned" in text


def test_an_evaluation_of_before_there_were_curves_has_a_page():
    page = page_of(Made(evaluation=EVALUATION.model_copy(update={"curves": {}, "champion": {}})))

    assert "How good it is" in page.text
    assert "ROC curve" not in page.text


def test_many_columns_do_not_push_the_rest_away():
    found = DISTRIBUTIONS.columns["age"]
    names = ("trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal", "cp")
    columns = {**DISTRIBUTIONS.columns, **dict.fromkeys(names, found)}
    page = page_of(Made(distributions=DISTRIBUTIONS.model_copy(update={"columns": columns})))

    assert "1 more columns" in page.text


def test_a_step_that_was_tried_again_stands_once():
    made = Made()
    run = made.write()
    store = open_run_store()
    last = store.list_tasks(run.run_id)[-1]
    tasks = [*store.list_tasks(run.run_id), replace(last, state=State.FAILED)]

    evidence = read_evidence(run, tasks, folder_of(run.run_id))

    assert [step.path for step in evidence.steps] == list(STEPS)
    assert evidence.steps[-1].state is State.FAILED


def test_the_report_goes_into_the_runs_folder_or_where_it_is_asked_for(tmp_path):
    run = Made().write()

    assert write_report(run) == folder_of(run.run_id) / "report.html"
    assert write_report(run, tmp_path / "a" / "b.html").read_text().startswith("<!doctype html>")
