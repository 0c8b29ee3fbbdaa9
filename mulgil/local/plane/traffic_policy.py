"""How requests are led beyond a service's shares: what a rollout asks for, and no InferenceService says.

On a cluster this is the business of the gateway, not of KServe; so it stands beside the object, never in it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from mulgil.artifacts import Record
from mulgil.local.plane.revisions import ServiceState, Target

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


class TrafficPolicy(Record):
    """What holds beside the shares.

    Attributes:
        mirror_percent: Of the requests, those that the candidate gets too; its answer goes nowhere.
        sticky_header: Requests with the same value of it meet the same revision; who had the candidate keeps
        it
            while its share grows.
        match_header: Requests that have it go to the candidate whatever its share.
        match_value: With that value alone; with any where it is not given.
    """

    mirror_percent: Annotated[float, Field(ge=0, le=100)] = 0
    sticky_header: HeaderName | None = None
    match_header: HeaderName | None = None
    match_value: str | None = None

    @model_validator(mode="after")
    def _matches_a_header(self) -> Self:
        if self.match_value is not None and self.match_header is None:
            raise ValueError("match_value is given without match_header")
        return self


def candidate_of(state: ServiceState) -> Target | None:
    """Return the target that is on trial: a canary, or the latest revision beside the one before it."""
    variants = [target for target in state.traffic if target.variant]
    latest = [target for target in state.traffic if target.is_latest and len(state.traffic) > 1]
    return next(iter((*variants, *latest)), None)
