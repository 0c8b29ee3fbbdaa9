"""Pumps as a simulation has them: generated from a fixed seed, so that the truth behind the rows is known."""

import numpy as np
import pandas as pd

_ROWS = 1500
# Spread of a sensor around what the faults make of it, in parts of its own range. Chosen by eye: some faults
# hide, and no model finds all.
_NOISE = 0.13


def load() -> pd.DataFrame:
    """Return 1,500 inspections: what six sensors and two facts said, and which faults the mechanic found.

    A pump may have several faults at once, or none. A clogged inlet makes a pump draw more power only as long
    as it does not leak, so the faults are no sums of the sensors.
    """
    chance = np.random.default_rng(20)
    hours = chance.uniform(0, 20_000, _ROWS)
    model = chance.choice(["A", "B", "C"], _ROWS, p=[0.5, 0.3, 0.2])
    worn = chance.random(_ROWS) < 0.1 + 0.5 * hours / 20_000
    leaks = chance.random(_ROWS) < np.where(model == "C", 0.4, 0.2)
    clogged = chance.random(_ROWS) < 0.25

    def sense(level: np.ndarray, low: float, high: float, digits: int) -> np.ndarray:
        shown = np.clip(level + chance.normal(0, _NOISE, _ROWS), 0, 1)
        return np.round(low + (high - low) * shown, digits)

    noise_level = sense(0.3 + 0.2 * worn + 0.2 * (clogged & ~leaks), 60, 100, 1)
    return pd.DataFrame(
        {
            "model": model,
            "hours": np.round(hours),
            "vibration": sense(0.25 + 0.3 * worn + 0.1 * (model == "B"), 0, 20, 2),
            "temperature": sense(0.3 + 0.2 * worn + 0.1 * clogged, 20, 120, 1),
            "pressure": sense(0.7 - 0.2 * leaks - 0.15 * clogged, 0, 10, 2),
            "flow": sense(0.7 - 0.15 * leaks - 0.25 * clogged, 0, 100, 1),
            "power": sense(0.4 + 0.25 * (clogged & ~leaks) + 0.1 * worn, 0, 15, 2),
            # A cheap sensor, which is sometimes silent.
            "noise": np.where(chance.random(_ROWS) < 0.08, np.nan, noise_level),
            "worn_bearing": worn,
            "leaking_seal": leaks,
            "clogged_inlet": clogged,
        }
    )
