"""From a project on this machine to a run on Kubeflow Pipelines, and back to a report here."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.artifacts import fingerprint_bytes, write_text
from mulgil.cluster.code_archive import CodeArchive
from mulgil.cluster.fetching import fetch_artifacts
from mulgil.cluster.following import FollowedRun
from mulgil.cluster.kfp_server import KfpServer, Version
from mulgil.cluster.object_store import put_once
from mulgil.cluster.project_archive import pack_project
from mulgil.contract import ProjectFolder
from mulgil.errors import InputError, describe
from mulgil.local.launch import folder_of, open_run_store
from mulgil.local.pipeline_spec import PipelineSpec, parse_pipeline
from mulgil.local.run_store import RunRecord

PROJECTS_KEY = "MULGIL_PROJECTS_URI"
RUNS_KEY = "MULGIL_RUNS_URI"


@dataclass(frozen=True)
class Addresses:
    """Where a cluster's runs read and write.

    Attributes:
        projects: Root of the packed projects.
        runs: Root of what steps hand over.
    """

    projects: str
    runs: str


def find_addresses(config_map: Mapping[str, str]) -> Addresses:
    """Return the addresses of the ConfigMap; the same names in this shell go before it.

    Raises:
        InputError: One is missing.
    """
    found = {key: os.environ.get(key) or config_map.get(key, "") for key in (PROJECTS_KEY, RUNS_KEY)}
    missing = sorted(key for key, value in found.items() if "://" not in value)
    if missing:
        raise InputError(
            describe(
                f"There is no address for {' and '.join(missing)}",
                expected="an address in an object store, such as s3://mulgil/projects",
                received=", ".join(f"{key}={found[key]}" for key in missing),
                next_step="set it in the ConfigMap of --settings, or in this shell",
            )
        )
    return Addresses(found[PROJECTS_KEY].rstrip("/"), found[RUNS_KEY].rstrip("/"))


@dataclass(frozen=True)
class Submission:
    """What is to run.

    Attributes:
        pipeline: The pipeline's name.
        compiled: For the cluster.
        snapshot: The project as it was read.
        folder: The user's own folder of it.
        parameters: The pipeline's, without the project's path.
        experiment: Under which its runs are listed.
        service_account: Which steps run as; KFP's own where it is empty.
        code: What the steps run in place of their images' own code, where that is asked.
    """

    pipeline: str
    compiled: str
    snapshot: ProjectFolder
    folder: Path
    parameters: Mapping[str, Any]
    experiment: str
    service_account: str = ""
    code: CodeArchive | None = None

    @property
    def pipeline_text(self) -> str:
        """The compiled pipeline without KFP's platform document."""
        return self.compiled.partition("\n---\n")[0] + "\n"

    @property
    def graph(self) -> PipelineSpec:
        """The compiled pipeline as the local runner reads it."""
        return parse_pipeline(self.pipeline_text)


@dataclass(frozen=True)
class Prepared:
    """A submission whose project and pipeline are where the server finds them.

    Attributes:
        version: Of the pipeline.
        experiment_id: Of the experiment.
        parameters: The pipeline's, with the project's address.
    """

    version: Version
    experiment_id: str
    parameters: Mapping[str, Any]


def prepare(server: KfpServer, submission: Submission, addresses: Addresses) -> Prepared:
    """Put the project into the object store and the pipeline onto the server, each where it is not there yet.

    Raises:
        InputError: The project cannot travel.
        PermanentError: The server refuses.
        TemporaryError: The server or the object store does not answer.
    """
    archive = pack_project(submission.snapshot, submission.folder)
    address = archive.address(addresses.projects)
    put_once(address, archive.content)
    if submission.code is not None:
        put_once(submission.code.address(addresses.projects), submission.code.content)
    fingerprint = fingerprint_bytes(submission.compiled.encode())
    return Prepared(
        server.ensure_version(submission.pipeline, submission.compiled, fingerprint),
        server.ensure_experiment(submission.experiment),
        {**submission.parameters, "project_path": address},
    )


def start(server: KfpServer, submission: Submission, prepared: Prepared, addresses: Addresses) -> str:
    """Start a run and return its identity."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    name = f"{submission.pipeline}-{submission.snapshot.project.name}-{moment}-{secrets.token_hex(2)}"
    return server.create_run(
        name,
        prepared.version,
        prepared.experiment_id,
        prepared.parameters,
        pipeline_root=addresses.runs,
        service_account=submission.service_account,
    )


def keep(run: FollowedRun, submission: Submission, addresses: Addresses) -> RunRecord:
    """Record a run that has ended among those of this machine, with what it handed over.

    Raises:
        TemporaryError: The object store does not answer.
    """
    folder = folder_of(run.run_id)
    write_text(folder / "pipeline.yaml", submission.pipeline_text)
    record = RunRecord(
        run.run_id,
        submission.pipeline,
        submission.snapshot.project.name,
        run.state,
        # The report reads the project from this machine's copy.
        {**run.parameters, "project_path": str(submission.snapshot.path)},
        run.started_at,
        run.ended_at,
    )
    store = open_run_store()
    store.write_run(record)
    for task in run.tasks:
        store.write_task(task)
    root = f"{addresses.runs}/{submission.pipeline}/{run.run_id}"
    fetch_artifacts(root, submission.graph.output_artifacts, folder)
    return record
