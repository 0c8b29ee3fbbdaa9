"""What may be asked without a token, and what not."""

from __future__ import annotations

from urllib.parse import unquote

from mulgil.serving.bearer_tokens import BearerTokens
from mulgil.serving.messages import RequestError

# A kubelet and a load balancer ask these, and have no token.
_OPEN_CALLS = frozenset({"ServerLive", "ServerReady", "ModelReady"})


class Access:
    """Asks for a token where there is more to see than whether the server lives.

    The OpenAPI page is no exception: it tells the dictionary, as the model's metadata does.

    Args:
        tokens: Those that are known.
        name: The model's.
        version: The model's.
        is_metrics_open: Whether `/metrics` is open too.
    """

    def __init__(self, tokens: BearerTokens, name: str, version: str, is_metrics_open: bool) -> None:
        self._tokens = tokens
        self._open_paths = {
            "/",
            "/v2/health/live",
            "/v2/health/ready",
            f"/v1/models/{name}",
            f"/v2/models/{name}/ready",
            f"/v2/models/{name}/versions/{version}/ready",
            *(["/metrics"] if is_metrics_open else []),
        }

    def check(self, path: str, headers: dict[bytes, bytes]) -> RequestError | None:
        """Return what is wrong with a request over HTTP, or `None`."""
        if path in self._open_paths or unquote(path).rstrip("/") in self._open_paths:
            return None
        return self._tokens.check(headers.get(b"authorization"))

    def check_call(self, name: str, authorization: bytes | None) -> RequestError | None:
        """Return what is wrong with a call over gRPC, or `None`."""
        return None if name in _OPEN_CALLS else self._tokens.check(authorization)
