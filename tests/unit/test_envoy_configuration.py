"""Envoy's configuration as data; that Envoy takes it is the plane's own test."""

from mulgil.local.plane.envoy_config import Backend, ServiceRoute, clusters, routes, service_prefix


def listed(services):
    (configuration,) = routes(services)["resources"]
    return configuration["virtual_hosts"][0]["routes"]


def test_a_path_is_kserves_documented_template():
    assert service_prefix("clinic", "heart") == "/serving/clinic/heart"


def test_a_service_is_reached_under_its_prefix_and_not_under_a_longer_name():
    matches = [route["match"] for route in listed([ServiceRoute("/serving/default/heart", {"a": 100})])]

    assert matches == [
        {"prefix": "/serving/default/heart/"},
        {"path": "/serving/default/heart"},
        {"prefix": "/"},
    ]


def test_traffic_is_split_by_weight():
    route, *_ = listed([ServiceRoute("/serving/default/heart", {"a": 90, "b": 10})])

    assert route["route"]["weighted_clusters"]["clusters"] == [
        {"name": "a", "weight": 90},
        {"name": "b", "weight": 10},
    ]


def test_a_service_without_a_ready_revision_says_so():
    route, *_ = listed([ServiceRoute("/serving/default/heart", {})])

    assert route["direct_response"]["status"] == 503


def test_the_version_changes_with_the_content_and_with_nothing_else():
    one, same, other = (clusters([Backend("a", port)])["version_info"] for port in (1, 1, 2))

    assert one == same != other
