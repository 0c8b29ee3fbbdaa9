"""What Prometheus scrapes, whichever worker it reaches: the numbers of all of them.

Source:
    https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

from __future__ import annotations

import itertools
import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from mulgil.contract.answers import AnswerForm, Numbers
from mulgil.serving.contract_check import Outcome
from mulgil.serving.shared_numbers import PID, RESTARTS, SharedNumbers

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Seconds. A request takes tens of microseconds, a large batch some milliseconds.
_SECONDS = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1.0)
# Probabilities, in twentieths.
_PROBABILITIES = tuple(round(0.05 * step, 2) for step in range(1, 20))
# Of a target in whatever unit: by order of magnitude.
_MAGNITUDES = tuple(m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5))
_ANY_NUMBERS = (*(-bound for bound in reversed(_MAGNITUDES)), 0.0, *_MAGNITUDES)
# Every status with which a prediction request may end.
_CODES = ("200", "400", "401", "404", "413", "500", "503")
_PROTOCOLS = ("v1", "v2", "grpc", "explain")
# From here on numpy counts in less time than Python: measured at 32 to 64.
_MANY = 48

# What became of a record of the prediction log.
SENT, DROPPED = "sent", "dropped"
# Why a client was turned away.
CONNECTIONS, MEMORY, WAIT = "connections", "memory", "wait"


class Counter:
    """A count by labels.

    Args:
        numbers: Where it is kept.
        name: Of the metric.
        help_text: What it is.
        labels: Each label's values; every combination is shown, so that the first count is seen to grow.
        kind: `counter`, or `gauge` for what also shrinks.
    """

    def __init__(
        self,
        numbers: SharedNumbers,
        name: str,
        help_text: str,
        *,
        kind: str = "counter",
        **labels: Iterable[str],
    ) -> None:
        self._numbers, self._own = numbers, numbers.own
        self._name = name
        self._head = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        combinations = list(itertools.product(*labels.values()))
        first = numbers.reserve(len(combinations))
        self._places = dict(zip(combinations, itertools.count(first), strict=False))
        self._texts = {
            combination: "".join(
                f',{name}="{_escape(value)}"' for name, value in zip(labels, combination, strict=True)
            )
            for combination in combinations
        }
        if kind == "gauge":
            # Whoever had the row before took what it held with it.
            for place in self._places.values():
                self._own[place] = 0.0

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Count."""
        self._own[self._places[labels]] += amount

    def place(self, *labels: str) -> int:
        """Return where a count stands in the own row, for who counts by itself."""
        return self._places[labels]

    def set(self, amount: float) -> None:
        """Say how much there is, of a gauge without labels."""
        self._own[self._places[()]] = amount

    def render(self, labels: str) -> list[str]:
        """Write the lines."""
        return self._head + [
            f"{self._name}{{{labels}{self._texts[combination]}}} {self._numbers.total(place):g}"
            for combination, place in self._places.items()
        ]


class Histogram:
    """Numbers, counted by size.

    Args:
        numbers: Where they are kept.
        name: Of the metric.
        help_text: What it is.
        bounds: Of the buckets, ascending.
        labels: What tells it from others of its name, as text.
    """

    def __init__(
        self,
        numbers: SharedNumbers,
        name: str,
        help_text: str,
        bounds: Sequence[float],
        labels: str = "",
    ) -> None:
        self._numbers, self._own = numbers, numbers.own
        self._name = name
        self._labels = labels
        self._head = [f"# HELP {name} {help_text}", f"# TYPE {name} histogram"]
        self._bounds = tuple(bounds)
        self._first = numbers.reserve(len(bounds) + 2)
        self._sum = self._first + len(bounds) + 1

    def observe(self, number: float) -> None:
        """Count one."""
        self._own[self._first + bisect_left(self._bounds, number)] += 1.0
        self._own[self._sum] += number

    def observe_all(self, numbers: Sequence[float]) -> None:
        """Count several."""
        if len(numbers) < _MANY:
            for number in numbers:
                self.observe(number)
            return
        counts = np.bincount(np.searchsorted(self._bounds, numbers))
        for place, count in enumerate(counts.tolist(), self._first):
            self._own[place] += count
        self._own[self._sum] += float(np.sum(numbers))

    def render(self, labels: str) -> list[str]:
        """Write the lines."""
        return [*self._head, *self.render_values(labels)]

    def render_values(self, labels: str) -> list[str]:
        """Write the lines without what says what they are."""
        labels += self._labels
        lines = []
        total = 0.0
        for place, bound in enumerate((*map(str, self._bounds), "+Inf")):
            total += self._numbers.total(self._first + place)
            lines.append(f'{self._name}_bucket{{{labels},le="{bound}"}} {total:.0f}')
        lines.append(f"{self._name}_sum{{{labels}}} {self._numbers.total(self._sum)!r}")
        lines.append(f"{self._name}_count{{{labels}}} {total:.0f}")
        return lines


class Predictions:
    """What the model answered, a histogram for each of its numbers.

    Args:
        numbers: Where they are kept.
        answers: What the model answers.
    """

    def __init__(self, numbers: SharedNumbers, answers: AnswerForm) -> None:
        bounds = _PROBABILITIES if answers.task.is_classification else _ANY_NUMBERS
        self._histograms = [
            Histogram(
                numbers,
                "mulgil_predictions",
                "What the model answered, an instance a count.",
                bounds,
                f',output="{_escape(name)}"',
            )
            for name in answers.names or (answers.output,)
        ]
        self._only = None if answers.names else self._histograms[0]

    def observe(self, predictions: Sequence[Numbers]) -> None:
        """Count a request's."""
        if self._only is not None:
            if len(predictions) == 1:
                self._only.observe(cast("float", predictions[0]))
            else:
                self._only.observe_all(cast("Sequence[float]", predictions))
            return
        by_output = zip(*cast("Sequence[list[float]]", predictions), strict=True)
        for histogram, values in zip(self._histograms, by_output, strict=True):
            histogram.observe_all(values)

    def render(self, labels: str) -> list[str]:
        """Write the lines."""
        first, *others = self._histograms
        return [*first.render(labels), *(line for one in others for line in one.render_values(labels))]


class ConnectionCounts:
    """What is counted of a server's connections.

    Args:
        numbers: Where; memory of this process alone if left out.

    Attributes:
        in_flight: Requests that have begun to arrive and are not answered.
        connections: Open ones.
        shed: Clients that were turned away.
    """

    def __init__(self, numbers: SharedNumbers | None = None) -> None:
        numbers = numbers or SharedNumbers()
        self.shed = Counter(
            numbers,
            "mulgil_requests_shed_total",
            "Clients turned away with a 503, by what there was too much of.",
            reason=(CONNECTIONS, MEMORY, WAIT),
        )
        self.in_flight = Counter(
            numbers,
            "mulgil_requests_in_flight",
            "Requests that have begun to arrive and are not answered.",
            kind="gauge",
        )
        self.connections = Counter(numbers, "mulgil_connections", "Open HTTP connections.", kind="gauge")


class Metrics:
    """Counts since the server began.

    Args:
        name: The model.
        version: Its version.
        columns: Names of its columns.
        answers: What it answers.
        numbers: Where they are kept; memory of this process alone if left out.

    Attributes:
        numbers: Where they are kept.
        connections: What is counted of them.
        log_records: Records of the prediction log.
        log_buffered: Those that wait.
        lookups: Time to read a request's entities.
        predictions: What the model answered.
        violations: Values that the dictionary does not allow.
    """

    def __init__(
        self,
        name: str,
        version: str,
        columns: Sequence[str],
        answers: AnswerForm,
        numbers: SharedNumbers | None = None,
    ) -> None:
        numbers = numbers or SharedNumbers()
        self.numbers = numbers
        self._labels = f'model="{name}",version="{version}"'
        self._codes = Counter(
            numbers,
            "mulgil_requests_total",
            "Prediction requests by protocol and status code.",
            protocol=_PROTOCOLS,
            code=_CODES,
        )
        # Looked up by what a request has, once; to find it by labels takes longer than to count.
        self._code_places = {
            (protocol, int(code)): self._codes.place(protocol, code)
            for protocol, code in itertools.product(_PROTOCOLS, _CODES)
        }
        self._requests = Histogram(
            numbers, "mulgil_request_seconds", "Time from a request's last byte to its answer.", _SECONDS
        )
        self.lookups = Histogram(
            numbers, "mulgil_online_store_seconds", "Time to read a request's entities.", _SECONDS
        )
        self.predictions = Predictions(numbers, answers)
        self.violations = Counter(
            numbers,
            "mulgil_contract_violations_total",
            "Values that the data dictionary does not allow, at most ten a request.",
            column=columns,
            outcome=tuple(Outcome),
        )
        self.log_records = Counter(
            numbers,
            "mulgil_prediction_log_records_total",
            "Recorded predictions: taken by the collector, or lost.",
            outcome=(SENT, DROPPED),
        )
        self.log_buffered = Counter(
            numbers,
            "mulgil_prediction_log_buffered",
            "Predictions that wait to be sent to the collector.",
            kind="gauge",
        )
        self.connections = ConnectionCounts(numbers)
        self._families: list[Counter | Histogram | Predictions] = [
            *(self._codes, self._requests, self.lookups, self.predictions, self.violations),
            *(self.connections.shed, self.connections.in_flight, self.connections.connections),
            *(self.log_records, self.log_buffered),
        ]
        numbers.own[PID] = os.getpid()

    def observe(self, protocol: str, status: int, seconds: float) -> None:
        """Count one prediction request."""
        self.numbers.own[self._code_places[protocol, status]] += 1.0
        self._requests.observe(seconds)

    def render(self) -> bytes:
        """Write the page."""
        lines = [line for family in self._families for line in family.render(self._labels)]
        return ("\n".join([*lines, *self._render_processes()]) + "\n").encode()

    def _render_processes(self) -> list[str]:
        """Write what Linux says of the workers, and how often each was started again."""
        rows = [self.numbers.row(worker) for worker in range(self.numbers.workers)]
        found = [_read_process(int(row[PID])) for row in rows]
        return [
            "# HELP process_resident_memory_bytes Resident memory of a worker.",
            "# TYPE process_resident_memory_bytes gauge",
            *(
                f'process_resident_memory_bytes{{worker="{worker}"}} {bytes_}'
                for worker, (bytes_, _) in enumerate(found)
            ),
            "# HELP process_cpu_seconds_total Processor time of a worker.",
            "# TYPE process_cpu_seconds_total counter",
            *(
                f'process_cpu_seconds_total{{worker="{worker}"}} {seconds}'
                for worker, (_, seconds) in enumerate(found)
            ),
            "# HELP mulgil_worker_restarts_total How often a worker that died was started again.",
            "# TYPE mulgil_worker_restarts_total counter",
            *(
                f'mulgil_worker_restarts_total{{worker="{worker}"}} {row[RESTARTS]:g}'
                for worker, row in enumerate(rows)
            ),
        ]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _read_process(pid: int) -> tuple[int, float]:
    """Return a process's resident bytes and processor seconds, zeros where it is gone (proc(5))."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        # The name, which may have spaces, ends with the last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, IndexError):
        return 0, 0.0
    ticks = int(fields[11]) + int(fields[12])
    return pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK")
