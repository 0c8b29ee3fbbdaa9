"""What keeps the features by entity, as a bundle names it and as steps and servers are told of it."""

from __future__ import annotations

from typing import Literal

StoreKind = Literal["sqlite", "redis"]

# Where Redis is, for the step that writes to it and the server that reads from it. It may have a password, so
# that no bundle and no flag has it.
URL_VARIABLE = "MULGIL_ONLINE_STORE_URL"
