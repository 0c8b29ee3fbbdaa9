"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def validate_data(
    project_path: str,
    dataset: dsl.Input[dsl.Dataset],
    verdict: dsl.Output[dsl.Artifact],
    statistics: dsl.Output[dsl.Artifact],
    anomalies: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Hold a dataset against the data dictionary with TFDV; reject it where they disagree.

    Args:
        project_path: Folder with the project's files.
        dataset: What `ingest_data` made.
        verdict: The gate's decision with its numbers.
        statistics: TFDV statistics of each split, and the schema.
        anomalies: TFDV anomalies of each split.
    """
    return dsl.ContainerSpec(
        image=image_of("validate_data"),
        command=["python", "-m", "components.validate_data"],
        args=[
            "--project-path",
            project_path,
            "--dataset-path",
            dataset.path,
            "--verdict-path",
            verdict.path,
            "--statistics-path",
            statistics.path,
            "--anomalies-path",
            anomalies.path,
        ],
    )
