"""A project whose rows come in a file a day, and what of it is new."""

import json
from pathlib import Path
from typing import Any

from components.ingest_data.core import ingest_data
from mulgil.artifacts import SPLITS, DatasetManifest, SpanNews

PROJECT = """\
name: shop
problem: {goal: g, success_measure: s}
task: binary_classification
source: SOURCE
split: {kind: KIND}
"""

DICTIONARY = """\
columns:
  - {name: who, role: entity, type: text, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: size, type: float, missing: mean, description: d}
  - {name: part, type: category, categories: {train: a, validation: b, test: c}, role: ignore, description: d}
  - {name: bought, role: target, type: boolean, description: d}
"""
HEADER = "who,seen,size,part,bought"
DAYS = [f"2026-11-{day:02}" for day in range(1, 6)]


def rows_of(day: int, count: int = 30) -> list[str]:
    """Rows of a day, none of them like another's; the last one is wrong."""
    answers = "no", "yes"
    right = [
        f"c{day}-{i},2026-11-{day:02}T00:{i % 60:02}:00,{i * day}.5,{SPLITS[i % 3]},{answers[i // 3 % 2]}"
        for i in range(count)
    ]
    return [*right, f"c{day},2026-11-{day:02},wide,train,no"]


class Shop:
    """A project whose rows come in a file a day."""

    def __init__(self, folder: Path, location: str = "sales/{date}.csv", kind: str = "stratified") -> None:
        self.folder = folder
        (folder / "sales").mkdir(parents=True)
        (folder / "data_dictionary.yaml").write_text(DICTIONARY)
        self.declare(location, kind)

    def declare(self, location: str, kind: str = "stratified") -> None:
        self.declare_source(f'{{kind: csv, location: "{location}"}}', kind)

    def declare_source(self, source: str, kind: str = "stratified") -> None:
        text = PROJECT.replace("SOURCE", source).replace("KIND", kind)
        if kind == "predefined":
            text = text.replace("kind: predefined", "kind: predefined, column: part")
        (self.folder / "project.yaml").write_text(text)

    def write(self, day: str, rows: list[str] | None = None) -> None:
        lines = [HEADER, *(rows_of(int(day[-2:])) if rows is None else rows)]
        (self.folder / "sales" / f"{day}.csv").write_text("\n".join(lines) + "\n")

    def flags(self) -> dict[str, Path]:
        return {
            "project_path": self.folder,
            "dataset_path": self.folder / "dataset",
            "quarantine_path": self.folder / "quarantine",
        }

    def ingest(self, source: str = "") -> DatasetManifest:
        return ingest_data(source=source, **self.flags())

    def news(self) -> SpanNews:
        return SpanNews.read(self.folder / "quarantine" / SpanNews.FILE)

    def statuses(self, manifest: DatasetManifest) -> dict[str, str]:
        """Return what became of each span of the last ingestion, by its day."""
        news = self.news()
        return {
            span.name[-2:]: next(
                (status for status in ("new", "changed") if span.name in getattr(news, status)), "known"
            )
            for span in manifest.spans
        }

    def set_aside(self) -> list[dict[str, Any]]:
        lines = (self.folder / "quarantine" / "rows.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]
