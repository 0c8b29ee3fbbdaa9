"""Platforms that a rollout runs on, behind one protocol, each with what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mulgil.contract.rollout import Rollout
from mulgil.errors import InputError, describe
from mulgil.rollout.releases import Form, Manifest


@dataclass(frozen=True)
class Capabilities:
    """What a platform can do with traffic.

    Attributes:
        can_split: Give each version a share.
        can_mirror: Send copies to a version whose answers nobody sees.
        can_stick: Keep a caller on one version.
        can_match_headers: Choose the version by a header's value.
    """

    can_split: bool = True
    can_mirror: bool = False
    can_stick: bool = False
    can_match_headers: bool = False


class Driver(Protocol):
    """A platform. Every write reconciles: twice leaves what once left."""

    name: str
    capabilities: Capabilities

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return an InferenceService with its status; `None` where there is none."""

    def write(self, manifest: Manifest) -> None:
        """Make an InferenceService wanted as the manifest has it."""

    def lead(self, name: str, namespace: str, *, mirror_percent: float, sticky_header: str | None) -> None:
        """Say what holds beside the shares; only what the platform can do is ever asked."""

    def addresses(self, name: str, namespace: str) -> dict[str, str]:
        """Return where each model version answers alone, where the platform itself tells."""

    def require_support(self, manifest: Manifest) -> None:
        """Refuse an object whose canary would get no traffic as this platform is set up."""

    def form(self, manifest: Manifest) -> Form:
        """Return KServe's form that this platform takes."""


def require_capabilities(policy: Rollout, driver: Driver) -> None:
    """Refuse a policy that asks for more than the platform can do.

    Raises:
        InputError: Naming what it cannot do.
    """
    capabilities = driver.capabilities
    asked = {
        "rollout.steps: split the traffic": (bool(policy.steps), capabilities.can_split),
        "rollout.shadow.is_required: mirror requests": (
            policy.shadow is not None and policy.shadow.is_required,
            capabilities.can_mirror,
        ),
        "rollout.sticky_header: keep a caller on one version": (
            policy.sticky_header is not None,
            capabilities.can_stick,
        ),
    }
    refused = [what for what, (is_asked, can) in asked.items() if is_asked and not can]
    if refused:
        raise InputError(
            describe(
                f"The driver `{driver.name}` cannot do what the rollout policy asks",
                expected="a policy within what the platform can do",
                received="; ".join(refused),
                next_step="leave that out of the section `rollout` of project.yaml, or use another platform",
            )
        )
