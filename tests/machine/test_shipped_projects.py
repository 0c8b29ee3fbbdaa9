"""The shipped projects from their sources to served models: every gate asked, and every test row answered."""

import httpx
import pytest
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from mulgil.artifacts import Endpoint, Evaluation, Verdict
from mulgil.contract import ColumnType, Task, load_project
from mulgil.home import SOURCE_ROOT
from mulgil.preprocessing.rows import read_rows

# Real tables beside the checkout, where a project's own source is the network's.
SHARED = SOURCE_ROOT.parent / "shared" / "data"
SOURCES = {"heart_disease": ("--source", str(SHARED / "heart" / "processed.cleveland.data"))}
PROJECTS = sorted(path.parent.name for path in (SOURCE_ROOT / "projects").glob("*/project.yaml"))
ROWS_AT_ONCE = 50


def gates_of(project) -> set[str]:
    """Every gate that there is for such a project."""
    is_table = all(column.type is not ColumnType.IMAGE for column in project.dictionary.features)
    names = {"better_than_baseline", "latency", "size", "champion"}
    names |= {f"{metric}_floor" for metric in project.project.gates.floors}
    names |= {f"{metric}_cross_validated_floor" for metric in project.project.gates.cross_validated_floors}
    names |= {"slices", "behavior"} if is_table else set()
    return names | ({"calibration"} if project.project.task.is_classification else set())


def score(task, target, answers, dictionary):
    """Compute the primary metric of what a server answered, by scikit-learn."""
    if task is Task.MULTICLASS_CLASSIFICATION:
        classes = list(dictionary.targets[0].categories)
        return accuracy_score([classes[place] for place in target], [one["label"] for one in answers])
    if task is Task.MULTILABEL_CLASSIFICATION:
        return roc_auc_score(target, [[one[c.name] for c in dictionary.targets] for one in answers])
    return (roc_auc_score if task.is_classification else r2_score)(target, answers)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_shipped_project_passes_every_gate_and_serves_what_was_judged(mulgil, tmp_path, name):
    mulgil("run", f"projects/{name}", *SOURCES.get(name, ()))

    [tasks] = (tmp_path / "home" / "runs").glob("*/tasks")
    evaluation = Evaluation.read(tasks / "evaluate-model" / "artifacts" / "evaluation")
    verdict = Verdict.read(tasks / "evaluate-model" / "artifacts" / "verdict")
    project = load_project(SOURCE_ROOT / "projects" / name)
    asked = {check.name.partition(":")[0] for check in verdict.checks}
    assert verdict.is_approved
    assert not {gate for gate in gates_of(project) if not any(gate in one for one in asked)}, asked
    # Not below a plain linear model: the interval of the difference has zero in it, or lies above.
    assert evaluation.improvements["reference"].high >= 0, evaluation.improvements

    [deployed] = tasks.glob("**/deploy-model/artifacts/endpoint")
    endpoint = Endpoint.read(deployed)
    rows = read_rows(
        tasks / "materialize-features" / "artifacts" / "training_rows", "test", project.dictionary
    )
    url = f"{endpoint.url}/v1/models/{endpoint.name}:predict"
    answers = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = [rows.instance(row) for row in range(start, min(start + ROWS_AT_ONCE, len(rows)))]
        answer = httpx.post(url, json={"instances": some}, timeout=60)
        assert answer.status_code == 200, answer.text
        answers += answer.json()["predictions"]
    value = score(project.project.task, rows.target, answers, project.dictionary)
    assert value == pytest.approx(evaluation.metrics[evaluation.primary_metric].value, abs=1e-6)
