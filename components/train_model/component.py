"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def train_model(
    project_path: str,
    training_rows: dsl.Input[dsl.Dataset],
    feature_service: dsl.Input[dsl.Artifact],
    bundle: dsl.Output[dsl.Model],
    history: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Fit the preprocessing and the network, and export a model bundle.

    Args:
        project_path: Folder with the project's files.
        training_rows: What `materialize_features` joined.
        feature_service: What the model will read by entity.
        bundle: SavedModel, LiteRT model, fitted transform, dictionary and checksums.
        history: Losses by epoch.
    """
    return dsl.ContainerSpec(
        image=image_of("train_model"),
        command=["python", "-m", "components.train_model"],
        args=[
            "--project-path",
            project_path,
            "--training-rows-path",
            training_rows.path,
            "--feature-service-path",
            feature_service.path,
            "--bundle-path",
            bundle.path,
            "--history-path",
            history.path,
        ],
    )
