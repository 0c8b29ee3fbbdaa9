"""The cells of a typed table as plain Python values, the way JSON would bring them."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd


def plain(cell: Any) -> Any:
    """Return a cell without the type of the library that it comes from; `None` is missing."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return None
    if isinstance(cell, pd.Timestamp):
        # Nanoseconds are more than a dataset keeps.
        return cell.to_pydatetime(warn=False)
    if isinstance(cell, np.generic):
        return cell.item()
    if isinstance(cell, uuid.UUID):
        return str(cell)
    if isinstance(cell, Decimal):
        exponent = cell.as_tuple().exponent
        # A whole number keeps all its digits: a database's NUMERIC(20) may be an identifier.
        return int(cell) if isinstance(exponent, int) and exponent >= 0 else float(cell)
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return datetime(cell.year, cell.month, cell.day, tzinfo=UTC)
    return cell
