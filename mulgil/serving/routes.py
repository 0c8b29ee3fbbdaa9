"""From a method and a path to what answers it.

A server has one model, so that every path is known beforehand: a dictionary finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from mulgil.serving.messages import Request, RequestError, Response

Responder = Callable[[Request, bytes], Response]

_MODEL_PATH = re.compile(r"/v[12]/models/([^/:]+)")


class Routes:
    """The paths of a server.

    Args:
        model: The one model's name, for the message to who asks for another.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._responders: dict[str, dict[str, Responder]] = {}

    def add(self, method: str, path: str, responder: Responder) -> None:
        """Say what answers a method on a path."""
        self._responders.setdefault(path, {})[method] = responder

    def find(self, method: str, path: str) -> Responder:
        """Find what answers.

        Raises:
            RequestError: 404; there is no such path or model. 405; the path takes another method.
        """
        # Some clients escape the colon of `:predict`.
        by_method = self._responders.get(path) or self._responders.get(unquote(path).rstrip("/"))
        if by_method is None:
            raise RequestError(404, self._explain(unquote(path)))
        if method not in by_method:
            allowed = ", ".join(by_method)
            raise RequestError(
                405, f"{path} takes {allowed}; received {method}.", b"Allow: %b\r\n" % allowed.encode()
            )
        return by_method[method]

    def _explain(self, path: str) -> str:
        model = _MODEL_PATH.match(path)
        if model and model[1] != self._model:
            # KServe's own words.
            return f"Model with name {model[1][:80]} does not exist."
        return f"There is nothing at {path[:200]}; /v2/models/{self._model} describes the model."
