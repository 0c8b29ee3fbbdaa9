"""The rules between columns as one check each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from components.validate_data.dataset import StoredSplit
from mulgil.artifacts import Check
from mulgil.broken_rules import check_rule
from mulgil.contract import DataDictionary
from mulgil.contract.violations import ViolationPolicy


def judge_rules(
    dictionary: DataDictionary, splits: Mapping[str, StoredSplit], problems: Collection[str]
) -> list[Check]:
    """Ask of every rule whether the rows keep it.

    Args:
        dictionary: What the columns are, and the rules.
        splits: The rows by split; a rule is asked of all of them together.
        problems: Columns that are not there as they should; the rules that read them are not asked.
    """

    def read(names: Collection[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for split, stored in splits.items():
            for batch in stored.batches(names):
                yield split, batch

    checks = []
    for rule in dictionary.rules:
        if rule.columns & set(problems):
            continue
        found = check_rule(rule, dictionary, read)
        checks.append(
            Check(
                name=f"rule:{rule.text}",
                is_passed=not found.broken,
                value=found.broken.total(),
                limit=0,
                reason=str(found),
                is_blocking=rule.on_violation is not ViolationPolicy.WARN,
            )
        )
    return checks
