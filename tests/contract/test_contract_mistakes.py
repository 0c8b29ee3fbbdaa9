"""Every class of mistake in a project's two files: it names file, line, place, expected and received."""

from pathlib import Path

import pytest

from mulgil.artifacts import fingerprint_json
from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE, load_project
from mulgil.errors import ContractError

PROJECTS = Path(__file__).resolve().parents[2] / "projects"

PROJECT = """\
name: heart
problem:
  goal: Tell who is ill.
  success_measure: Fewer biopsies.
task: binary_classification
source:
  kind: csv
  location: rows.csv
  header: [age, thal, pain, num]
split:
  test_ratio: 0.2
training:
  hidden_units: [16]
gates:
  floors:
    roc_auc: 0.8
"""

DICTIONARY = """\
columns:
  - name: patient
    role: entity
    type: integer
    generated: row_number
    description: Row in the file.
  - name: seen
    role: event_timestamp
    type: timestamp
    generated: 1988-07-01T00:00:00Z
    description: When it was published.
  - name: age
    type: integer
    range: [18, 110]
    description: Years.
  - name: thal
    type: category
    categories: {3: normal, 6: fixed, 7: reversible}
    missing: new_category
    description: Test.
  - name: pain
    type: boolean
    description: Whether it hurts.
  - name: num
    role: ignore
    type: integer
    description: Status.
  - name: ill
    role: target
    type: boolean
    derived: num > 0
    description: Whether ill.
"""


@pytest.fixture
def write(tmp_path):
    def write(project: str = PROJECT, dictionary: str = DICTIONARY) -> Path:
        (tmp_path / PROJECT_FILE).write_text(project)
        (tmp_path / DICTIONARY_FILE).write_text(dictionary)
        return tmp_path

    return write


def replace(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is not once in the text"
    return text.replace(old, new)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def test_the_text_that_these_tests_break_is_right(write):
    folder = load_project(write())
    assert [column.name for column in folder.dictionary.targets] == ["ill"]
    assert [column.name for column in folder.dictionary.kept] == [
        "patient",
        "seen",
        "age",
        "thal",
        "pain",
        "ill",
    ]


@pytest.mark.parametrize("project", sorted(path.name for path in PROJECTS.iterdir()))
def test_the_shipped_projects_are_right(project):
    load_project(PROJECTS / project)


@pytest.mark.parametrize(
    ("old", "new", "line", "place", "expected", "received"),
    [
        ("name: heart\n", "", "", "name", "this key is needed", "nothing"),
        ("name: heart\n", "name: Heart Disease\n", "name: H", "name", "another form", "'Heart Disease'"),
        ("  goal: Tell who is ill.\n", "", "problem:", "problem.goal", "this key is needed", "nothing"),
        ("goal: Tell who is ill.", "goal: 7", "goal", "problem.goal", "expected text", "7"),
        ("  location: rows.csv\n", "", "source:", "source.location", "this key is needed", "nothing"),
        (
            "kind: csv",
            "kind: xls",
            "kind",
            "source.kind",
            "'csv', 'parquet', 'json_lines', 'image_folder', 'sql', 'python'",
            "'xls'",
        ),
        ("  kind: csv\n", "", "source:", "source", "'kind' is needed", "nothing"),
        ("location: rows", "locatoin: rows", "locat", "source.locatoin", "location", "'locatoin'"),
        ("kind: csv", "kind: parquet", "header", "source.header", "kind, location", "'header'"),
        ("location: rows.csv", 'delimiter: ";;"', "delim", "source.delimiter", "another form", "';;'"),
        ("[age, thal, pain, num]", "[age, age]", "header", "source.header", "each column", "age"),
        ("[age, thal, pain, num]", "[]", "header", "source.header", "at least 1", "[]"),
        ("[age, thal, pain, num]", "[age, 3]", "header", "source.header[1]", "put it in quotes", "3"),
        ("binary_classification", "clustering", "task", "task", "binary_classification", "task=clustering"),
        (
            "binary_classification",
            "image_classification",
            "task",
            "task",
            "of images it is multiclass_classification",
            "task=image_classification",
        ),
        (
            "hidden_units: [16]",
            "convolutions: [8]",
            "training:",
            "training",
            "of images, and no feature is one",
            "",
        ),
        (
            "hidden_units: [16]",
            "builder: network.py",
            "builder",
            "training.builder",
            "another form",
            "'network.py'",
        ),
        (
            "hidden_units: [16]",
            "builder: network:build\n  family: linear",
            "training:",
            "training",
            "goes with family=neural_network",
            "family=linear",
        ),
        ("task: binary_classification", "tsak: x", "tsak", "tsak", "name, problem, task", "'tsak'"),
        ("test_ratio: 0.2", "test_ratio: 0.8", "split:", "split", "at least a tenth", "test_ratio=0.8"),
        ("test_ratio: 0.2", "test_ratio: 2", "test_ratio", "split.test_ratio", "less than 1", "2"),
        ("test_ratio: 0.2", "seed: 4294967296", "seed", "split.seed", "less than 4294967296", "4294967296"),
        ("[16]", "[16, 0]", "hidden", "training.hidden_units[1]", "greater than 0", "0"),
        ("[16]", "[many]", "hidden", "training.hidden_units[0]", "a valid integer", "'many'"),
        ("hidden_units: [16]", "l2: .inf", "l2", "training.l2", "a finite number", "inf"),
        ("roc_auc: 0.8", "rocauc: 0.8", "rocauc", "gates.floors.rocauc", "'roc_auc'", "'rocauc'"),
        (
            "  floors:\n",
            "  primary_metric: rmse\n  floors:\n",
            "rmse",
            "gates.primary_metric",
            "binary_classification has the metrics roc_auc",
            "rmse",
        ),
        ("roc_auc: 0.8", "mae: 0.8", "mae", "gates.floors.mae", "has the metrics roc_auc", "mae"),
        ("roc_auc: 0.8", "rouge: 0.8", "rouge", "gates.floors.rouge", "'roc_auc'", "'rouge'"),
    ],
)
def test_a_mistake_in_the_project_file_is_located(write, old, new, line, place, expected, received):
    text = replace(PROJECT, old, new)
    with pytest.raises(ContractError) as caught:
        load_project(write(project=text))
    (message,) = [m for m in str(caught.value).splitlines() if f": {place}: " in m]
    assert f"{PROJECT_FILE}:{line_of(text, line)}: {place}: " in message
    assert expected in message
    assert f"{received}" in message.partition(f": {place}: ")[2]


PAIN = "type: boolean\n    description: Whether it"
IMAGE = "image\n    image: {height: 8, width: 8}"
CODES = "{3: normal, 6: fixed, 7: reversible}"
PUBLISHED = "1988-07-01T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "new", "line", "place", "expected", "received"),
    [
        ("role: ignore\n", "rol: ignore\n", "rol:", "columns[5] (num).rol", "name, role, type", "'rol'"),
        ("range: [18, 110]", "range: [18]", "range", "columns[2] (age).range[1]", "is needed", "nothing"),
        ("[18, 110]", "[110, 18]", "name: age", "columns[2] (age)", "least, then greatest", "[110.0, 18.0]"),
        ("[18, 110]", "[.nan, 1]", "range", "columns[2] (age).range[0]", "a finite number", "nan"),
        ("[18, 110]", "[~, ~]", "name: age", "columns[2] (age)", "at least one side", "[null, null]"),
        ("[18, 110]", "[low, 1]", "range", "columns[2] (age).range[0]", "a valid number", "'low'"),
        (PAIN, PAIN.replace("boolean", "bool"), "bool",
         "columns[4] (pain).type", "'boolean'", "'bool'"),
        (PAIN, PAIN.replace("boolean", "text"), "name: pain",
         "columns[4] (pain)", "boolean, category, float, image, integer", "type=text"),
        (PAIN, PAIN.replace("boolean", "image"), "name: pain", "columns[4] (pain)",
         "`image` is needed for type=image", ""),
        (PAIN, PAIN.replace("boolean", IMAGE), "name: pain",
         "columns[4] (pain)", "reads one column, the image", "age, thal"),
        (PAIN, PAIN.replace("boolean", f"{IMAGE}\n    missing: mean"), "name: pain",
         "columns[4] (pain)", "drop_row, reject", "missing=mean"),
        (PAIN, PAIN.replace("boolean", IMAGE.replace("height: 8", "height: 0")), "image: {",
         "columns[4] (pain).image.height", "greater than or equal to 1", "0"),
        (PAIN, PAIN.replace("boolean", IMAGE.replace("8}", "8, first_pixel: pixel}")), "image: {",
         "columns[4] (pain).image.first_pixel", "another form", "'pixel'"),
        ("range: [18, 110]", "image: {height: 8, width: 8}", "name: age", "columns[2] (age)",
         "goes with no other type", ""),
        ("    missing: new_category\n", "    missing: mean\n", "name: thal", "columns[3] (thal)",
         "most_frequent, new_category", "missing=mean"),
        ("range: [18, 110]", "missing: new_category", "name: age", "columns[2] (age)", "type=category",
         "type=integer"),
        ("range: [18, 110]", "missing: guess", "guess", "columns[2] (age).missing", "'median'", "'guess'"),
        ("range: [18, 110]", "missing: constant", "name: age", "columns[2] (age)", "is a number", "None"),
        ("range: [18, 110]", "missing: constant\n    missing_constant: 2.5", "name: age", "columns[2] (age)",
         "a whole number", "2.5"),
        ("range: [18, 110]", "missing_constant: 2", "name: age", "columns[2] (age)", "missing=constant",
         "missing=reject"),
        ("missing: new_category", "missing: constant\n    missing_constant: 4", "name: thal",
         "columns[3] (thal)", "one of the categories", "4.0"),
        ("    categories: {3: normal, 6: fixed, 7: reversible}\n", "", "name: thal", "columns[3] (thal)",
         "needed for type=category", "category"),
        (CODES, "{3: normal, '3': fixed}", "categories", "columns[3] (thal).categories",
         "each code stands once", "3"),
        (CODES, '["", a]', "categories", "columns[3] (thal).categories",
         "text without space", "''"),
        (CODES, "[3, [6]]", "categories", "columns[3] (thal).categories",
         "a number, or text", "[6]"),
        (CODES, "{3: 1}", "categories", "columns[3] (thal).categories",
         "expected text", "1"),
        (PUBLISHED, "1988-07-01", "name: seen", "columns[1] (seen)", "says its zone", "1988-07-22"),
        (PUBLISHED, "now", "generated: now", "columns[1] (seen).generated",
         "'row_number' or 'span', or expected a valid datetime", "'now'"),
        ("generated: row_number", "generated: row_number\n    source_name: id", "name: patient",
         "columns[0] (patient)", "ingestion makes this column", "source_name=id"),
        ("description: Years.", 'description: ""', 'description: ""', "columns[2] (age).description",
         "at least 1 character", "''"),
        ("name: pain", "name: chest pain", "chest", "columns[4] (chest pain).name", "another form",
         "'chest pain'"),
        ("name: pain", "name: age", "name: age", "columns[4] (age).name", "each column stands once", "age"),
        ("name: pain", "name: pain\n    source_name: age", "columns:", "columns", "the same one", "age"),
        ("role: entity", "role: ignore", "name: patient", "columns[0] (patient)", "integer entity",
         "row_number"),
        ("description: Years.", "description: Years.\n    role: entity\n    on_violation: warn", "name: age",
         "columns[2] (age)", "a warning is for a feature", "role=entity"),
        ("description: Whether it hurts.", "description: Hurts.\n    on_violation: quarantine", "name: pain",
         "columns[4] (pain)", "by a range or categories", "on_violation=quarantine"),
        ("missing: new_category", "missing: forward_fill", "missing: forward_fill",
         "columns[3] (thal).missing", "the row before is not there", "missing=forward_fill"),
        ("missing: new_category", "missing: knn", "missing: knn", "columns[3] (thal).missing",
         "neighbours are looked for", "missing=knn"),
        ("derived: num > 0", "derived: cholesterol > 0", "derived", "columns[6] (ill).derived",
         "reads columns of the source", "cholesterol"),
        ("derived: num > 0", "derived: thal == 7", "derived", "columns[6] (ill).derived", "two of a kind",
         "'thal == 7'"),
        ("derived: num > 0", "derived: num >", "name: ill", "columns[6] (ill)", "not an expression",
         "'num >'"),
        ("derived: num > 0", "derived: exit()", "name: ill", "columns[6] (ill)", "only columns", "exit()"),
        ("role: ignore\n    type: integer", "type: integer\n    derived: age > 3", "name: num",
         "columns[5] (num)", "a derived feature is one of boolean, category, float", "type=integer"),
        ("role: ignore\n    type: integer", "type: float\n    derived: age / num", "derived",
         "columns[5] (num).derived", "reads features of the source", "num (derived, too)"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_dictionary_is_located(write, old, new, line, place, expected, received):
    text = replace(DICTIONARY, old, new)
    with pytest.raises(ContractError) as caught:
        load_project(write(dictionary=text))
    (message,) = [m for m in str(caught.value).splitlines() if f": {place}: " in m]
    number = int(message.split(f"{DICTIONARY_FILE}:")[1].split(":")[0])
    assert line in "\n".join(text.splitlines()[number - 1 : number + 2]), f"line {number}"
    assert line.splitlines()[0] in text.splitlines()[number - 1]
    assert expected in message
    assert received in message.partition(f": {place}: ")[2]


def test_a_column_that_stands_twice_is_one_mistake(write):
    with pytest.raises(ContractError) as caught:
        load_project(write(dictionary=replace(DICTIONARY, "name: pain", "name: age")))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("role", "number"), [("target", "at least"), ("entity", "exactly"), ("event_timestamp", "exactly")]
)
def test_a_role_that_no_column_has_is_named(write, role, number):
    text = "  - ".join(block for block in DICTIONARY.split("  - ") if f"role: {role}\n" not in block)
    with pytest.raises(ContractError, match=f"{number} one column has the role {role}; received none"):
        load_project(write(dictionary=text))


TARGET = "type: boolean\n    derived: num > 0"


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        ("multiclass_classification", TARGET, "predicts one column of type category; received ill (boolean)"),
        ("multilabel_classification", TARGET, "predicts several columns of type boolean"),
        ("scalar_regression", TARGET, "one column of type float or integer; received ill (boolean)"),
        ("binary_classification", "type: float", "type boolean; received ill (float)"),
        ("multiclass_classification", "type: category\n    categories: [a]", "at least two categories"),
    ],
)
def test_a_target_that_is_not_the_tasks_is_refused_where_the_task_stands(write, task, target, said):
    project = PROJECT.replace("binary_classification", task).replace("  floors:\n    roc_auc: 0.8\n", "")
    project = project.replace("gates:\n", "")
    with pytest.raises(ContractError) as caught:
        load_project(write(project=project, dictionary=replace(DICTIONARY, TARGET, target)))
    (message,) = str(caught.value).splitlines()
    assert f"{PROJECT_FILE}:{line_of(project, 'task:')}: task: {task} predicts" in message
    assert said in message


def test_a_second_target_is_refused_where_the_task_has_one(write):
    with pytest.raises(ContractError, match=r"predicts one column .*received pain \(boolean\), ill"):
        load_project(write(dictionary=replace(DICTIONARY, PAIN, f"role: target\n    {PAIN}")))


def test_a_direction_needs_a_target_that_has_an_order(write):
    text = DICTIONARY.replace(TARGET, "type: category\n    categories: [a, b]")
    text = text.replace("    range: [18, 110]\n", "    expects: positive\n")
    with pytest.raises(ContractError, match=r"columns\[2\] \(age\).expects: `expects` goes with one target"):
        load_project(write(dictionary=text))


def test_every_mistake_of_both_files_is_told_at_once(write):
    with pytest.raises(ContractError) as caught:
        load_project(
            write(
                project=PROJECT.replace("kind: csv", "kind: xls").replace("roc_auc", "rocauc"),
                dictionary=DICTIONARY.replace("[18, 110]", "[110, 18]").replace(
                    "type: boolean", "type: flag"
                ),
            )
        )
    places = [message.split(": ")[1] for message in str(caught.value).splitlines()]
    assert places == [
        "source.kind",
        "gates.floors.rocauc",
        "columns[2] (age)",
        "columns[4] (pain).type",
        "columns[6] (ill).type",
    ]


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just words", "7"])
def test_a_file_that_is_no_mapping_says_so(write, content):
    with pytest.raises(
        ContractError, match=r"project\.yaml:1: the file: expected a mapping of keys to values"
    ):
        load_project(write(project=content))


def test_a_missing_dictionary_is_named_beside_the_project_files_mistakes(write):
    folder = write(project=PROJECT.replace("kind: csv", "kind: xls"))
    (folder / DICTIONARY_FILE).unlink()
    with pytest.raises(ContractError, match=r"(?s)'xls'.*data_dictionary\.yaml does not exist"):
        load_project(folder)


def test_codes_are_taken_as_they_stand_in_the_file(write):
    text = replace(
        DICTIONARY, "{3: normal, 6: fixed, 7: reversible}", "[no, yes, 010, 2024-01-31, 12:30, 1.0, true]"
    )
    codes = load_project(write(dictionary=text)).dictionary.columns[3].categories
    assert list(codes or {}) == ["no", "yes", "010", "2024-01-31", "12:30", "1", "true"]


def test_a_switch_may_be_written_as_yes_and_no(write):
    text = replace(DICTIONARY, "    range: [18, 110]\n", "    sensitive: yes\n")
    assert load_project(write(dictionary=text)).dictionary.columns[2].sensitive is True


def test_a_dictionarys_fingerprint_is_that_of_its_content(write):
    dictionary = load_project(write()).dictionary
    assert dictionary.fingerprint == fingerprint_json(dictionary.model_dump(mode="json"))
    commented = load_project(write(dictionary="# a comment\n" + DICTIONARY)).dictionary
    assert commented.fingerprint == dictionary.fingerprint
    changed = load_project(write(dictionary=DICTIONARY.replace("[18, 110]", "[18, 111]"))).dictionary
    assert changed.fingerprint != dictionary.fingerprint


def test_a_list_with_one_wrong_item_is_not_called_too_short(write):
    dictionary = "columns:\n  - {name: age, type: integr, description: Years.}\n"
    with pytest.raises(ContractError) as caught:
        load_project(write(dictionary=dictionary))
    (line,) = str(caught.value).splitlines()
    assert "columns[0] (age).type" in line


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: age", "name: the age", "letters, digits, single underscores"),
        ("columns:\n", "columns: 3\nothers:\n", "columns: expected a list; received 3"),
    ],
)
def test_a_value_of_another_form_is_told_in_the_contracts_words(write, old, new, said):
    with pytest.raises(ContractError) as caught:
        load_project(write(dictionary=DICTIONARY.replace(old, new)))
    assert said in str(caught.value)


def test_a_name_of_another_form_within_a_union_is_told_in_the_contracts_words(write):
    with pytest.raises(ContractError, match=r"source.delimiter: expected another form .The one sign between"):
        load_project(write(project=PROJECT.replace("  kind: csv\n", "  kind: csv\n  delimiter: abc\n")))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("rollout: {steps: [50, 5]}", "expected percents that ascend, such as [5, 25, 50]; received [50, 5]"),
        ("rollout: {steps: [5, 100]}", "less than or equal to 99"),
        ("rollout: {strateg: canary}", "this key is unknown"),
        ("rollout: {latency: {limit_ratio: 1.01}}", "received tolerated_ratio=1.05 limit_ratio=1.01"),
        ("rollout: {latency: {quantiles: [0.9, 0.5]}}", "each quantile once, ascending"),
        ("rollout: {on_deadline: promote}", "'roll_back' or 'pause'"),
        ("rollout: {error_rate: {tolerated_increase: 0.02, limit_increase: 0.01}}", "tolerated is less than"),
    ],
)
def test_a_mistake_in_the_rollout_policy_says_what_was_expected(write, section, message):
    folder = write(PROJECT + section + "\n")

    with pytest.raises(ContractError) as error:
        load_project(folder)

    assert f"{PROJECT_FILE}:{line_of(PROJECT + section, 'rollout')}" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("training", "place", "said"),
    [
        ("family: forest", "training.family", "'random_forest'"),
        (
            "family: linear\n  hyperparameters: {n_estimators: 3}",
            "training.hyperparameters.n_estimators",
            "linear has the hyperparameters C; received n_estimators",
        ),
        (
            "family: random_forest\n  hyperparameters: {n_estimators: 2.5}",
            "training.hyperparameters.n_estimators",
            "a whole number from 1 to 2000; received 2.5",
        ),
        ("hyperparameters: {C: 1}", "training.hyperparameters.C", "none here"),
    ],
)
def test_a_hyperparameter_that_the_family_lacks_is_located(write, training, place, said):
    text = replace(PROJECT, "hidden_units: [16]", training)
    with pytest.raises(ContractError) as caught:
        load_project(write(project=text))
    (message,) = str(caught.value).splitlines()
    assert f"{PROJECT_FILE}:{line_of(text, training.splitlines()[-1].strip())}: {place}: " in message
    assert said in message


def test_a_behavior_test_that_is_not_the_dictionarys_is_named_with_its_line(write):
    asked = """\
  behaviors:
    - {column: age, by: 1, prediction: rises}
    - {column: height, prediction: stays}
"""
    path = write(project=PROJECT + asked)

    with pytest.raises(ContractError) as caught:
        load_project(path)

    line = line_of(PROJECT + asked, "height")
    assert f"{PROJECT_FILE}:{line}: gates.behaviors[1].column: a request carries the columns" in str(
        caught.value
    )
    assert "received height" in str(caught.value)
