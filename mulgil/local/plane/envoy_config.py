"""Envoy's configuration, as plain JSON: a fixed bootstrap, and the clusters and routes that change.

Source:
    https://www.envoyproxy.io/docs/envoy/v1.36.0/configuration/overview/xds_api (REST-JSON form of the v3 API,
    read from files that are renamed into place).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mulgil.artifacts import fingerprint_json
from mulgil.local.plane.traffic_policy import TrafficPolicy

HOST = "127.0.0.1"
ROUTES = "inference_services"
# The names under which Envoy tells which version of the clusters and the routes it works with.
CLUSTERS_VERSION = "cluster_manager.cds.version_text"
ROUTES_VERSION = f"http.ingress.rds.{ROUTES}.version_text"

_TYPES = "type.googleapis.com/envoy"
_HTTP = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = f"{_TYPES}.extensions.filters.http.router.v3.Router"
_GRPC_STATISTICS = f"{_TYPES}.extensions.filters.http.grpc_stats.v3.FilterConfig"
_HTTP_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# A prediction changes nothing, so that one whose server died is asked again, at another server where there is
# one. An answer is an answer, also one of 500: nothing here asks again for it. Back-offs are drawn from a
# range that doubles up to the greatest: sixteen last about six seconds, and a server is back in one.
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,reset",
    "num_retries": 16,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
    "retry_host_predicate": [
        {
            "name": "previous_hosts",
            "typed_config": {
                "@type": f"{_TYPES}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 3,
}
# A server that does not answer the door is passed over for a while, whoever notices it first; the supervisor
# takes it out soon after, if it lives. What a server answers never counts: an error is the model's, not the
# machine's.
_OUTLIERS = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 2,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "1s",
    "max_ejection_time": "5s",
    "max_ejection_percent": 50,
}
REQUEST_SECONDS = 60
# Upper bounds in milliseconds, in which Envoy measures; the default ones are too few to tell a fifth from
# nothing.
LATENCY_BUCKETS = (
    *(
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        12,
        14,
        17,
        20,
        24,
        29,
        35,
        42,
        50,
        60,
        72,
        86,
        100,
        120,
        150,
        180,
        220,
        260,
    ),
    *(320, 380, 460, 550, 660, 800, 1000, 1200, 1500, 2000, 3000, 5000, 10_000, 20_000, 60_000),
)


@dataclass(frozen=True)
class Backend:
    """One revision's servers.

    Attributes:
        name: The cluster's name.
        ports: On this machine.
        grpc_ports: Where its servers speak gRPC; none where they do not.
    """

    name: str
    ports: tuple[int, ...]
    grpc_ports: tuple[int, ...] = ()

    @property
    def purposes(self) -> tuple[str, ...]:
        """The names of its clusters: one a purpose, so that each is counted for itself."""
        return self.name, direct(self.name), mirror(self.name)


@dataclass(frozen=True)
class ServiceRoute:
    """Where one InferenceService is reached.

    Attributes:
        prefix: Its path, without a slash at its end; it is cut off before the request goes on.
        weights: Percent by backend; empty where none is ready yet.
        host: Its name as the authority of a request, whatever domain follows; empty for none.
        speaks_grpc: Whether every backend with a share does.
        direct: Backends with a path of their own below the prefix, by that path.
        candidate: The backend that is on trial.
        policy: What holds beside the weights.
        timeout_seconds: Longest wait for an answer.
    """

    prefix: str
    weights: Mapping[str, int]
    host: str = ""
    speaks_grpc: bool = False
    direct: Mapping[str, str] = field(default_factory=dict)
    candidate: str | None = None
    policy: TrafficPolicy = field(default_factory=TrafficPolicy)
    timeout_seconds: int = REQUEST_SECONDS


def direct(backend: str) -> str:
    """Return the cluster of a revision that is asked for by name, and not by its share."""
    return f"{backend}#direct"


def mirror(backend: str) -> str:
    """Return the cluster of a revision that is asked in the shadow of another."""
    return f"{backend}#mirror"


def over_grpc(cluster: str) -> str:
    """Return the cluster of the same servers and purpose over gRPC."""
    return f"{cluster}#grpc"


def service_host(namespace: str, name: str) -> str:
    """Return a service's host without a domain, by KServe's default template `{{.Name}}.{{.Namespace}}`."""
    return f"{name}.{namespace}"


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
        "http_filters": [
            # HTTP's status is 200 whatever gRPC's is.
            {
                "name": "grpc_stats",
                "typed_config": {"@type": _GRPC_STATISTICS, "stats_for_all_methods": False},
            },
            {"name": "router", "typed_config": {"@type": _ROUTER}},
        ],
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
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": "upstream_rq_time"}, "buckets": list(LATENCY_BUCKETS)}
            ]
        },
    }


def clusters(backends: Sequence[Backend]) -> dict[str, Any]:
    """Return the clusters file's content."""
    listed = [_cluster(name, backend.ports) for backend in backends for name in backend.purposes]
    listed += [
        _cluster(over_grpc(name), backend.grpc_ports, typed_extension_protocol_options=_HTTP_2)
        for backend in backends
        for name in backend.purposes
        if backend.grpc_ports
    ]
    return _versioned(listed)


_HTTP_2 = {
    _HTTP_PROTOCOL: {
        "@type": f"type.googleapis.com/{_HTTP_PROTOCOL}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def _cluster(name: str, ports: Sequence[int], **protocol: Any) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "1s",
        # Envoy's own limit of 3 retries at a time is below what is under way when a server dies.
        "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
        "outlier_detection": _OUTLIERS,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **protocol,
    }


def routes(services: Sequence[ServiceRoute]) -> dict[str, Any]:
    """Return the routes file's content: each service by its host, and all of them by their paths."""
    by_host = [
        {"name": service.host, "domains": [service.host, f"{service.host}.*"], "routes": _by_host(service)}
        for service in services
        if service.host
    ]
    listed = [route for service in services for route in _by_path(service)]
    unknown = "No InferenceService is served for this authority: expected NAME.NAMESPACE."
    listed.append(_reply(_GRPC, 404, unknown))
    listed.append(_reply({"prefix": "/"}, 404, "No InferenceService is served at this path."))
    return _versioned(
        [
            {
                "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": [*by_host, {"name": "all", "domains": ["*"], "routes": listed}],
                "ignore_port_in_host_matching": True,
            }
        ]
    )


_GRPC: dict[str, Any] = {"prefix": "/", "grpc": {}}


def _by_path(service: ServiceRoute) -> list[dict[str, Any]]:
    listed = []
    for path, backend in service.direct.items():
        action = {"prefix_rewrite": "/", **_action(service, {"cluster": direct(backend)})}
        listed += [{"match": match, "route": action} for match in _matches(f"{service.prefix}{path}")]
    return listed + _by_share(service, _matches(service.prefix), prefix_rewrite="/")


def _by_host(service: ServiceRoute) -> list[dict[str, Any]]:
    """Return the routes of a service's own host, as on a cluster; gRPC has no other: its paths are fixed."""
    plain = _by_share(service, [{"prefix": "/"}])
    if service.weights and not service.speaks_grpc:
        refusal = "Not every revision with a share speaks gRPC: expected protocolVersion: grpc-v2."
        return [_reply(_GRPC, 404, refusal), *plain]
    return _by_share(service, [_GRPC], cluster=over_grpc) + plain


def _by_share(
    service: ServiceRoute,
    matches: list[dict[str, Any]],
    *,
    cluster: Callable[[str], str] = str,
    **rewrite: Any,
) -> list[dict[str, Any]]:
    """Return the routes to all that has a share.

    Args:
        service: The service.
        matches: What its requests look like.
        cluster: The cluster of a backend and purpose.
        rewrite: What becomes of the path.
    """
    if not service.weights:
        return [_reply(match, 503, "The InferenceService is not ready yet.") for match in matches]
    policy, candidate = service.policy, service.candidate
    listed = []
    if policy.match_header is not None and candidate is not None:
        value = policy.match_value
        wanted = {"present_match": True} if value is None else {"string_match": {"exact": value}}
        header = {"name": policy.match_header, **wanted}
        action = {**rewrite, **_action(service, {"cluster": cluster(candidate)})}
        listed += [{"match": {**match, "headers": [header]}, "route": action} for match in matches]
    action = {**rewrite, **_action(service, _weighted(service, cluster))}
    if policy.mirror_percent and candidate is not None:
        share = {"numerator": round(policy.mirror_percent * 100), "denominator": "TEN_THOUSAND"}
        action["request_mirror_policies"] = [
            {"cluster": cluster(mirror(candidate)), "runtime_fraction": {"default_value": share}}
        ]
    return listed + [{"match": match, "route": action} for match in matches]


def _matches(prefix: str) -> list[dict[str, Any]]:
    # Two matches, for a prefix without the slash would take in `heart-2` with `heart`.
    return [{"prefix": f"{prefix}/"}, {"path": prefix}]


def _action(service: ServiceRoute, target: dict[str, Any]) -> dict[str, Any]:
    return {"timeout": f"{service.timeout_seconds}s", "retry_policy": _RETRIES, **target}


def _weighted(service: ServiceRoute, cluster: Callable[[str], str]) -> dict[str, Any]:
    # The candidate first: a hash below its share stays below it while the share grows.
    names = sorted(service.weights, key=lambda name: name != service.candidate)
    listed = [{"name": cluster(name), "weight": service.weights[name]} for name in names]
    header = service.policy.sticky_header
    if header is None:
        return {"weighted_clusters": {"clusters": listed}}
    return {
        "weighted_clusters": {"clusters": listed, "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": header}}],
    }


def _reply(match: dict[str, Any], status: int, text: str) -> dict[str, Any]:
    return {"match": match, "direct_response": {"status": status, "body": {"inline_string": text}}}


def _versioned(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version_info": fingerprint_json(resources)[:16], "resources": resources}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _file(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
