"""Envoy's configuration as data; that Envoy takes it is the plane's own test."""

import pytest
from pydantic import ValidationError

from mulgil.local.plane.envoy_config import Backend, ServiceRoute, clusters, routes, service_prefix
from mulgil.local.plane.traffic_policy import TrafficPolicy

PREFIX = "/serving/default/heart"


def listed(services):
    (configuration,) = routes(services)["resources"]
    return configuration["virtual_hosts"][-1]["routes"]


def test_a_path_is_kserves_documented_template():
    assert service_prefix("clinic", "heart") == "/serving/clinic/heart"


def test_a_service_is_reached_under_its_prefix_and_not_under_a_longer_name():
    matches = [route["match"] for route in listed([ServiceRoute(PREFIX, {"a": 100})])]

    assert matches == [
        {"prefix": f"{PREFIX}/"},
        {"path": PREFIX},
        {"prefix": "/", "grpc": {}},
        {"prefix": "/"},
    ]


def test_traffic_is_split_by_weight():
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 90, "b": 10})])

    assert route["route"]["weighted_clusters"]["clusters"] == [
        {"name": "a", "weight": 90},
        {"name": "b", "weight": 10},
    ]


def by_host(**service):
    (configuration,) = routes([ServiceRoute(PREFIX, host="heart.default", **service)])["resources"]
    host, _ = configuration["virtual_hosts"]
    return host


def test_a_service_has_a_host_whatever_domain_follows_and_no_longer_name_meets_it():
    host = by_host(weights={"a": 100})

    assert host["domains"] == ["heart.default", "heart.default.*"]
    assert host["routes"][-1]["route"]["weighted_clusters"]["clusters"] == [{"name": "a", "weight": 100}]
    assert "prefix_rewrite" not in host["routes"][-1]["route"]


def test_grpc_is_split_over_the_same_shares_and_policies_by_host():
    policy = TrafficPolicy(mirror_percent=100, sticky_header="x-user", match_header="x-group")
    matched, shared, *_ = by_host(weights={"a": 90, "b": 10}, candidate="b", policy=policy, speaks_grpc=True)[
        "routes"
    ]

    assert matched["match"]["headers"] == [{"name": "x-group", "present_match": True}]
    assert matched["route"]["cluster"] == "b#grpc"
    assert shared["match"] == {"prefix": "/", "grpc": {}}
    assert shared["route"]["weighted_clusters"]["clusters"] == [
        {"name": "b#grpc", "weight": 10},
        {"name": "a#grpc", "weight": 90},
    ]
    assert shared["route"]["request_mirror_policies"][0]["cluster"] == "b#mirror#grpc"


def test_grpc_is_refused_where_a_revision_with_a_share_does_not_speak_it():
    refusal, plain = by_host(weights={"a": 90, "b": 10})["routes"]

    assert refusal["match"] == {"prefix": "/", "grpc": {}}
    assert "grpc-v2" in refusal["direct_response"]["body"]["inline_string"]
    assert "weighted_clusters" in plain["route"]


def test_servers_that_speak_grpc_have_clusters_of_http_2():
    listed = {cluster["name"]: cluster for cluster in clusters([Backend("a", (1,), (2,))])["resources"]}

    assert list(listed) == ["a", "a#direct", "a#mirror", "a#grpc", "a#direct#grpc", "a#mirror#grpc"]
    assert "typed_extension_protocol_options" not in listed["a"]
    (options,) = listed["a#grpc"]["typed_extension_protocol_options"].values()
    assert options["explicit_http_config"] == {"http2_protocol_options": {}}


def test_a_revision_has_a_path_of_its_own_that_is_counted_for_itself():
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 100}, direct={"/tags/prev": "b"})])

    assert route["match"] == {"prefix": f"{PREFIX}/tags/prev/"}
    assert route["route"]["cluster"] == "b#direct"


def test_a_header_leads_to_the_candidate():
    policy = TrafficPolicy(match_header="x-group", match_value="b")
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 100, "b": 0}, candidate="b", policy=policy)])

    assert route["match"]["headers"] == [{"name": "x-group", "string_match": {"exact": "b"}}]
    assert route["route"]["cluster"] == "b"


def test_a_share_of_the_requests_is_mirrored_to_the_candidate():
    policy = TrafficPolicy(mirror_percent=2.5)
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 100, "b": 0}, candidate="b", policy=policy)])

    (mirror,) = route["route"]["request_mirror_policies"]
    assert mirror == {
        "cluster": "b#mirror",
        "runtime_fraction": {"default_value": {"numerator": 250, "denominator": "TEN_THOUSAND"}},
    }


def test_where_nothing_is_on_trial_a_policy_leads_nowhere():
    policy = TrafficPolicy(mirror_percent=100, match_header="x-group")

    assert listed([ServiceRoute(PREFIX, {"a": 100}, policy=policy)]) == listed(
        [ServiceRoute(PREFIX, {"a": 100})]
    )


def test_a_sticky_header_is_hashed_over_the_candidate_first():
    policy = TrafficPolicy(sticky_header="x-user")
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 90, "b": 10}, candidate="b", policy=policy)])

    assert route["route"]["hash_policy"] == [{"header": {"header_name": "x-user"}}]
    assert [c["name"] for c in route["route"]["weighted_clusters"]["clusters"]] == ["b", "a"]


@pytest.mark.parametrize(
    "wrong", [{"mirror_percent": 101}, {"sticky_header": "a b"}, {"match_value": "b"}, {"mirror": 1}]
)
def test_a_policy_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        TrafficPolicy.model_validate(wrong)


def test_an_answer_is_never_asked_for_again():
    route, *_ = listed([ServiceRoute(PREFIX, {"a": 100})])

    assert route["route"]["retry_policy"]["retry_on"] == "connect-failure,refused-stream,reset"
    (cluster, *_) = clusters([Backend("a", (1, 2))])["resources"]
    outliers = cluster["outlier_detection"]
    assert outliers["enforcing_consecutive_5xx"] == outliers["enforcing_success_rate"] == 0


def test_all_servers_of_a_revision_are_asked():
    (cluster, *_) = clusters([Backend("a", (1, 2))])["resources"]
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]

    assert [e["endpoint"]["address"]["socket_address"]["port_value"] for e in endpoints] == [1, 2]


def test_a_service_without_a_ready_revision_says_so():
    route, *_ = listed([ServiceRoute(PREFIX, {})])

    assert route["direct_response"]["status"] == 503


def test_the_version_changes_with_the_content_and_with_nothing_else():
    one, same, other = (clusters([Backend("a", (port,))])["version_info"] for port in (1, 1, 2))

    assert one == same != other
