"""What a run left behind, read once: its record, its steps, and whatever they handed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from mulgil.artifacts import (
    BUNDLE_MANIFEST,
    NEWEST_SPAN,
    SUMMARY,
    BundleManifest,
    DatasetManifest,
    DistributionSummary,
    Endpoint,
    Evaluation,
    QuarantineSummary,
    Record,
    RegisteredModel,
    SpanComparison,
    SpanNews,
    TrainingHistory,
    Verdict,
    fingerprint_file,
)
from mulgil.contract import ProjectFolder, load_project
from mulgil.errors import InputError
from mulgil.local.run_store import RunRecord, State, TaskRecord
from mulgil.local.task_folder import log_of
from mulgil.reports.step_graph import plain_path, read_edges

_LOG_LINES_KEPT = 60

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        path: Its name, with those of the graphs around it before slashes.
        title: What a reader knows it by.
        state: How it stands; `None` where it never started.
        started_at: Seconds since the epoch.
        ended_at: Seconds since the epoch; `None` while it runs.
        exit_code: Of its process, where one ran.
        log_tail: The end of its log, where it failed.
    """

    path: str
    title: str
    state: State | None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    log_tail: str = ""

    @property
    def gate(self) -> str:
        """The name that its verdict has, where it is a gate."""
        return _name_of(self.path).replace("-", "_")

    @property
    def has_run(self) -> bool:
        """Whether a process was started for it in this run."""
        return self.state not in (None, State.CACHED, State.RECONCILED, State.SKIPPED, State.BLOCKED)

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it runs, or where it did not run."""
        if not self.has_run or self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class RunEvidence:
    """Everything that is known of a run. What a step did not hand over is `None`.

    Attributes:
        run: Its record.
        steps: Its steps in the order in which they started, then those that never did.
        edges: By step, those that it waits for.
        project: The project, as the run read it.
        dataset: What was ingested.
        dataset_path: The folder of it.
        quarantine: Why rows were set aside.
        span_news: What became of the source's spans.
        distributions: How the columns are spread.
        newest_span: How far the newest span lies from those before.
        validation: The data's verdict.
        history: How the model was fitted.
        bundle: The model.
        evaluation: How good it is.
        judgement: The model's verdict.
        registered: Its version.
        endpoint: Where it serves.
        manifest: The `InferenceService` that was applied, in YAML.
        pipeline_fingerprint: Of the compiled pipeline.
        unreadable: What is there and cannot be read, and why.
    """

    run: RunRecord
    steps: tuple[Step, ...]
    edges: dict[str, frozenset[str]]
    project: ProjectFolder | None
    dataset: DatasetManifest | None
    dataset_path: Path | None
    quarantine: QuarantineSummary | None
    span_news: SpanNews | None
    distributions: DistributionSummary | None
    newest_span: SpanComparison | None
    validation: Verdict | None
    history: TrainingHistory | None
    bundle: BundleManifest | None
    evaluation: Evaluation | None
    judgement: Verdict | None
    registered: RegisteredModel | None
    endpoint: Endpoint | None
    manifest: str | None
    pipeline_fingerprint: str | None
    unreadable: tuple[str, ...]

    @property
    def failed(self) -> tuple[Step, ...]:
        """The steps that failed."""
        return tuple(step for step in self.steps if step.state is State.FAILED)

    @property
    def spans(self) -> tuple[str, ...]:
        """Which spans the rows are of, and what became of them; nothing where the source has none."""
        if self.dataset is None:
            return ()
        states = {_name_of(step.path): step.state for step in self.steps}
        is_reused = states.get("ingest-data") is State.CACHED
        return self.dataset.tell_spans(SpanNews() if is_reused else self.span_news)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that were given."""
        return tuple(verdict for verdict in (self.validation, self.judgement) if verdict is not None)

    @property
    def sensitive(self) -> frozenset[str]:
        """The columns whose values are shown to nobody."""
        columns = self.project.dictionary.columns if self.project else ()
        return frozenset(column.name for column in columns if column.sensitive)


def read_evidence(run: RunRecord, tasks: Sequence[TaskRecord], folder: Path) -> RunEvidence:
    """Read what a run left; what is missing or damaged is left out, never an error.

    Args:
        run: The run's record.
        tasks: Its tasks' records in the order in which they started.
        folder: The run's folder.
    """
    pipeline = folder / "pipeline.yaml"
    edges = read_edges(_read_yaml(pipeline)) if pipeline.exists() else {}
    steps = _read_steps(tasks, edges, folder)
    left = _Leavings(folder, [step.path for step in steps])
    manifest = left.find("deploy-model", "manifest")
    return RunEvidence(
        run=run,
        steps=steps,
        edges=edges,
        project=left.read_project(run.parameters.get("project_path")),
        dataset=left.read(DatasetManifest, "ingest-data", "dataset", "manifest.json"),
        dataset_path=left.find("ingest-data", "dataset"),
        quarantine=left.read(QuarantineSummary, "ingest-data", "quarantine", SUMMARY),
        span_news=left.read(SpanNews, "ingest-data", "quarantine", SpanNews.FILE),
        distributions=left.read(DistributionSummary, "validate-data", "statistics", SUMMARY),
        newest_span=left.read(SpanComparison, "validate-data", "statistics", NEWEST_SPAN),
        validation=left.read(Verdict, "validate-data", "verdict"),
        history=left.read(TrainingHistory, "train-model", "history"),
        bundle=left.read(BundleManifest, "train-model", "bundle", BUNDLE_MANIFEST),
        evaluation=left.read(Evaluation, "evaluate-model", "evaluation"),
        judgement=left.read(Verdict, "evaluate-model", "verdict"),
        registered=left.read(RegisteredModel, "register-model", "registered_model"),
        endpoint=left.read(Endpoint, "deploy-model", "endpoint"),
        manifest=manifest.read_text(encoding="utf-8") if manifest else None,
        pipeline_fingerprint=fingerprint_file(pipeline) if pipeline.exists() else None,
        unreadable=tuple(left.unreadable),
    )


class _Leavings:
    """The artifacts in a run's folder, found by the step's own name in whichever graph it stands."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        self._folder = folder
        self._paths = list(paths)
        self.unreadable: list[str] = []

    def find(self, task: str, *place: str) -> Path | None:
        for path in self._paths:
            found = self._folder.joinpath("tasks", path, "artifacts", *place)
            if _name_of(path) == task and found.exists():
                return found
        return None

    def read(self, kind: type[AnyRecord], task: str, *place: str) -> AnyRecord | None:
        path = self.find(task, *place)
        try:
            return kind.read(path) if path else None
        except InputError as exc:
            self.unreadable.append(str(exc).splitlines()[0])
            return None

    def read_project(self, path: object) -> ProjectFolder | None:
        if not isinstance(path, str) or not Path(path).is_dir():
            return None
        try:
            return load_project(Path(path))
        except InputError as exc:
            self.unreadable.append(str(exc).splitlines()[0])
            return None


def _read_steps(
    tasks: Sequence[TaskRecord], edges: dict[str, frozenset[str]], folder: Path
) -> tuple[Step, ...]:
    # The last record of a task counts: one that was tried again has several.
    latest = {task.task: task for task in tasks}
    steps = [
        Step(
            path=task.task,
            title=task.title,
            state=task.state,
            started_at=task.started_at,
            ended_at=task.ended_at,
            exit_code=task.exit_code,
            log_tail=read_log(folder, task.task, _LOG_LINES_KEPT) if task.state is State.FAILED else "",
        )
        for task in latest.values()
    ]
    known = {plain_path(path) for path in latest}
    never = [
        Step(path=path, title=_name_of(path), state=None)
        for path in edges
        if path not in known and not any(path.startswith(f"{name}/") for name in known)
    ]
    return (*steps, *never)


def read_log(folder: Path, task: str, lines: int | None = None) -> str:
    """Return a step's log, or its last lines; nothing where there is none."""
    path = log_of(folder, task)
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return text if lines is None else "\n".join(text.splitlines()[-lines:])


def _name_of(path: str) -> str:
    """Return a task's own name, without those of the graphs and iterations around it."""
    return plain_path(path).rpartition("/")[2]


def _read_yaml(path: Path) -> dict[str, object]:
    # libyaml is ten times as fast, where PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    return content if isinstance(content, dict) else {}
