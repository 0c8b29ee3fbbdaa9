"""What keeps the features by entity, as a bundle names it and as steps and servers are told of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

StoreKind = Literal["sqlite", "redis"]

# Where Redis is, for the step that writes to it and the server that reads from it. It may have a password, so
# that no bundle and no flag has it.
URL_VARIABLE = "MULGIL_ONLINE_STORE_URL"
# The same in two, as a cluster has it: the address in a ConfigMap, the password in a secret.
ADDRESS_VARIABLE = "MULGIL_REDIS_ADDRESS"
PASSWORD_VARIABLE = "MULGIL_REDIS_PASSWORD"
# Where Feast's registry is, if it is a database of its own.
REGISTRY_VARIABLE = "MULGIL_FEAST_REGISTRY_URL"


def find_redis(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the address of the Redis that keeps the features, with its password; `None` where none does.

    Args:
        environment: `MULGIL_ONLINE_STORE_URL` is the whole; else `MULGIL_REDIS_ADDRESS` is a host and a port,
            with `rediss://` before it for TLS, and `MULGIL_REDIS_PASSWORD` goes with it.
    """
    if url := environment.get(URL_VARIABLE):
        return url
    address = environment.get(ADDRESS_VARIABLE)
    if not address:
        return None
    scheme, separator, place = address.partition("://")
    password = environment.get(PASSWORD_VARIABLE)
    credentials = f":{quote(password, safe='')}@" if password else ""
    return f"{scheme}://{credentials}{place}" if separator else f"redis://{credentials}{address}"
