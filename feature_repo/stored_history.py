"""A source's Parquet files, of which keys and times are read whole and the features some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from feast import FileSource, RepoConfig

from feature_repo.point_in_time import NONE, Integers

# Cells that are answered at a time: 22 columns are so in 65,536 rows, of 12 MB. Chosen by eye, and so is how
# few rows of a wide table are still worth a row group.
_BATCH_CELLS = 1 << 22
_MOST_ROWS, _LEAST_ROWS = 1 << 16, 1 << 12


def count_batch_rows(columns: int) -> int:
    """Return how many rows of so many columns are in memory at a time."""
    return min(_MOST_ROWS, max(_LEAST_ROWS, _BATCH_CELLS // max(1, columns)))


class StoredHistory:
    """The rows of a file source, told apart by their place.

    Args:
        source: Where they are; its columns have the names that Feast has for them.
        config: Of the store; a relative path counts from its folder.
    """

    def __init__(self, source: FileSource, config: RepoConfig) -> None:
        self._in_file = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
        filesystem, path = FileSource.create_filesystem_and_path(
            FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=source.file_options.uri),
            source.file_options.s3_endpoint_override,
            resolved_credentials=source.resolve_credentials(),
        )
        # Without partitions: else a folder named `a=b` on the way would be one more column.
        self._dataset = ds.dataset(path, filesystem=filesystem, format="parquet", partitioning=None)
        # A row group each.
        self._pieces = [
            piece for file in self._dataset.get_fragments() for piece in file.split_by_row_group()
        ]
        self._ends = np.cumsum(
            [group.num_rows for piece in self._pieces for group in piece.row_groups], dtype=np.int64
        )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def type_of(self, name: str) -> pa.DataType:
        """Return a column's type."""
        return self._dataset.schema.field(self._in_file.get(name, name)).type

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read some columns whole."""
        columns = [self._in_file.get(name, name) for name in names]
        # In one piece each, which numpy takes without one more copy.
        return self._dataset.to_table(columns=columns).rename_columns(list(names)).combine_chunks()

    def take(self, places: Integers, names: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        """Read columns of the rows at some places, in the order of the places.

        A row group is read once where the places ascend, and else once for each batch that needs it.

        Args:
            places: Of the rows; at `NONE` every column is missing.
            names: The columns.
            batch_rows: How many rows each table has.
        """
        held: tuple[int, pa.Table] | None = None
        schema = pa.schema([(name, self.type_of(name)) for name in names])
        if not len(places):
            yield schema.empty_table()
        for start in range(0, len(places), batch_rows):
            asked = places[start : start + batch_rows]
            of = np.where(asked == NONE, len(self._pieces), np.searchsorted(self._ends, asked, side="right"))
            order = np.argsort(of, kind="stable")
            pieces, starts = np.unique(of[order], return_index=True)
            found = []
            for piece, among in zip(pieces.tolist(), np.split(order, starts[1:]), strict=True):
                if piece == len(self._pieces):
                    found.append(pa.table([pa.nulls(len(among), field.type) for field in schema], schema))
                    continue
                if held is None or held[0] != piece:
                    # What was held goes first, or two would be in memory.
                    held = None
                    held = piece, self._read_piece(piece, names)
                begin = int(self._ends[piece - 1]) if piece else 0
                found.append(held[1].take(pa.array(asked[among] - begin)))
            rows = pa.concat_tables(found)
            if len(pieces) > 1 and (np.diff(order) < 0).any():
                rows = rows.take(pa.array(np.argsort(order)))
            yield rows

    def _read_piece(self, piece: int, names: Sequence[str]) -> pa.Table:
        columns = [self._in_file.get(name, name) for name in names]
        rows = self._pieces[piece].to_table(schema=self._dataset.schema, columns=columns)
        return rows.rename_columns(list(names)).combine_chunks().replace_schema_metadata(None)
