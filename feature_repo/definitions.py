"""What Feast's command line finds: the objects of one project, and whatever was applied before.

`feast apply` deletes from the registry what the repo does not define. Here that would be the other projects,
and the older versions that a rollback needs: so they are found here as they stand.
"""

from __future__ import annotations

import os
from pathlib import Path

from feast import FeatureStore, FeatureView

from feature_repo.layout import StoreLayout
from feature_repo.translation import translate
from mulgil.contract import load_project
from mulgil.contract.specifications import specify_derived, specify_features
from mulgil.errors import MulgilError
from mulgil.home import SOURCE_ROOT

_REPOSITORY = Path(__file__).resolve().parent
# The same place as in feature_store.yaml.
_LAYOUT = StoreLayout((_REPOSITORY.parent / ".mulgil").resolve() / "feature_store")

try:
    _folder = load_project(SOURCE_ROOT / os.environ.get("MULGIL_PROJECT", "projects/breast_cancer"))
except MulgilError as exc:
    raise SystemExit(f"{type(exc).__name__}: {exc}") from exc

_project = _folder.project.name
_specification = specify_features(_folder.dictionary)
_objects = translate(
    _project,
    _specification,
    _LAYOUT.offline(_project, _specification.version),
    specify_derived(_folder.dictionary),
)

entity = _objects.entity
source = _objects.source
view = _objects.view
service = _objects.service
if _objects.derived_view is not None:
    derived_view = _objects.derived_view
    derived_service = _objects.derived_service

# Feast makes the last folder of its paths, and no more.
_LAYOUT.root.mkdir(parents=True, exist_ok=True)
_store = FeatureStore(repo_path=str(_REPOSITORY))

# Feast looks at a module's attributes, and into no list. A source comes with its view.
_own = {one.name for one in _objects.every}
for _applied in (
    *_store.list_entities(),
    *_store.list_feature_views(),
    *_store.list_on_demand_feature_views(),
    *_store.list_feature_services(),
):
    if _applied.name not in _own:
        globals()[f"applied_{type(_applied).__name__}_{_applied.name}"] = _applied
    elif isinstance(_applied, FeatureView):
        # What was materialized is no definition; without it Feast would report a change where there is none.
        view.update_materialization_intervals(_applied.materialization_intervals)
