"""`mulgil doctor`: what is needed, whether it is there, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from mulgil.cli.cluster_options import (
    CaFileOption,
    ContextOption,
    CookieFileOption,
    HostOption,
    TokenFileOption,
)
from mulgil.cli.cluster_options import sign_in as describe_sign_in
from mulgil.cli.console import output
from mulgil.errors import InputError

if TYPE_CHECKING:
    from mulgil.cluster.checks import Check
    from mulgil.cluster.kfp_server import SignIn

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor_command(
    is_json: Annotated[bool, typer.Option("--json", help="Write the checks as JSON.")] = False,
    namespace: Annotated[str, typer.Option(help="Where models are served in the cluster; `mulgil`.")] = "",
    kfp_namespace: Annotated[
        str, typer.Option(help="KFP's namespace, or with profiles your own.")
    ] = "kubeflow",
    host: HostOption = "",
    token_file: TokenFileOption = None,
    cookie_file: CookieFileOption = None,
    ca_file: CaFileOption = None,
    context: ContextOption = "",
) -> None:
    """Look at this machine and, where one is configured, at the cluster.

    Each check says what was seen and what to do. The exit code is 4 where one fails, and else 0.
    """
    from mulgil.cluster.checks import exit_code

    sign_in = describe_sign_in(host, kfp_namespace, token_file, cookie_file, ca_file, context)
    checks = []
    for check in _look(sign_in, context, namespace):
        checks.append(check)
        if not is_json:
            _print(check)
    code = exit_code(checks)
    if is_json:
        document = {"is_well": code == 0, "checks": [dataclasses.asdict(check) for check in checks]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    if code:
        raise typer.Exit(code)


def _look(sign_in: SignIn, context: str, namespace: str) -> Iterator[Check]:
    from mulgil.cluster.machine_checks import check_machine

    yield from check_machine()
    from mulgil.cluster.api_server import connect, has_kubeconfig
    from mulgil.cluster.checks import State, failed, ok
    from mulgil.cluster.cluster_checks import check_cluster

    try:
        api = connect(context)
    except InputError as exc:
        check = failed("kubernetes", exc)
        if context or namespace or sign_in.host:
            yield check
        elif has_kubeconfig():
            # Nobody asked for that cluster.
            yield dataclasses.replace(check, state=State.WARN)
        else:
            yield ok("kubernetes", "no cluster is configured; on this machine none is needed")
        return

    def ask_kfp() -> object:
        from mulgil.cluster.kfp_server import KfpServer

        return KfpServer(sign_in)

    yield from check_cluster(api, namespace or "mulgil", ask_kfp)


def _print(check: Check) -> None:
    output.print(
        Text.assemble((f"{check.state:<4}", _STYLES[check.state]), f"  {check.name:<24}{check.seen}")
    )
    if check.fix:
        output.print(Text(f"      to do: {check.fix}"))
