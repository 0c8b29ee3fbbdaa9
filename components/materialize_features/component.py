"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def materialize_features(
    project_path: str,
    dataset: dsl.Input[dsl.Dataset],
    validation_verdict: dsl.Input[dsl.Artifact],
    training_rows: dsl.Output[dsl.Dataset],
    feature_service: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Keep the features in Feast, and join them point in time into training rows.

    Args:
        project_path: Folder with the project's files.
        dataset: What `ingest_data` made.
        validation_verdict: Verdict of `validate_data`; without its approval nothing is kept.
        training_rows: Parquet files of the splits, as joined by Feast.
        feature_service: The feature service and the version of its online store.
    """
    return dsl.ContainerSpec(
        image=image_of("materialize_features"),
        command=["python", "-m", "components.materialize_features"],
        args=[
            "--project-path",
            project_path,
            "--dataset-path",
            dataset.path,
            "--validation-verdict-path",
            validation_verdict.path,
            "--training-rows-path",
            training_rows.path,
            "--feature-service-path",
            feature_service.path,
        ],
    )
