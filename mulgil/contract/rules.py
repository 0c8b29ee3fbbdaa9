"""Rules between columns: what must hold of every row, or of all rows that share a value.

A column's own declaration cannot say that nobody leaves before arriving, or that a postal code lies in one
city. A rule reads what stays of the table, ignored columns too, and says nothing of rows without the values
that it reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mulgil.contract.expressions import Expression, Kind, parse_expression
from mulgil.contract.violations import ViolationPolicy


class Rule(BaseModel):
    """One declared association between columns: of each row, or between the values of two columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holds: str | None = Field(
        default=None,
        description="What is true of every row, such as `admitted <= discharged`: an expression of columns.",
    )
    when: str | None = Field(
        default=None,
        description="Of which rows `holds` is asked, such as `present(discharged)`; of all if not given.",
    )
    each: str | None = Field(
        default=None, description="A column of which each value goes with one value of `has_one`."
    )
    has_one: str | None = Field(
        default=None, description="The column that has one value for each value of `each`."
    )
    description: str | None = Field(default=None, description="Why it holds, for a reader of the verdict.")
    on_violation: ViolationPolicy = Field(
        default=ViolationPolicy.BLOCK,
        description="What happens where the rule is broken: block the run, quarantine the rows that break "
        "it, or warn.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        given = {name for name in ("holds", "when", "each", "has_one") if getattr(self, name) is not None}
        if given not in ({"holds"}, {"holds", "when"}, {"each", "has_one"}):
            raise ValueError(
                "a rule is `holds`, with or without `when`, or `each` with `has_one`; "
                f"received {', '.join(sorted(given)) or 'none of them'}"
            )
        if self.each is not None and self.each == self.has_one:
            raise ValueError(f"each value is one of itself; received each={self.each} has_one={self.has_one}")
        if self.each is not None and self.on_violation is ViolationPolicy.QUARANTINE:
            raise ValueError(
                "which of two values is the wrong one no row tells: take block or warn; "
                "received on_violation=quarantine"
            )
        for text in (self.holds, self.when):
            if text is not None and not parse_expression(text).columns:
                raise ValueError(f"a rule reads a column; received {text}")
        return self

    @property
    def condition(self) -> Expression | None:
        """The parsed `when`."""
        return None if self.when is None else parse_expression(self.when)

    @property
    def expression(self) -> Expression | None:
        """The parsed `holds`."""
        return None if self.holds is None else parse_expression(self.holds)

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that it reads."""
        read = [one.columns for one in (self.condition, self.expression) if one is not None]
        named = frozenset(name for name in (self.each, self.has_one) if name is not None)
        return named.union(*read)

    @property
    def text(self) -> str:
        """The rule as a person says it."""
        if self.holds is None:
            return f"each {self.each} has one {self.has_one}"
        return self.holds if self.when is None else f"{self.holds} where {self.when}"


def explain_rules(
    rules: Sequence[Rule], kinds: Mapping[str, Kind], past: Collection[str]
) -> Iterator[tuple[int, str, str]]:
    """Say what is wrong with rules once the columns are known.

    Args:
        rules: The rules.
        kinds: What the columns hold that a rule may read.
        past: Those that are known only when all rows are there: an entity's past, and what is derived of it.

    Returns:
        The rule's place, its key and what is wrong with it.
    """
    for place, rule in enumerate(rules):
        unknown = sorted(rule.columns - kinds.keys())
        if unknown:
            text = f"it reads columns of the dictionary that are no images; received {', '.join(unknown)}"
            yield place, _key_of(rule, unknown[0]), text
            continue
        for key, expression in (("when", rule.condition), ("holds", rule.expression)):
            if expression is None:
                continue
            try:
                kind = expression.kind(kinds)
            except ValueError as exc:
                yield place, key, str(exc)
                continue
            if kind is not Kind.TRUTH:
                yield place, key, f"it is true or false of a row; received {expression.text}, {kind}"
        late = sorted(rule.columns & set(past))
        if late and rule.on_violation is ViolationPolicy.QUARANTINE:
            text = f"rows are set aside before {late[0]} is known; take block or warn; received quarantine"
            yield place, "on_violation", text


def _key_of(rule: Rule, name: str) -> str:
    """Return the key of the rule that reads a column."""
    if rule.expression is None:
        return "each" if rule.each == name else "has_one"
    return "holds" if name in rule.expression.columns else "when"
