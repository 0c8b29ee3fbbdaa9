"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def roll_out_model(
    project_path: str,
    wait_seconds: int,
    manifest: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Artifact],
    rollout: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Start the rollout of a new model version; it goes on by itself.

    Args:
        project_path: Folder with the project's files.
        wait_seconds: Longest wait for the verdict; 0 leaves the rollout to itself.
        manifest: The InferenceService that `deploy_model` wrote.
        dataset: The dataset; its test rows are replayed.
        rollout: Which rollout it is, and how far.
    """
    return dsl.ContainerSpec(
        image=image_of("roll_out_model"),
        command=["python", "-m", "components.roll_out_model"],
        args=[
            "--project-path",
            project_path,
            "--wait-seconds",
            wait_seconds,
            "--manifest-path",
            manifest.path,
            "--dataset-path",
            dataset.path,
            "--rollout-path",
            rollout.path,
        ],
    )
