"""What a person should know of a table before anything is learned of it, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from mulgil.drafting.columns import why_ignored
from mulgil.drafting.profile import ColumnProfile, Kind
from mulgil.exploration.columns import Explored, is_number
from mulgil.exploration.labels import Doubts, find_doubts
from mulgil.exploration.places import find_places
from mulgil.exploration.relations import Pair, find_redundant, predictive_power
from mulgil.exploration.spans import SpanFindings, compare_newest_span

# One column that explains so much of the target is more often a consequence of it than luck. By eye.
_TOO_GOOD = 0.9
# A class of which fewer rows are is easily never called.
_RARE_CLASS = 0.05
_MOSTLY_MISSING = 0.5
# Rows for each feature that a model of them wants at least; a rule of thumb.
_ROWS_FOR_A_FEATURE = 10
_SOME_DOUBTS = 0.02
# More of them are one story, told once more. Chosen by eye.
_DIFFERENCES_SHOWN = 10


@dataclass(frozen=True)
class Suggestion:
    """Something that a person should look at.

    Attributes:
        topic: Of what kind it is: leakage, span, rules, quality, target, redundancy or size.
        text: What was found.
        remedy: What to do about it.
    """

    topic: str
    text: str
    remedy: str


@dataclass(frozen=True)
class ColumnFinding:
    """What was found of one column.

    Attributes:
        profile: The column.
        power: Which share of the target's spread it alone explains; `None` where it cannot be a feature.
        outliers: Rows beyond Tukey's outer fences.
        ignored: Why it cannot be a feature as it is, if it cannot.
    """

    profile: ColumnProfile
    power: float | None
    outliers: int
    ignored: str | None


@dataclass(frozen=True)
class Findings:
    """What was found of a table.

    Attributes:
        columns: Each but target, time and key; those that tell most of the target first.
        redundant: Pairs of which one could go.
        repeated: Rows that repeat the features of another.
        contradicting: Of them, those of which another has another target.
        doubts: Rows whose target a model doubts; `None` where nothing could be judged.
        places: The names of latitude and longitude, where there are such.
        span: The newest span beside those before, where the source has several.
        suggestions: All that in plain words, the most dangerous first.
    """

    columns: tuple[ColumnFinding, ...]
    redundant: tuple[Pair, ...]
    repeated: int
    contradicting: int
    doubts: Doubts | None
    places: tuple[str, str] | None
    span: SpanFindings | None
    suggestions: tuple[Suggestion, ...]


def explore(explored: Explored, broken_rules: Sequence[str] = ()) -> Findings:
    """Look at a table.

    Args:
        explored: The table.
        broken_rules: What is said of the dictionary's rules that its rows break.
    """
    columns = sorted(
        (_look_at(explored, profile) for profile in explored.others),
        key=lambda found: -1.0 if found.power is None else -1.0 - found.power,
    )
    features = tuple(c.profile for c in columns if c.ignored is None)
    repeated, contradicting = _count_repeated(explored, features)
    redundant = tuple(find_redundant(features))
    doubts = find_doubts(explored, features)
    span = compare_newest_span(explored, [*features, explored.target])
    suggestions = (
        *_suggest_span(span),
        *_suggest_rules(broken_rules),
        *_suggest_leakage(explored, columns),
        *_suggest_future(explored),
        *_suggest_repeated(repeated, contradicting),
        *_suggest_target(explored, doubts),
        *_suggest_quality(explored, columns),
        *_suggest_redundancy(redundant),
        *_suggest_size(explored, features),
    )
    return Findings(
        tuple(columns), redundant, repeated, contradicting, doubts, find_places(explored), span, suggestions
    )


def _look_at(explored: Explored, profile: ColumnProfile) -> ColumnFinding:
    ignored = why_ignored(profile, explored.target)
    if ignored is not None and profile.distinct < 2 and profile.name in explored.hidden:
        ignored = "it is constant"
    # What gives the target away is the very thing that a person should see the number of.
    is_judged = ignored is None or ignored.startswith("it tells the target")
    power = predictive_power(explored, profile) if is_judged else None
    return ColumnFinding(profile, power, count_outliers(profile), ignored)


def count_outliers(profile: ColumnProfile) -> int:
    """Return how many numbers lie beyond Tukey's outer fences; none where the quartiles are one."""
    if not is_number(profile) or profile.kind is Kind.TRUTH or not len(profile.finite):
        return 0
    lower, upper = np.quantile(profile.finite, [0.25, 0.75])
    reach = 3 * (upper - lower)
    values = profile.finite
    return int(((values < lower - reach) | (values > upper + reach)).sum()) if reach else 0


def _count_repeated(explored: Explored, features: Sequence[ColumnProfile]) -> tuple[int, int]:
    """Count rows that repeat the features of another, and those of them with another target."""
    if not features:
        return 0, 0
    keys = _row_keys(features)
    _, groups, counts = np.unique(keys, return_inverse=True, return_counts=True)
    targets = explored.target.codes
    least, greatest = np.full(len(counts), targets.max() + 1), np.full(len(counts), -1)
    np.minimum.at(least, groups, targets)
    np.maximum.at(greatest, groups, targets)
    repeated = int((counts - 1).sum())
    return repeated, int(counts[(counts > 1) & (least != greatest)].sum())


def _row_keys(features: Sequence[ColumnProfile]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return a number for each row, the same for the same values. Two rows differ in it but by 2^-64."""
    keys = np.zeros(len(features[0].codes), np.uint64)
    for profile in features:
        values = profile.codes.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        # splitmix64's finaliser, so that small codes differ in every bit.
        keys = (keys ^ values) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
    return keys


def _suggest_span(span: SpanFindings | None) -> Iterator[Suggestion]:
    if span is None:
        return
    for found in span.differences[:_DIFFERENCES_SHOWN]:
        yield Suggestion(
            "span",
            f"{found.name} is not in span {span.name} as before: {found.where} in {found.newest:.1%} of its "
            f"rows, {found.before:.1%} of those before.",
            "mend the delivery where it is at fault; where the world changed, let source.spans leave out "
            "what is old, and declare a limit: drift",
        )


def _suggest_rules(broken: Sequence[str]) -> Iterator[Suggestion]:
    for text in broken:
        yield Suggestion(
            "rules", text, "correct the source, or the rule; on_violation: warn lets a run go on, and tells"
        )


def _suggest_leakage(explored: Explored, columns: Sequence[ColumnFinding]) -> Iterator[Suggestion]:
    for found in columns:
        name = found.profile.name
        if found.power is not None and found.power >= _TOO_GOOD:
            yield Suggestion(
                "leakage",
                f"{name} alone explains {found.power:.0%} of {explored.target.name}, on rows that it was not "
                "learned from. It may be a consequence of what is predicted.",
                "keep it only if it is known before; else role: ignore",
            )
        elif found.ignored is not None and "identifier" in found.ignored:
            yield Suggestion(
                "leakage",
                f"{name} is {found.ignored}. A model learns such rows by heart.",
                "role: ignore, or role: entity where it says what a row is about",
            )


def _suggest_future(explored: Explored) -> Iterator[Suggestion]:
    if explored.moment is None:
        return
    at = _moments(explored.cells[explored.moment.name], explored.moment)
    for profile in explored.others:
        if profile.kind is not Kind.TIME:
            continue
        then = _moments(explored.cells[profile.name], profile)
        is_both = ~np.isnan(then) & ~np.isnan(at)
        # Whole days lie before the hours within them.
        later = int((then[is_both] >= at[is_both] + 86_400).sum())
        if later:
            yield Suggestion(
                "leakage",
                f"{profile.name} is a day or more after {explored.moment.name} in {later:,} rows: it was not "
                "known when the row became true.",
                "derive nothing of it, unless the time of a row is another column: --event-timestamp",
            )


def _suggest_repeated(repeated: int, contradicting: int) -> Iterator[Suggestion]:
    if contradicting:
        yield Suggestion(
            "target",
            f"{contradicting:,} rows have the same features as another one and another target. No model can "
            "be right on all of them.",
            "look for a feature that tells them apart, or for labels that are wrong",
        )
    if repeated:
        yield Suggestion(
            "leakage",
            f"{repeated:,} rows repeat the features of another one. A random split puts them into training "
            "and test alike, and what is measured is too good.",
            "split: {kind: group} by an entity that such rows share, or drop them in the source",
        )


def _suggest_target(explored: Explored, doubts: Doubts | None) -> Iterator[Suggestion]:
    target = explored.target
    if target.missing:
        yield Suggestion(
            "target", f"{target.missing:,} rows have no {target.name}.", "they are set aside; find out why"
        )
    if not explored.is_a_number and target.values:
        word, rows = target.values[-1]
        if rows < _RARE_CLASS * target.present:
            shown = "one answer" if target.name in explored.hidden else word
            yield Suggestion(
                "target",
                f"only {rows:,} rows, {rows / target.present:.2%}, are {shown}. Accuracy says little then.",
                "gate on average precision or recall; bring more rows of it",
            )
    if doubts is not None and doubts.found > _SOME_DOUBTS * doubts.judged:
        yield Suggestion(
            "target",
            f"a model fitted on the other rows is sure of another {target.name} in {doubts.found:,} of "
            f"{doubts.judged:,} rows.",
            "look at those that are listed below, and correct them in the source if they are wrong",
        )


def _suggest_quality(explored: Explored, columns: Sequence[ColumnFinding]) -> Iterator[Suggestion]:
    for found in columns:
        profile = found.profile
        if found.ignored is not None:
            continue
        if profile.missing > _MOSTLY_MISSING * profile.rows:
            yield Suggestion(
                "quality",
                f"{profile.name} has no value in {profile.missing / profile.rows:.0%} of the rows.",
                "find out what its absence means; drop it if nothing",
            )
        if found.outliers:
            yield Suggestion(
                "quality",
                f"{profile.name} has {_count(found.outliers, 'value')} far from all that is usual.",
                "outliers: clip, or missing_codes where they are no measurement",
            )


def _suggest_redundancy(redundant: Sequence[Pair]) -> Iterator[Suggestion]:
    for pair in redundant[:10]:
        yield Suggestion(
            "redundancy",
            f"{pair.one} and {pair.other} say nearly the same ({pair.strength:.2f} of 1).",
            "one of them is enough: role: ignore",
        )


def _suggest_size(explored: Explored, features: Sequence[ColumnProfile]) -> Iterator[Suggestion]:
    if explored.rows < _ROWS_FOR_A_FEATURE * len(features):
        yield Suggestion(
            "size",
            f"{explored.rows:,} rows for {len(features)} features: what is learned may be chance.",
            "bring more rows, ignore features, or choose a simple model",
        )


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _moments(cells: pa.ChunkedArray, profile: ColumnProfile) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return each row's time in seconds, NaN where it has none that can be read."""
    encoded = cells.combine_chunks().dictionary_encode()
    seconds = [_seconds(value, profile.time_format) for value in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(seconds)).to_numpy()
    of_rows: np.ndarray[tuple[int], np.dtype[np.float64]] = np.array([*seconds, np.nan], np.float64)[places]
    return of_rows


def _seconds(value: object, form: str | None) -> float:
    try:
        if isinstance(value, str):
            text = value.strip()
            value = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
        if not isinstance(value, datetime):
            value = datetime.fromisoformat(str(value))
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("nan")
