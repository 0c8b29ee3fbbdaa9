"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def register_model(
    project_path: str,
    run_id: str,
    bundle: dsl.Input[dsl.Model],
    history: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    evaluation_verdict: dsl.Input[dsl.Artifact],
    registered_model: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Register an approved model with its lineage, as the candidate.

    Args:
        project_path: Folder with the project's files.
        run_id: The pipeline run, for the lineage.
        bundle: What `train_model` exported.
        history: Losses by epoch.
        evaluation: What `evaluate_model` measured.
        evaluation_verdict: Verdict of `evaluate_model`; without its approval nothing is registered.
        registered_model: Name, version and place of the registered model.
    """
    return dsl.ContainerSpec(
        image=image_of("register_model"),
        command=["python", "-m", "components.register_model"],
        args=[
            "--project-path",
            project_path,
            "--run-id",
            run_id,
            "--bundle-path",
            bundle.path,
            "--history-path",
            history.path,
            "--evaluation-path",
            evaluation.path,
            "--evaluation-verdict-path",
            evaluation_verdict.path,
            "--registered-model-path",
            registered_model.path,
        ],
    )
