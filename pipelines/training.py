"""From a table to a served model."""

from kfp import dsl

from components.deploy_model.component import deploy_model
from components.evaluate_model.component import evaluate_model
from components.ingest_data.component import ingest_data
from components.materialize_features.component import materialize_features
from components.register_model.component import register_model
from components.roll_out_model.component import roll_out_model
from components.train_model.component import train_model
from components.validate_data.component import validate_data


@dsl.pipeline(name="training")
def training(
    project_path: str,
    source: str = "",
    is_deployed: bool = True,
    deploy_timeout_seconds: int = 120,
    rollout_wait_seconds: int = 0,
) -> None:
    """Ingest, validate, keep features, train, judge, register and deploy.

    Args:
        project_path: Folder with `project.yaml` and `data_dictionary.yaml`.
        source: Path or URL that replaces the project's source; empty keeps it.
        is_deployed: Whether an approved model is deployed.
        deploy_timeout_seconds: Longest wait for the endpoint's readiness.
        rollout_wait_seconds: Longest wait for a rollout's verdict; 0 leaves the rollout to itself.
    """
    # The steps that touch a store outside the run reconcile it every time, and the evaluation looks for the
    # champion there; the others may be cached.
    ingested = ingest_data(project_path=project_path, source=source)
    validated = validate_data(project_path=project_path, dataset=ingested.outputs["dataset"])
    materialized = materialize_features(
        project_path=project_path,
        dataset=ingested.outputs["dataset"],
        validation_verdict=validated.outputs["verdict"],
    ).set_caching_options(False)
    trained = train_model(
        project_path=project_path,
        training_rows=materialized.outputs["training_rows"],
        feature_service=materialized.outputs["feature_service"],
    )
    evaluated = evaluate_model(
        project_path=project_path,
        training_rows=materialized.outputs["training_rows"],
        bundle=trained.outputs["bundle"],
    ).set_caching_options(False)
    registered = register_model(
        project_path=project_path,
        run_id=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        bundle=trained.outputs["bundle"],
        history=trained.outputs["history"],
        evaluation=evaluated.outputs["evaluation"],
        evaluation_verdict=evaluated.outputs["verdict"],
    ).set_caching_options(False)
    with dsl.If(is_deployed == True, name="if-deployed"):  # noqa: E712 - kfp builds the condition from it
        deployed = deploy_model(
            project_path=project_path,
            timeout_seconds=deploy_timeout_seconds,
            registered_model=registered.outputs["registered_model"],
            evaluation_verdict=evaluated.outputs["verdict"],
        ).set_caching_options(False)
        roll_out_model(
            project_path=project_path,
            wait_seconds=rollout_wait_seconds,
            manifest=deployed.outputs["manifest"],
            dataset=ingested.outputs["dataset"],
        ).set_caching_options(False)
