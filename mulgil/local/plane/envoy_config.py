"""Envoy's configuration, as plain JSON: a fixed bootstrap, and the clusters and routes that change.

Source:
    https://www.envoyproxy.io/docs/envoy/v1.36.0/configuration/overview/xds_api (REST-JSON form of the v3 API,
    read from files that are renamed into place).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.artifacts import fingerprint_json

HOST = "127.0.0.1"
ROUTES = "inference_services"
# The names under which Envoy tells which version of the clusters and the routes it works with.
CLUSTERS_VERSION = "cluster_manager.cds.version_text"
ROUTES_VERSION = f"http.ingress.rds.{ROUTES}.version_text"

_TYPES = "type.googleapis.com/envoy"
_HTTP = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_TYPES}.extensions.filters.http.router.v3.Router"

# A prediction changes nothing, so that one whose server died is asked again. Back-offs are drawn from a range
# that doubles up to the greatest: sixteen last about six seconds, and a server is back in one.
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,reset",
    "num_retries": 16,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
}
_REQUEST_SECONDS = 60


@dataclass(frozen=True)
class Backend:
    """One revision's server.

    Attributes:
        name: The cluster's name.
        port: On this machine.
    """

    name: str
    port: int


@dataclass(frozen=True)
class ServiceRoute:
    """One InferenceService's path.

    Attributes:
        prefix: Without a slash at its end; it is cut off before the request goes on.
        weights: Percent by backend; empty where none is ready yet.
    """

    prefix: str
    weights: Mapping[str, int]


def service_prefix(namespace: str, name: str) -> str:
    """Return a service's path, by KServe's documented template `/serving/{{.Namespace}}/{{.Name}}`."""
    return f"/serving/{namespace}/{name}"


def bootstrap(*, port: int, clusters_path: Path, routes_path: Path) -> dict[str, Any]:
    """Return what Envoy starts from.

    Args:
        port: Where clients come in.
        clusters_path: File with the clusters.
        routes_path: File with the routes.
    """
    manager = {
        "@type": _HTTP,
        "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES, "config_source": _file(routes_path)},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        "http_protocol_options": {"accept_http_10": True},
        "normalize_path": True,
        "preserve_external_request_id": True,
        # What Envoy itself has to say, in KServe's form.
        "local_reply_config": {"body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}},
    }
    listener = {
        "name": "ingress",
        "address": _address(port),
        # Two planes must not share a port in silence.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "node": {"id": "mulgil", "cluster": "mulgil"},
        # Any port; what changes anything is not offered on it.
        "admin": {"address": _address(0), "allow_paths": [{"exact": "/ready"}, {"prefix": "/stats"}]},
        "dynamic_resources": {"cds_config": _file(clusters_path)},
        "static_resources": {"listeners": [listener]},
    }


def clusters(backends: Sequence[Backend]) -> dict[str, Any]:
    """Return the clusters file's content."""
    return _versioned(
        [
            {
                "@type": f"{_TYPES}.config.cluster.v3.Cluster",
                "name": backend.name,
                "type": "STATIC",
                "connect_timeout": "1s",
                # Envoy's own limit of 3 retries at a time is below what is under way when a server dies.
                "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
                "load_assignment": {
                    "cluster_name": backend.name,
                    "endpoints": [
                        {"lb_endpoints": [{"endpoint": {"address": _address(backend.port)}}]},
                    ],
                },
            }
            for backend in backends
        ]
    )


def routes(services: Sequence[ServiceRoute]) -> dict[str, Any]:
    """Return the routes file's content."""
    listed = [route for service in services for route in _service_routes(service)]
    listed.append(_reply({"prefix": "/"}, 404, "No InferenceService is served at this path."))
    return _versioned(
        [
            {
                "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": listed}],
            }
        ]
    )


def _service_routes(service: ServiceRoute) -> list[dict[str, Any]]:
    # Two matches, for a prefix without the slash would take in `heart-2` with `heart`.
    matches: list[dict[str, Any]] = [{"prefix": f"{service.prefix}/"}, {"path": service.prefix}]
    if not service.weights:
        return [_reply(match, 503, "The InferenceService is not ready yet.") for match in matches]
    action = {
        "prefix_rewrite": "/",
        "timeout": f"{_REQUEST_SECONDS}s",
        "retry_policy": _RETRIES,
        "weighted_clusters": {
            "clusters": [{"name": name, "weight": weight} for name, weight in service.weights.items()]
        },
    }
    return [{"match": match, "route": action} for match in matches]


def _reply(match: dict[str, Any], status: int, text: str) -> dict[str, Any]:
    return {"match": match, "direct_response": {"status": status, "body": {"inline_string": text}}}


def _versioned(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version_info": fingerprint_json(resources)[:16], "resources": resources}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _file(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
