"""`mulgil up` and `mulgil down`: the local serving plane."""

from __future__ import annotations

from mulgil.cli.console import output
from mulgil.local.plane.client import ServingPlane


def up_command() -> None:
    """Start the local serving plane and everything that was deployed to it."""
    plane = ServingPlane()
    plane.up()
    output.print(f"The serving plane is up at {plane.base_url}")


def down_command() -> None:
    """Stop the local serving plane; what was deployed comes back with `mulgil up`."""
    ServingPlane().down()
    output.print("The serving plane is down. `mulgil up` brings back what was deployed.")
