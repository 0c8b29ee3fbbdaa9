"""Columns that say where a row is."""

from __future__ import annotations

import re

import numpy as np

from mulgil.drafting.profile import ColumnProfile
from mulgil.exploration.columns import Explored, is_number

_LATITUDE = re.compile(r"^(lat|latitude)$|_lat$|^lat_|latitude", re.I)
_LONGITUDE = re.compile(r"^(lon|lng|long|longitude)$|_(lon|lng|long)$|^(lon|lng)_|longitude", re.I)


def may_be_a_place(name: str) -> bool:
    """Whether a column is called as a latitude or a longitude is."""
    return bool(_LATITUDE.search(name) or _LONGITUDE.search(name))


def find_places(explored: Explored) -> tuple[str, str] | None:
    """Return the names of latitude and longitude, where rows have both and they may be shown."""

    def find(name: re.Pattern[str], most: float) -> ColumnProfile | None:
        return next(
            (
                profile
                for profile in explored.others
                if name.search(profile.name)
                and is_number(profile)
                and len(profile.finite)
                and np.abs(profile.finite).max() <= most
                and profile.name not in explored.hidden
            ),
            None,
        )

    latitude, longitude = find(_LATITUDE, 90), find(_LONGITUDE, 180)
    if latitude is None or longitude is None:
        return None
    is_there = np.isfinite(latitude.numbers) & np.isfinite(longitude.numbers)
    return (latitude.name, longitude.name) if is_there.any() else None
