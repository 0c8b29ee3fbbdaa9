"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def deploy_model(
    project_path: str,
    timeout_seconds: int,
    registered_model: dsl.Input[dsl.Artifact],
    evaluation_verdict: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    endpoint: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Deploy a registered model as an InferenceService, and see it answer.

    Args:
        project_path: Folder with the project's files.
        timeout_seconds: Longest wait for readiness.
        registered_model: What `register_model` registered.
        evaluation_verdict: Verdict of `evaluate_model`; without its approval nothing is deployed.
        manifest: The InferenceService, as applied.
        endpoint: Where it answers, and what it answered.
    """
    return dsl.ContainerSpec(
        image=image_of("deploy_model"),
        command=["python", "-m", "components.deploy_model"],
        args=[
            "--project-path",
            project_path,
            "--timeout-seconds",
            timeout_seconds,
            "--registered-model-path",
            registered_model.path,
            "--evaluation-verdict-path",
            evaluation_verdict.path,
            "--manifest-path",
            manifest.path,
            "--endpoint-path",
            endpoint.path,
        ],
    )
