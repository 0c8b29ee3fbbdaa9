"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def evaluate_model(
    project_path: str,
    training_rows: dsl.Input[dsl.Dataset],
    bundle: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Measure a model on the test rows, once, and reject it where it misses a gate.

    Args:
        project_path: Folder with the project's files.
        training_rows: What `materialize_features` joined.
        bundle: What `train_model` exported.
        evaluation: Metrics with intervals: the model's, the baseline's and the champion's.
        verdict: The gate's decision with its numbers.
    """
    return dsl.ContainerSpec(
        image=image_of("evaluate_model"),
        command=["python", "-m", "components.evaluate_model"],
        args=[
            "--project-path",
            project_path,
            "--training-rows-path",
            training_rows.path,
            "--bundle-path",
            bundle.path,
            "--evaluation-path",
            evaluation.path,
            "--verdict-path",
            verdict.path,
        ],
    )
