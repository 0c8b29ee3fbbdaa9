"""The dictionary that a model was trained with, from its bundle."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mulgil.artifacts import BUNDLE_DICTIONARY
from mulgil.contract import DataDictionary
from mulgil.errors import InputError, describe


def read_dictionary(bundle_path: Path) -> DataDictionary:
    """Read a bundle's dictionary.

    Raises:
        InputError: It is not one, such as that of another version of Mulgil.
    """
    path = bundle_path / BUNDLE_DICTIONARY
    try:
        return DataDictionary.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        raise InputError(
            describe(
                f"{path} is not a data dictionary of this version of Mulgil",
                received=str(exc),
                next_step="train the model again",
            )
        ) from exc
