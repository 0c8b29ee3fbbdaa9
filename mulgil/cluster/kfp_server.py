"""Kubeflow Pipelines' API, and what its refusals mean; the one module that imports KFP's client."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import urllib3
from kfp_server_api import (
    ApiException,
    V2beta1CronSchedule,
    V2beta1Experiment,
    V2beta1GetHealthzResponse,
    V2beta1PeriodicSchedule,
    V2beta1Pipeline,
    V2beta1PipelineVersionReference,
    V2beta1RecurringRun,
    V2beta1Run,
    V2beta1RuntimeConfig,
    V2beta1Trigger,
)

from mulgil.errors import InputError, MulgilError, PermanentError, TemporaryError, describe

_PAGE = 100
_SIGN_IN = (
    "give a token (--token-file), a cookie (--cookie-file), or the client's own variables "
    "(KF_PIPELINES_IAP_OAUTH2_CLIENT_ID and its fellows); `mulgil submit --help` has them"
)


@dataclass(frozen=True)
class SignIn:
    """How to reach the server, in the KFP client's own terms; what is empty is left to the client.

    Attributes:
        host: The API's address. Without one the client takes `KF_PIPELINES_ENDPOINT`, the address inside the
            cluster, or the cluster of the kubeconfig, in this order.
        namespace: The namespace of KFP, or with profiles the user's.
        token_file: File with a bearer token.
        cookie_file: File with the cookies of a session.
        ca_file: Certificates that the server's is checked against.
        context: Context of the kubeconfig.
    """

    host: str = ""
    namespace: str = "kubeflow"
    token_file: Path | None = None
    cookie_file: Path | None = None
    ca_file: Path | None = None
    context: str = ""


@dataclass(frozen=True)
class Version:
    """A version of a pipeline on the server.

    Attributes:
        pipeline_id: The pipeline's.
        version_id: Its own.
        is_new: Whether it was uploaded now.
    """

    pipeline_id: str
    version_id: str
    is_new: bool


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs by itself: by cron or by an interval, one of the two.

    Attributes:
        cron: Six fields, the first one seconds, as KFP has them.
        interval_seconds: Seconds between two starts.
        is_catching_up: Whether starts that were missed are made up for.
    """

    cron: str = ""
    interval_seconds: int = 0
    is_catching_up: bool = False


class _Client(kfp.Client):  # type: ignore[misc]
    # The client's own asks five times with five seconds between, and hides why it failed.
    @functools.cache  # noqa: B019 - one client a process
    def get_kfp_healthz(self, sleep_duration: int = 5) -> V2beta1GetHealthzResponse:
        del sleep_duration
        answer = self.healthzs.healthz_service_get_healthz(_preload_content=False)
        health = json.loads(answer.data)
        return V2beta1GetHealthzResponse(multi_user=bool(health.get("multi_user")))


class KfpServer:
    """A KFP server that has answered.

    Args:
        sign_in: How to reach it.

    Raises:
        PermanentError: It lets nobody in by this sign-in, or is no KFP server.
        TemporaryError: It does not answer.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._name = sign_in.host or "the cluster's KFP"
        with self._translated("signing in"), warnings.catch_warnings():
            # It warns at every start that it does not work with servers before 2.0.
            warnings.simplefilter("ignore", FutureWarning)
            try:
                self._client = _Client(
                    host=sign_in.host or None,
                    namespace=sign_in.namespace,
                    existing_token=_read(sign_in.token_file),
                    cookies=_read(sign_in.cookie_file),
                    ssl_ca_cert=str(sign_in.ca_file) if sign_in.ca_file else None,
                    kube_context=sign_in.context or None,
                )
                health = self._client.get_kfp_healthz()
            except (json.JSONDecodeError, AttributeError) as exc:
                raise PermanentError(
                    describe(
                        f"What answers at {self._name} is not the API of Kubeflow Pipelines",
                        expected="the API, whose path ends before /apis",
                        received="another page, perhaps one to sign in at",
                        next_step=_SIGN_IN,
                    )
                ) from exc
        # Without profiles the API knows no namespaces.
        self.namespace: str | None = sign_in.namespace if health.multi_user else None

    def ensure_version(self, name: str, compiled: str, fingerprint: str) -> Version:
        """Return the version with this very content, uploading it where there is none.

        Args:
            name: The pipeline's.
            compiled: Its content.
            fingerprint: Of the content; the version is named by it.
        """
        version_name = f"{name}-{fingerprint[:12]}"
        with self._translated(f"uploading the pipeline {name}"), tempfile.TemporaryDirectory() as folder:
            # The API takes a file.
            file = Path(folder) / "pipeline.yaml"
            file.write_text(compiled, encoding="utf-8")
            pipeline_id = self._ensure_pipeline(name)
            for version in self._versions(pipeline_id):
                if version.display_name == version_name:
                    return Version(pipeline_id, version.pipeline_version_id, is_new=False)
            uploaded = self._client.pipeline_uploads.upload_pipeline_version(
                str(file), name=version_name, display_name=version_name, pipelineid=pipeline_id
            )
            return Version(pipeline_id, uploaded.pipeline_version_id, is_new=True)

    def ensure_experiment(self, name: str) -> str:
        """Return the identity of the experiment of a name, which is made where there is none."""
        with self._translated(f"opening the experiment {name}"):
            found = self._client.experiments.experiment_service_list_experiments(
                filter=_where_name(name), namespace=self.namespace, page_size=_PAGE
            ).experiments
            if found:
                return str(found[0].experiment_id)
            experiment = V2beta1Experiment(display_name=name, namespace=self.namespace)
            return str(
                self._client.experiments.experiment_service_create_experiment(experiment).experiment_id
            )

    def create_run(
        self,
        name: str,
        version: Version,
        experiment_id: str,
        parameters: Mapping[str, Any],
        *,
        pipeline_root: str,
        service_account: str,
    ) -> str:
        """Start a run and return its identity."""
        run = V2beta1Run(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=_reference(version),
            runtime_config=V2beta1RuntimeConfig(
                parameters=dict(parameters), pipeline_root=pipeline_root or None
            ),
            service_account=service_account or None,
        )
        with self._translated("starting the run"):
            return str(self._client.runs.run_service_create_run(run).run_id)

    def read_run(self, run_id: str) -> V2beta1Run:
        """Return a run as it stands."""
        with self._translated(f"reading the run {run_id}"):
            return self._client.runs.run_service_get_run(run_id)

    def retry_run(self, run_id: str) -> None:
        """Run again what failed in a run, and what comes after it."""
        with self._translated(f"retrying the run {run_id}"):
            self._client.runs.run_service_retry_run(run_id)

    def create_schedule(
        self,
        name: str,
        version: Version,
        experiment_id: str,
        parameters: Mapping[str, Any],
        schedule: Schedule,
        *,
        pipeline_root: str,
        service_account: str,
    ) -> str:
        """Let a pipeline run by itself, and return the schedule's identity."""
        trigger = (
            V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=schedule.cron))
            if schedule.cron
            else V2beta1Trigger(
                periodic_schedule=V2beta1PeriodicSchedule(interval_second=str(schedule.interval_seconds))
            )
        )
        recurring = V2beta1RecurringRun(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=_reference(version),
            runtime_config=V2beta1RuntimeConfig(
                parameters=dict(parameters), pipeline_root=pipeline_root or None
            ),
            service_account=service_account or None,
            # Two trainings at once would race for the same champion.
            max_concurrency="1",
            trigger=trigger,
            mode="ENABLE",
            no_catchup=not schedule.is_catching_up,
        )
        with self._translated(f"creating the schedule {name}"):
            made = self._client.recurring_runs.recurring_run_service_create_recurring_run(recurring)
            return str(made.recurring_run_id)

    def list_schedules(self) -> list[V2beta1RecurringRun]:
        """Return the schedules."""
        found: list[V2beta1RecurringRun] = []
        token = ""
        with self._translated("listing the schedules"):
            while True:
                page = self._client.recurring_runs.recurring_run_service_list_recurring_runs(
                    page_token=token, page_size=_PAGE, namespace=self.namespace
                )
                found += page.recurring_runs or []
                token = page.next_page_token or ""
                if not token:
                    return found

    def delete_schedule(self, schedule_id: str) -> None:
        """Remove a schedule; runs that it has started go on."""
        with self._translated(f"deleting the schedule {schedule_id}"):
            self._client.recurring_runs.recurring_run_service_delete_recurring_run(schedule_id)

    def _ensure_pipeline(self, name: str) -> str:
        found = self._client.pipelines.pipeline_service_list_pipelines(
            filter=_where_name(name), namespace=self.namespace, page_size=_PAGE
        ).pipelines
        if found:
            return str(found[0].pipeline_id)
        # Without a version: the upload of a pipeline would name its first version as itself.
        pipeline = V2beta1Pipeline(name=name, display_name=name, namespace=self.namespace)
        return str(self._client.pipelines.pipeline_service_create_pipeline(pipeline).pipeline_id)

    def _versions(self, pipeline_id: str) -> list[Any]:
        versions: list[Any] = []
        token = ""
        while True:
            page = self._client.pipelines.pipeline_service_list_pipeline_versions(
                pipeline_id, page_token=token, page_size=_PAGE, sort_by="created_at desc"
            )
            versions += page.pipeline_versions or []
            token = page.next_page_token or ""
            if not token:
                return versions

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ApiException as exc:
            raise _explain(exc, doing, self._name) from exc
        except urllib3.exceptions.HTTPError as exc:
            raise _explain_silence(exc, doing, self._name) from exc
        except ValueError as exc:
            # The generated client raises it where an answer is not what the API's description has.
            raise PermanentError(
                describe(f"KFP's answer is not understood while {doing}", received=str(exc)[:300])
            ) from exc


def _explain(exc: ApiException, doing: str, name: str) -> MulgilError:
    """Say what a refusal means, and what can be done."""
    said = _message(exc)
    match exc.status:
        case 401:
            return PermanentError(
                describe(
                    f"{name} does not know who asks, while {doing}",
                    expected="a sign-in that it accepts",
                    received=f"status 401: {said}",
                    next_step=_SIGN_IN,
                )
            )
        case 403:
            return PermanentError(
                describe(
                    f"{name} does not allow it, while {doing}",
                    received=f"status 403: {said}",
                    next_step="ask for access to the namespace, or name another one with --namespace",
                )
            )
        case 404:
            return InputError(describe(f"There is no such thing at {name}, while {doing}", received=said))
        case 400 | 409 | 412:
            return InputError(
                describe(f"{name} refuses, while {doing}", received=f"status {exc.status}: {said}")
            )
        case None | 0:
            return TemporaryError(
                describe(f"{name} does not answer, while {doing}", received=str(exc.reason))
            )
        case status if status == 429 or status >= 500:
            return TemporaryError(
                describe(f"{name} cannot answer now, while {doing}", received=f"status {status}: {said}")
            )
        case status:
            return PermanentError(
                describe(
                    f"{name} is no KFP API, or another one",
                    expected="KFP 2.0 or newer",
                    received=f"status {status} while {doing}",
                )
            )


def _explain_silence(exc: Exception, doing: str, name: str) -> MulgilError:
    reason = getattr(exc, "reason", None) or exc
    if isinstance(reason, urllib3.exceptions.SSLError):
        return PermanentError(
            describe(
                f"{name} shows a certificate that is not trusted here",
                received=str(reason),
                next_step="give the authority's certificate: --ca-file FILE",
            )
        )
    return TemporaryError(
        describe(
            f"{name} does not answer, while {doing}",
            received=str(reason),
            next_step="see that it runs and that --host is its address; for a port-forward: "
            "kubectl -n kubeflow port-forward svc/ml-pipeline 8888",
        )
    )


def _message(exc: ApiException) -> str:
    try:
        said = json.loads(exc.body)
        return str(said.get("message") or said.get("error") or said)[:500]
    except (TypeError, ValueError, AttributeError):
        return str(exc.body or exc.reason)[:200]


def _where_name(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _reference(version: Version) -> V2beta1PipelineVersionReference:
    return V2beta1PipelineVersionReference(
        pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
    )


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise InputError(describe(f"{path} cannot be read", received=str(exc.strerror))) from exc
