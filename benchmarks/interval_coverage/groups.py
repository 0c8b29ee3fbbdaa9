"""Count over simulated test sets: whose groups' intervals hold the truth, all of them together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from benchmarks.interval_coverage.counting import CONFIDENCE, Counts, find_truth
from benchmarks.interval_coverage.scenes import SCENES, Scene
from components.evaluate_model.slices import score_slices
from mulgil.contract import DataDictionary, Metric
from mulgil.preprocessing.rows import TrainingRows

# Ten groups: two numbers in quarters, and a code of two. None has to do with the truth or with a model, so
# that the truth of every group is that of all rows.
_COLUMNS = (
    {"name": "key", "role": "entity", "type": "integer", "description": "Who."},
    {"name": "at", "role": "event_timestamp", "type": "timestamp", "description": "When."},
    {"name": "age", "type": "float", "description": "Any."},
    {"name": "income", "type": "float", "description": "Any."},
    {"name": "site", "type": "category", "categories": ["a", "b"], "description": "Any."},
    {"name": "answer", "role": "target", "type": "boolean", "description": "Any."},
)
_METRICS = {
    "answers": (Metric.ROC_AUC, Metric.ACCURACY, Metric.RECALL, Metric.LOG_LOSS),
    "numbers": (Metric.R2, Metric.MAE, Metric.RMSE),
    "heavy_tails": (Metric.MAE,),
}
GROUPED = tuple(
    replace(scene, name=f"groups_of_{scene.name}", metrics=_METRICS[scene.name])
    for scene in SCENES
    if scene.name in _METRICS
)


def measure_groups(scene: Scene, rows: int, repetitions: int, seed: int = 0) -> list[Counts]:
    """Count, over test sets of so many rows, those all of whose groups' intervals hold the truth."""
    dictionary = DataDictionary.model_validate({"columns": _COLUMNS})
    truth = {metric: of_one for metric, (of_one, _) in find_truth(scene).items()}
    covered = dict.fromkeys(scene.metrics, 0)
    for repetition in range(seed, seed + repetitions):
        generator = np.random.default_rng(repetition)
        drawn = scene.draw(generator, rows)
        columns = {
            "age": generator.random(rows),
            "income": generator.random(rows),
            "site": generator.choice(["a", "b"], rows).tolist(),
        }
        table = TrainingRows(pa.table(columns), drawn.target, left_out=0)
        for metric in scene.metrics:
            scores = score_slices(scene.task, metric, dictionary, table, drawn.one, CONFIDENCE)
            intervals = [one.score for one in scores if one.score is not None]
            covered[metric] += all(one.low <= truth[metric] <= one.high for one in intervals)
    return [Counts(scene.name, metric, repetitions, covered[metric]) for metric in scene.metrics]
