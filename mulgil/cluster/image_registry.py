"""Asks a container registry which digest a tag stands for.

Source:
    OCI Distribution Specification 1.1, "Pulling manifests", and Docker's token authentication,
    https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import httpx

from mulgil.errors import InputError, PermanentError, TemporaryError, describe

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_SECONDS = 20.0
_IMAGE = re.compile(r"(?P<host>[^/]+)/(?P<name>.+):(?P<tag>[\w][\w.-]*)")


def find_digest(image: str) -> str:
    """Return the digest, such as `sha256:…`, that an image's tag stands for now.

    Args:
        image: With registry and tag. A registry at `localhost` or `127.0.0.1` is asked without TLS.

    Raises:
        InputError: The image names no registry or no tag, or the registry has no such image.
        PermanentError: The registry refuses.
        TemporaryError: It does not answer.
    """
    named = _IMAGE.fullmatch(image)
    if named is None or not re.search(r"[.:]|^localhost$", named["host"]):
        raise InputError(
            describe(
                "A digest can only be asked of a registry",
                expected="an image such as ghcr.io/acme/mulgil/ingest-data:0.1.0",
                received=f"image={image}",
                next_step="name it with --registry",
            )
        )
    is_here = named["host"].partition(":")[0] in ("localhost", "127.0.0.1")
    url = f"http{'' if is_here else 's'}://{named['host']}/v2/{named['name']}/manifests/{named['tag']}"
    try:
        with httpx.Client(timeout=_SECONDS, follow_redirects=True) as client:
            answer = client.head(url, headers={"Accept": _MANIFESTS})
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                authorization = _authorize(client, answer, named["host"])
                answer = client.head(url, headers={"Accept": _MANIFESTS, "Authorization": authorization})
    except httpx.HTTPError as exc:
        raise TemporaryError(
            describe(f"The registry {named['host']} does not answer", received=str(exc))
        ) from exc
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise InputError(
            describe(
                f"The registry has no image {image}",
                next_step="push it: make images REGISTRY=… TAG=… PUSH=1",
            )
        )
    digest = answer.headers.get("Docker-Content-Digest", "")
    if answer.status_code != httpx.codes.OK or not digest.startswith("sha256:"):
        kind = TemporaryError if answer.is_server_error else PermanentError
        raise kind(
            describe(
                f"The registry does not give the digest of {image}",
                expected="status 200 with Docker-Content-Digest",
                received=f"status {answer.status_code}",
                next_step=f"docker login {named['host']}" if answer.status_code in (401, 403) else "",
            )
        )
    return str(digest)


def _authorize(client: httpx.Client, refusal: httpx.Response, host: str) -> str:
    """Answer a registry's challenge with what `docker login` left, or as nobody."""
    scheme, _, rest = refusal.headers.get("WWW-Authenticate", "").partition(" ")
    login = _login(host)
    if scheme.lower() != "bearer":
        return f"Basic {login}" if login else ""
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    answer = client.get(
        challenge.get("realm", ""),
        params={key: challenge[key] for key in ("service", "scope") if key in challenge},
        headers={"Authorization": f"Basic {login}"} if login else {},
    )
    token = answer.json() if answer.status_code == httpx.codes.OK else {}
    return f"Bearer {token.get('token') or token.get('access_token') or ''}"


def _login(host: str) -> str:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        kept = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        login = str(kept["auths"][host]["auth"])
        base64.b64decode(login, validate=True)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return login
