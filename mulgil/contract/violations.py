"""What happens where the data is not as the dictionary says."""

from __future__ import annotations

from enum import StrEnum


class ViolationPolicy(StrEnum):
    """What happens where a column of the training data is not as the dictionary says, or a rule is broken.

    `block`: validation fails. `quarantine`: the rows whose value lies outside the range or the categories, or
    that break the rule, are set aside at ingestion, with the reason; all else fails. `warn`: validation
    tells, and the run goes on.
    """

    BLOCK = "block"
    QUARANTINE = "quarantine"
    WARN = "warn"
