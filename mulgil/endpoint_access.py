"""The token that an endpoint asks for, as whoever calls one has it."""

from __future__ import annotations

import os

# On a cluster the steps that call an endpoint have it from a secret: manifests/settings/settings.yaml.
TOKEN_VARIABLE = "MULGIL_SERVING_TOKEN"


def authorization() -> dict[str, str]:
    """Return the header that a request to an endpoint carries; none where no token is set."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}
