"""The KFP component."""

from kfp import dsl

from components.image import image_of


@dsl.container_component
def ingest_data(
    project_path: str,
    source: str,
    dataset: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Artifact],
) -> dsl.ContainerSpec:
    """Read a project's rows, set the bad ones aside with the reason, and split the rest.

    Args:
        project_path: Folder with the project's files.
        source: Path or URL that replaces the project's source; empty keeps it.
        dataset: Parquet files of the splits, with a manifest.
        quarantine: Rows set aside, each with the reason; and which spans of the source are new.
    """
    return dsl.ContainerSpec(
        image=image_of("ingest_data"),
        command=["python", "-m", "components.ingest_data"],
        args=[
            "--project-path",
            project_path,
            "--source",
            source,
            "--dataset-path",
            dataset.path,
            "--quarantine-path",
            quarantine.path,
        ],
    )
