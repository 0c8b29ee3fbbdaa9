"""MLServer, with the bundle's LiteRT model as a custom runtime in the server's own process."""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.peers.bundles import load_litert


class PeerModel(MLModel):
    """One model for V2."""

    async def load(self) -> bool:
        """Begin."""
        self._predict = load_litert(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        columns = {
            tensor.name: StringCodec.decode_input(tensor)
            if tensor.datatype == "BYTES"
            else NumpyCodec.decode_input(tensor).reshape(-1).tolist()
            for tensor in payload.inputs
        }
        output = NumpyCodec.encode_output("probability", self._predict(columns))
        return InferenceResponse(model_name=self.name, outputs=[output])


async def serve(path: Path, http_port: int) -> None:
    """Serve until the process is ended."""
    ports = []
    for _ in range(2):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
    # No process beside this one: the request's way to a second one would cost more.
    settings = Settings(
        host="127.0.0.1", http_port=http_port, grpc_port=ports[0], metrics_port=ports[1], parallel_workers=0
    )
    model = ModelSettings(name="bench", implementation=PeerModel, parameters=ModelParameters(uri=str(path)))
    await MLServer(settings).start([model])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-path", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--http-port", type=int, required=True, help="where to listen")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.model_path, arguments.http_port))
