"""An object store that speaks S3, on this machine for as long as a test lasts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import fsspec
import httpx
from moto.server import ThreadedMotoServer

BUCKET = "shop"
# It lets in whoever has any.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def run_object_store() -> Iterator[Mapping[str, str]]:
    """Yield the variables by which a client finds a store with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # All servers of a process have one memory.
    httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False).raise_for_status()
    variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    try:
        yield variables
    finally:
        server.stop()
        # A client keeps its connections and what it was told.
        fsspec.filesystem("s3").clear_instance_cache()
