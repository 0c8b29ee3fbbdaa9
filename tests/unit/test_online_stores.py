"""Where the features by entity are, by what the environment says."""

import pytest

from mulgil.online_stores import find_redis


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"MULGIL_REDIS_ADDRESS": ""}, None),
        ({"MULGIL_ONLINE_STORE_URL": "redis://a:1"}, "redis://a:1"),
        ({"MULGIL_ONLINE_STORE_URL": "redis://a:1", "MULGIL_REDIS_ADDRESS": "b:2"}, "redis://a:1"),
        ({"MULGIL_REDIS_ADDRESS": "b:2"}, "redis://b:2"),
        ({"MULGIL_REDIS_ADDRESS": "b:2", "MULGIL_REDIS_PASSWORD": "p:/@"}, "redis://:p%3A%2F%40@b:2"),
        ({"MULGIL_REDIS_ADDRESS": "rediss://b:2", "MULGIL_REDIS_PASSWORD": "p"}, "rediss://:p@b:2"),
    ],
)
def test_redis_is_where_the_variables_say(environment, url):
    assert find_redis(environment) == url
