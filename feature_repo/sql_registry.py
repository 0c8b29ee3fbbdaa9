"""Feast's registry in a database, which all runs on a cluster share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy.exc
from feast import FeatureStore

from feature_repo.feature_store import open_feature_store
from mulgil.errors import PermanentError, TemporaryError, describe
from mulgil.online_stores import REGISTRY_VARIABLE


def publish_definitions(staged: FeatureStore, url: str, online_store: Mapping[str, Any]) -> None:
    """Write what a store defines into the database; the definitions of others stay there.

    Args:
        staged: A store with a registry of its own.
        url: Of the database, as SQLAlchemy has it.
        online_store: The section `online_store` of those who read the definitions.

    Raises:
        TemporaryError: The database does not answer.
        PermanentError: There is no driver for it.
    """
    definitions = [
        *staged.list_entities(),
        *staged.list_data_sources(),
        *staged.list_feature_views(),
        *staged.list_feature_services(),
    ]
    try:
        store = open_feature_store({"registry_type": "sql", "path": url}, online_store)
        store.apply(definitions)
    except (sqlalchemy.exc.ArgumentError, ImportError) as exc:
        raise PermanentError(
            describe(
                f"{REGISTRY_VARIABLE} does not name a database that can be used",
                expected="such as postgresql://user:password@host/feast",
                received=str(exc),
            )
        ) from exc
    except sqlalchemy.exc.SQLAlchemyError as exc:
        raise TemporaryError(
            describe(
                "The database of Feast's registry does not keep the definitions",
                expected=f"{REGISTRY_VARIABLE} to name a database that answers",
                received=f"{type(exc).__name__}: {str(exc).partition(chr(10))[0]}",
                next_step="correct its address, or its rights; the features themselves are in place",
            )
        ) from exc
