"""Which rows repeat an earlier one, told by 128 bits a row, so that no row need be kept in memory."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Two rows are (hash, hash); that two different ones agree in both has a chance of one in 2**128.
Identities = npt.NDArray[np.uint64]

_KEYS = ("mulgil identity0", "mulgil identity1")
_MISSING = np.uint64(0x9E3779B97F4A7C15)


def identify_rows(columns: Sequence[pa.Array]) -> Identities:
    """Return what two rows share if they are the same in every column.

    Args:
        columns: Values, of the same types in every call.

    Shapes:
        The result is (rows, 2).
    """
    rows = len(columns[0])
    lanes = [np.zeros(rows, dtype=np.uint64) for _ in _KEYS]
    with np.errstate(over="ignore"):
        for column in columns:
            for number, key in enumerate(_KEYS):
                lanes[number] = _mix(
                    lanes[number] * np.uint64(31) + hash_cells(column, key) + np.uint64(number)
                )
    return np.column_stack(lanes)


def find_repetitions(identities: Identities) -> npt.NDArray[np.bool_]:
    """Return which rows repeat an earlier one.

    Shapes:
        identities: (rows, 2).
    """
    one, other = identities[:, 0], identities[:, 1]
    # It is stable, so of rows that are equal in the first half the earliest comes first.
    order = np.argsort(one, kind="stable")
    in_order = one[order]
    is_alike = np.append(False, in_order[1:] == in_order[:-1])
    is_repeated = np.zeros(len(order), dtype=bool)
    # Nearly always none, or the very rows that repeat one.
    groups = np.flatnonzero(is_alike | np.append(is_alike[1:], False))
    seen: set[tuple[int, int]] = set()
    for place in order[groups].tolist():
        identity = (int(one[place]), int(other[place]))
        is_repeated[place] = identity in seen
        seen.add(identity)
    return is_repeated


def hash_cells(column: pa.Array, key: str) -> npt.NDArray[np.uint64]:
    """Return 64 bits for each value; equal values of one column have equal ones.

    Args:
        column: Values of a dataset's type.
        key: Sixteen characters; for another key, other bits.
    """
    seed = np.uint64(zlib.crc32(key.encode()) * int(_MISSING) % 2**64)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        encoded = column.dictionary_encode()
        words = np.array(encoded.dictionary.to_pylist(), dtype=object)
        hashes = pd.util.hash_array(words, hash_key=key, categorize=False)
        places = pc.fill_null(encoded.indices, len(words)).to_numpy()
        found: npt.NDArray[np.uint64] = np.append(hashes, _MISSING)[places]
        return found
    if pa.types.is_floating(column.type):
        # 0.0 and -0.0 are one value of two forms.
        bits = (pc.fill_null(column, 0.0).to_numpy() + 0.0).view(np.uint64)
    else:
        if pa.types.is_timestamp(column.type):
            column = pc.cast(column, pa.int64())
        bits = pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy().view(np.uint64)
    spread = _mix(bits ^ seed)
    if not column.null_count:
        return spread
    return np.where(pc.is_null(column).to_numpy(zero_copy_only=False), _MISSING, spread)


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread 64 bits.

    Source: the finalizer of SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014.
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
