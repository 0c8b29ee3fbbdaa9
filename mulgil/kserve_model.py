"""A bundle as a model of KServe's own Python server: `python -m mulgil.kserve_model`.

For where that server is given: several models in one process, a transformer, an image of one's own on top of
`kserve`. What predicts, checks and words refusals is the model server's application; only what carries the
request is KServe's. `mulgil.serving` answers many times as many requests.

Source:
    https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/custom-predictor
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady

from mulgil.program import run_program
from mulgil.serving.application import Application
from mulgil.serving.messages import Request, Response
from mulgil.serving.model import ServedModel

Headers = dict[str, str]
Payload: TypeAlias = dict[str, Any] | list[Any] | bytes | InferRequest

_LENGTH = "inference-header-content-length"
# Of the answer's head; KServe writes the others itself.
_HEADERS = (b"X-Model-Version", b"X-Request-Id", b"X-Decision-Threshold", b"X-Contract-Warning")


class _NothingThereError(ModelNotFound):  # type: ignore[misc]
    """What KServe answers with a 404."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class MulgilModel(Model):  # type: ignore[misc]
    """A bundle that KServe's server asks.

    Args:
        name: Its name in paths.
        path: The bundle's directory.
        version: Its version, which every answer carries.
    """

    def __init__(self, name: str, path: Path, version: str = "unversioned") -> None:
        super().__init__(name, return_response_headers=True)
        self._path = path
        self._version = version
        self._application: Application

    def load(self) -> bool:
        """Load the bundle, and hold it against its own example.

        Raises:
            InputError: A file is missing or changed, or the example gives another prediction.
        """
        self._application = Application(ServedModel(self._path), name=self.name, version=self._version)
        self.ready = True
        return True

    async def predict(
        self, payload: Payload, headers: Headers | None = None, response_headers: Headers | None = None
    ) -> dict[str, Any] | InferResponse:
        """Answer `:predict` and `infer`."""
        headers = headers or {}
        if not isinstance(payload, InferRequest):
            path = f"/v1/models/{self.name}:predict"
            return cast("dict[str, Any]", await self._ask(path, payload, headers, response_headers))
        has_bytes = payload.from_grpc or _LENGTH in headers
        answer = await self._ask(
            f"/v2/models/{self.name}/infer", _write_tensors(payload, has_bytes), headers, response_headers
        )
        outputs = [
            InferOutput(o["name"], o["shape"], o["datatype"], o["data"], o.get("parameters"))
            for o in answer["outputs"]
        ]
        return InferResponse(
            answer["id"],
            self.name,
            outputs,
            model_version=self._version,
            # KServe writes them as bytes itself, where they are wanted so.
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    async def explain(self, payload: Payload, headers: Headers | None = None) -> dict[str, Any]:
        """Answer `:explain`.

        Raises:
            InvalidInput: It came by V2, which has no such verb.
        """
        if isinstance(payload, InferRequest):
            raise InvalidInput("`:explain` takes V1's `instances`.")
        path = f"/v1/models/{self.name}:explain"
        return cast("dict[str, Any]", await self._ask(path, payload, headers or {}, None))

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the columns, as V2's metadata has them."""
        return cast("list[dict[str, Any]]", self._application.metadata["inputs"])

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the outputs, as V2's metadata has them."""
        return cast("list[dict[str, Any]]", self._application.metadata["outputs"])

    async def _ask(
        self, path: str, content: object, headers: Mapping[str, str], response_headers: Headers | None
    ) -> Any:
        """Ask the application as a client does.

        Raises:
            InvalidInput, ModelNotFound, ModelNotReady, InferenceError: It refused, by KServe's statuses.
        """
        # A body whose content type is not JSON, as plain `curl -d` sends it, was left as it is.
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        carried = {b"x-request-id": headers["x-request-id"].encode()} if "x-request-id" in headers else {}
        answered = self._application.handle(Request("POST", path, carried, body))
        response = answered if isinstance(answered, Response) else await answered
        answer = msgspec.json.decode(response.body)
        if response.status != 200:
            raise self._refusal(response.status, answer["error"])
        if response_headers is not None:
            response_headers.update(_read_head(response.head))
        return answer

    def _refusal(self, status: int, reason: str) -> Exception:
        match status:
            case 404:
                return _NothingThereError(reason)
            case 503:
                return ModelNotReady(self.name, reason)  # type: ignore[no-any-return]
            case 500:
                return InferenceError(reason)  # type: ignore[no-any-return]
        return InvalidInput(reason)  # type: ignore[no-any-return]


def _write_tensors(request: InferRequest, has_bytes: bool) -> dict[str, Any]:
    """Write what KServe parsed as the JSON of `infer`, every output as JSON."""
    body: dict[str, Any] = {
        "inputs": [
            {
                "name": t.name,
                "shape": list(t.shape),
                "datatype": t.datatype,
                "data": _write_data(t, has_bytes),
            }
            for t in request.inputs
        ]
    }
    if request.id:
        body["id"] = request.id
    if request.request_outputs:
        body["outputs"] = [{"name": output.name} for output in request.request_outputs]
    return body


def _write_data(tensor: Any, has_bytes: bool) -> list[Any]:
    """Return a tensor's elements; NaN is written as null, and where there is no null empty text means it.

    Raises:
        InvalidInput: Its bytes are not what its shape and datatype say.
    """
    try:
        # Over gRPC a tensor of bytes has an empty list beside them.
        data = tensor.data if tensor.data is not None and len(tensor.data) else tensor.as_numpy()
        if isinstance(data, np.ndarray):
            data = data.reshape(-1).tolist()
        if tensor.datatype != "BYTES":
            return list(data)
        texts = [text.decode() if isinstance(text, bytes) else text for text in data]
    except (ValueError, struct.error) as exc:
        raise InvalidInput(f"input {tensor.name[:80]}: its data are not of its shape and datatype.") from exc
    return [text or None for text in texts] if has_bytes else texts


def _read_head(head: bytes) -> Headers:
    lines = (line.partition(b": ") for line in head.split(b"\r\n") if line)
    return {name.decode().lower(): value.decode() for name, _, value in lines if name in _HEADERS}


def build_parser() -> argparse.ArgumentParser:
    """Return KServe's own flags, and those that say what is served."""
    parser = argparse.ArgumentParser(
        prog="python -m mulgil.kserve_model", description=__doc__, parents=[model_server.parser]
    )
    parser.add_argument("--model_dir", required=True, type=Path, help="the bundle's directory")
    parser.add_argument("--model_version", default="unversioned", help="version that every answer carries")
    return parser


def serve(*, model_name: str, model_dir: Path, model_version: str, **_: Any) -> None:
    """Serve a bundle by KServe's server, which has read its own flags, until it is told to stop.

    Raises:
        InputError: As `MulgilModel.load` raises.
    """
    model = MulgilModel(model_name, model_dir, model_version)
    model.load()
    ModelServer().start([model])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program(build_parser(), lambda: serve, argv)


if __name__ == "__main__":
    raise SystemExit(main())
