"""Kubernetes' API server, and what its refusals mean.

Source:
    https://kubernetes.io/docs/reference/using-api/api-concepts (responses, server-side apply, conflicts).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from mulgil.errors import InputError, MulgilError, PermanentError, TemporaryError, describe

# A request that the API server does not answer for so long is given up; chosen by eye.
SECONDS = 30.0
_WEBHOOK = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request:? ?(?P<reason>.*)', re.DOTALL)
_OWNER = re.compile(r'conflict with "(?P<manager>[^"]+)"')


class ConflictError(PermanentError):
    """A field that is to be written belongs to another manager.

    Args:
        message: What is wrong.
        managers: Whose fields they are.
    """

    def __init__(self, message: str, managers: frozenset[str]) -> None:
        super().__init__(message)
        self.managers = managers


class ChangedError(TemporaryError):
    """Somebody else was faster: the object is another than the one that was read, or is there already."""


class NotFoundError(InputError):
    """There is no such object, or no such kind."""


def has_kubeconfig() -> bool:
    """Return whether one of the files of KUBECONFIG, or ~/.kube/config, is there.

    The library's own `load_config` takes a list of files for one, and prints where it looked in vain.
    """
    places = config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep)
    return any(Path(place).expanduser().exists() for place in places if place)


def connect(context: str = "") -> client.ApiClient:
    """Return a client for the cluster that this runs in, or for that of the kubeconfig.

    Raises:
        InputError: There is neither.
    """
    configuration = client.Configuration()
    try:
        if context or has_kubeconfig():
            config.load_kube_config(context=context or None, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError) as exc:
        raise InputError(
            describe(
                "There is no cluster to talk to",
                expected="a kubeconfig (KUBECONFIG, ~/.kube/config), or a pod of a cluster",
                received=str(exc),
                next_step="see `kubectl config get-contexts`",
            )
        ) from exc
    # The library's own three tries would hide for how long a server is gone.
    configuration.retries = urllib3.Retry(1, backoff_factor=0.2)
    return client.ApiClient(configuration)


def request(
    api: client.ApiClient,
    method: str,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: Any = None,
    content_type: str = "application/json",
    is_text: bool = False,
) -> Any:
    """Send one request and return what came back: for kinds that the client has no classes for.

    Raises:
        MulgilError: By kind, see `translated`.
    """
    with translated(f"{method} {path}"):
        return api.call_api(
            path,
            method,
            query_params=list(query),
            header_params={
                "Accept": "*/*" if is_text else "application/json",
                "Content-Type": content_type,
            },
            body=body,
            response_type="str" if is_text else "object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=SECONDS,
        )


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises into our errors.

    Raises:
        NotFoundError: There is no such object, or no such kind.
        ConflictError: Another manager has a field.
        InputError: The object is wrong, or a webhook refuses it.
        PermanentError: Nobody is signed in, or what is asked is not allowed.
        ChangedError: The object has just been changed.
        TemporaryError: The server is busy, or does not answer.
    """
    try:
        yield
    except ApiException as exc:
        raise _explain(exc, doing) from exc
    except urllib3.exceptions.HTTPError as exc:
        raise _explain_silence(exc, doing) from exc


def _explain(exc: ApiException, doing: str) -> MulgilError:
    said, causes = _read_status(exc)
    managers = frozenset(found["manager"] for cause in causes if (found := _OWNER.search(cause)))
    webhook = _WEBHOOK.search(said)
    match exc.status:
        case 401:
            return PermanentError(
                describe(
                    f"The API server does not know who asks, while {doing}",
                    received=said,
                    next_step="sign in again; see `kubectl auth whoami`",
                )
            )
        case 403 if webhook is None:
            return PermanentError(
                describe(
                    f"The account may not do it, while {doing}",
                    received=said,
                    next_step="bind the role mulgil-pipeline of manifests/base/access.yaml to it; "
                    "`mulgil doctor` lists what is missing",
                )
            )
        case 404:
            return NotFoundError(
                describe(
                    f"There is no such object or kind, while {doing}",
                    received=said,
                    next_step="see the namespace, and whether KServe is installed: mulgil doctor",
                )
            )
        case 409 if managers:
            return ConflictError(
                describe(
                    f"Fields belong to somebody else, while {doing}",
                    expected="fields that mulgil wrote, or nobody",
                    received="; ".join(causes),
                    next_step="undo that change, or let its owner give the fields up "
                    "(kubectl get --show-managed-fields)",
                ),
                managers,
            )
        case 409:
            return ChangedError(describe(f"The object has just been changed, while {doing}", received=said))
        case status if webhook is not None and status < 500:
            return InputError(
                describe(
                    f"The webhook {webhook['name']} refuses, while {doing}",
                    received=webhook["reason"] or said,
                )
            )
        case 400 | 415 | 422:
            return InputError(describe(f"The API server refuses the object, while {doing}", received=said))
        case None | 0:
            return TemporaryError(describe(f"The API server does not answer, while {doing}", received=said))
        case status if status in (408, 429) or status >= 500:
            return TemporaryError(
                describe(
                    f"The API server cannot do it now, while {doing}", received=f"status {status}: {said}"
                )
            )
        case status:
            return PermanentError(
                describe(f"The API server refuses, while {doing}", received=f"status {status}: {said}")
            )


def _explain_silence(exc: Exception, doing: str) -> MulgilError:
    reason = getattr(exc, "reason", None) or exc
    if isinstance(reason, urllib3.exceptions.SSLError):
        return PermanentError(
            describe(
                "The API server's certificate is not trusted here",
                received=str(reason),
                next_step="see certificate-authority-data of the kubeconfig",
            )
        )
    return TemporaryError(
        describe(
            f"The API server does not answer, while {doing}",
            received=str(reason),
            next_step="see the context: kubectl cluster-info",
        )
    )


def _read_status(exc: ApiException) -> tuple[str, list[str]]:
    try:
        status = json.loads(exc.body)
        causes = (status.get("details") or {}).get("causes") or []
        return str(status.get("message") or exc.reason), [
            f"{cause.get('message', '')} {cause.get('field', '')}".strip() for cause in causes
        ]
    except (TypeError, ValueError, AttributeError):
        return str(exc.body or exc.reason or "")[:300], []
