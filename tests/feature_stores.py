"""Small feature stores, written by the real Feast as materialize_features does."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from served_bundles import DICTIONARY, ROW, SPARSE_ROW, network, seal

from components.materialize_features.offline import stored_columns, write_offline
from components.materialize_features.online import materialize
from components.materialize_features.staging import staged_store
from feature_repo.feature_store import apply_objects, open_feature_store
from feature_repo.layout import StoreLayout
from feature_repo.online_places import find_place
from feature_repo.translation import translate
from mulgil.artifacts import BUNDLE_BACKGROUND, Background, FeatureServiceReference
from mulgil.contract import ColumnType
from mulgil.contract.specifications import specify_derived, specify_features
from mulgil.online_rows import FORM
from mulgil.serving.online_store import OnlineStore

START = datetime(2020, 1, 1, tzinfo=UTC)
TYPES = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
}


class Store:
    """A feature store of one project."""

    def __init__(self, root, dictionary=DICTIONARY, unknown_entity="refuse"):
        self.layout = StoreLayout(root)
        self.dictionary = dictionary
        self.specification = specify_features(dictionary)
        version = self.specification.version
        self.offline_path = self.layout.offline("heart", version)
        self.objects = translate("heart", self.specification, self.offline_path, specify_derived(dictionary))
        self.place = find_place(self.layout, "heart", version, self.objects.view.name)
        self.reference = FeatureServiceReference(
            name=self.objects.service.name,
            project="mulgil",
            store_version=version,
            store_kind=self.place.kind,
            online_store=self.place.location,
            row_form=FORM,
            unknown_entity=unknown_entity,
            entity=self.specification.entity,
            features=tuple(feature.name for feature in self.specification.features),
        )

    def write(self, rows, day=0):
        """Materialize rows by key, as of a day."""
        names = [c.name for c in (self.dictionary.entity, *self.dictionary.stored)]
        kinds = {c.name: TYPES[c.type] for c in (self.dictionary.entity, *self.dictionary.stored)}
        records = [{self.dictionary.entity.name: key, **row} for key, row in rows.items()]
        columns = {name: pa.array([record[name] for record in records], kinds[name]) for name in names}
        times = [START + timedelta(days=day)] * len(records)
        table = pa.table({**columns, "seen_at": pa.array(times, pa.timestamp("us", "UTC"))})
        with staged_store(self.layout, self.place) as store:
            write_offline(self.offline_path, [table.select(stored_columns(self.specification))])
            apply_objects(store, self.objects)
            materialize(store, self.objects.view, times[0], times[0])

    def read_with_feast(self, keys):
        """Read as Feast does."""
        store = open_feature_store(self.layout.registry, self.place.configuration)
        entities = [{self.dictionary.entity.name: key} for key in keys]
        answer = store.get_online_features(features=self.objects.service, entity_rows=entities).to_dict()
        return [{name: answer[name][i] for name in self.reference.features} for i in range(len(keys))]

    def read(self, keys):
        """Read as the model server does."""
        store = OnlineStore(self.reference, self.dictionary)
        return store.unpack(store.read(keys))


def write_whole_bundle(folder):
    """Write a bundle that predicts by column, and for the entities 12 and 13, and explains; return where."""
    path, store = folder / "bundle", Store(folder / "store")
    store.write({12: ROW, 13: SPARSE_ROW})
    network(0).write_bundle(path, store.reference)
    Background(instances=(ROW, SPARSE_ROW)).write(path / BUNDLE_BACKGROUND)
    seal(path, store.reference)
    return path
