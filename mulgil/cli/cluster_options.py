"""How the verbs that talk to Kubeflow Pipelines are told where it is and who asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mulgil.cluster.kfp_server import SignIn

HostOption = Annotated[
    str,
    typer.Option(
        envvar="KF_PIPELINES_ENDPOINT",
        help="Address of KFP's API. Without it: the cluster that this runs in, or that of the kubeconfig.",
    ),
]
NamespaceOption = Annotated[str, typer.Option(help="KFP's namespace, or with profiles your own.")]
TokenFileOption = Annotated[Path | None, typer.Option(help="File with a bearer token.")]
CookieFileOption = Annotated[Path | None, typer.Option(help="File with a signed-in session's cookies.")]
CaFileOption = Annotated[Path | None, typer.Option(help="Certificates to check the server's against.")]
ContextOption = Annotated[str, typer.Option(help="Context of the kubeconfig.")]


def sign_in(
    host: str,
    namespace: str,
    token_file: Path | None,
    cookie_file: Path | None,
    ca_file: Path | None,
    context: str,
) -> SignIn:
    """Put the options together."""
    from mulgil.cluster.kfp_server import SignIn

    return SignIn(host, namespace, token_file, cookie_file, ca_file, context)
