"""`mulgil models`: the registered versions of models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from mulgil import registry
from mulgil.artifacts import (
    BUNDLE_DICTIONARY,
    EVALUATION,
    VERDICT,
    Check,
    Evaluation,
    Verdict,
    read_bundle,
    write_text,
)
from mulgil.cli.console import output
from mulgil.cli.tables import align
from mulgil.contract import DataDictionary, load_project
from mulgil.errors import InputError, describe
from mulgil.registry import CANDIDATE, CHAMPION, STAGING, VersionDetails
from mulgil.reports.model_card_page import render_model_card

_STANDINGS = {STAGING: "in staging", CHAMPION: "the champion"}

models_app = typer.Typer(help="The registered versions of models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="As in `models list`.")]
Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="Its number, or an alias: candidate, staging, champion.")
]
OneVersion = Annotated[
    str,
    typer.Argument(
        metavar="[VERSION]", help="Its number, or an alias; the champion, or else the newest, if not given."
    ),
]


@models_app.command("list")
def list_command() -> None:
    """List every version of every model, the newest first."""
    names = sorted({version.name for version in registry.list_versions()})
    details = [one for name in names for one in registry.describe_versions(name)]
    if not details:
        output.print("No models yet. `mulgil run projects/breast_cancer` registers one.")
        return
    rows = [
        (
            one.model.name,
            one.model.version,
            ",".join(one.aliases),
            _headline(one),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created_at)),
            one.tags.get("mulgil.run_id", ""),
        )
        for one in details
    ]
    output.out(align(("MODEL", "VERSION", "ALIASES", "TEST", "REGISTERED", "RUN"), *rows), highlight=False)


@models_app.command("show")
def show_command(name: Name, version: OneVersion = "") -> None:
    """Show a version: its aliases and why it has them, its metrics and where it comes from."""
    one = _find(name, version)
    output.print(f"{name} {one.model.version}  {', '.join(one.aliases)}", markup=False)
    output.print(f"  bundle at {one.model.storage_uri}", markup=False)
    for key, value in sorted(one.tags.items()):
        if not key.startswith("mulgil.promotion."):
            output.print(f"  {key.removeprefix('mulgil.')} = {value}", markup=False)
    for alias in sorted(one.aliases):
        # The tag outlives the alias, which moves on to another version.
        promotion = one.tags.get(f"mulgil.promotion.{alias}")
        if promotion is not None:
            checks = Verdict.model_validate_json(promotion).checks
            output.print(f"  {alias}: {'; '.join(check.reason for check in checks)}", markup=False)
    output.print()
    metrics = [
        (key, f"{value:.4f}") for key, value in sorted(one.metrics.items()) if key not in ("loss", "val_loss")
    ]
    output.out(align(("METRIC", "VALUE"), *metrics), highlight=False)


@models_app.command("diff")
def diff_command(name: Name, version: Version, other: Version) -> None:
    """Show in what two versions differ: hyperparameters, metrics, data and dictionary."""
    one, another = _find(name, version), _find(name, other)
    rows = [
        *_differences("", one.parameters, another.parameters),
        *_differences("", _shown(one.metrics), _shown(another.metrics)),
        *_differences("", _lineage(one), _lineage(another)),
        *_differences("column ", _columns(one), _columns(another)),
    ]
    if not rows:
        output.print("They do not differ.")
        return
    output.out(align(("WHAT", one.model.version, another.model.version), *rows), highlight=False)


@models_app.command("promote")
def promote_command(
    name: Name,
    version: Version,
    to: Annotated[
        Literal["staging", "champion"] | None,
        typer.Option(
            help="The alias; the next one if not given: a candidate goes to staging, that to champion."
        ),
    ] = None,
) -> None:
    """Give a version the alias staging, or champion: the one that candidates are held against.

    What is served does not change by it; a rollout that ends well promotes by itself.
    """
    one = _find(name, version)
    alias = to or (CHAMPION if STAGING in one.aliases else STAGING)
    if alias in one.aliases:
        output.print(f"{name} {one.model.version} is {_STANDINGS[alias]} already.", markup=False)
        return
    verdict = _judge(one, alias)
    registry.give_alias(name, one.model.version, alias, verdict)
    for check in verdict.checks:
        output.print(f"passed {check.name}: {check.reason}", markup=False)
    output.print(f"{name} {one.model.version} is {_STANDINGS[alias]} now.", markup=False)


@models_app.command("card")
def card_command(
    name: Name,
    version: OneVersion = "",
    project: Annotated[
        Path | None, typer.Option(help="The project's folder, whose problem stands on the card.")
    ] = None,
    output_path: Annotated[
        Path | None, typer.Option("--output", help="The page to write; MODEL-VERSION.html if not given.")
    ] = None,
) -> None:
    """Write a version's model card as one HTML page."""
    one = _find(name, version)
    evidence = _evidence(one)
    path = registry.bundle_directory(one.model)
    page = render_model_card(
        one,
        read_bundle(path),
        DataDictionary.model_validate_json((path / BUNDLE_DICTIONARY).read_bytes()),
        Evaluation.read(evidence / EVALUATION),
        Verdict.read(evidence / VERDICT),
        load_project(project) if project else None,
    )
    place = output_path or Path(f"{name}-{one.model.version}.html")
    write_text(place, page)
    output.print(str(place.resolve()), markup=False)


def _judge(one: VersionDetails, alias: str) -> Verdict:
    """Decide whether a version may have an alias: approved, and of the same bundle that was judged."""
    evaluated = Verdict.read(_evidence(one) / VERDICT)
    is_same = evaluated.subject == one.model.bundle_fingerprint
    checks = [
        Check(
            name="evaluated",
            is_passed=evaluated.is_approved and is_same,
            reason=f"evaluate_model {'approved' if evaluated.is_approved else 'rejected'} "
            f"{evaluated.subject[:12]} by {len(evaluated.checks)} checks",
        )
    ]
    if alias == CHAMPION:
        checks.append(
            Check(
                name="was_in_staging",
                is_passed=STAGING in one.aliases,
                reason="it is in staging"
                if STAGING in one.aliases
                else "it is not in staging; promote it there first",
            )
        )
    return Verdict.of("promote_model", one.model.bundle_fingerprint, checks)


def _find(name: str, version: str) -> VersionDetails:
    details = registry.describe_versions(name)
    wanted = version or (CHAMPION if any(CHAMPION in one.aliases for one in details) else CANDIDATE)
    found = [one for one in details if wanted in (one.model.version, *one.aliases)]
    if found:
        return found[0]
    if not details:
        raise InputError(describe(f"There is no model {name}", next_step="see `mulgil models list`"))
    known = [
        f"{one.model.version} ({', '.join(one.aliases)})" if one.aliases else one.model.version
        for one in details
    ]
    raise InputError(
        describe(f"{name} has no version {version}", expected=", ".join(known), received=version)
    )


def _evidence(one: VersionDetails) -> Path:
    if one.evidence is None:
        raise InputError(
            describe(
                f"{one.model.name} {one.model.version} was registered without its evaluation",
                expected="a version of this Mulgil or a later one",
                next_step="train again",
            )
        )
    return one.evidence


def _headline(one: VersionDetails) -> str:
    if one.evidence is None:
        return ""
    evaluation = Evaluation.read(one.evidence / EVALUATION)
    interval = evaluation.metrics[evaluation.primary_metric]
    return f"{evaluation.primary_metric} {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _shown(metrics: Mapping[str, float]) -> dict[str, str]:
    return {key: f"{value:.4f}" for key, value in sorted(metrics.items())}


def _lineage(one: VersionDetails) -> dict[str, str]:
    bundle = read_bundle(registry.bundle_directory(one.model))
    return {
        "data": bundle.data_fingerprint[:12],
        "dictionary": bundle.dictionary_fingerprint[:12],
        "run": one.tags.get("mulgil.run_id", ""),
    }


def _columns(one: VersionDetails) -> dict[str, str]:
    path = registry.bundle_directory(one.model) / BUNDLE_DICTIONARY
    dictionary = DataDictionary.model_validate_json(path.read_bytes())
    return {column.name: column.model_dump_json(exclude_defaults=True) for column in dictionary.columns}


def _differences(
    prefix: str, one: Mapping[str, str], another: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    return [
        (f"{prefix}{key}", one.get(key, ""), another.get(key, ""))
        for key in dict.fromkeys([*one, *another])
        if one.get(key) != another.get(key)
    ]
