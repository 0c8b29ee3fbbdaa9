"""Reading every row of a raw table into the store, or into the quarantine."""

from __future__ import annotations

from datetime import UTC, datetime

from components.ingest_data.dataset import RowStore
from components.ingest_data.quarantine import Quarantine
from components.ingest_data.rows import RowReader
from components.ingest_data.sources import describe_source
from components.ingest_data.structure import check_structure
from components.ingest_data.table import RawTable
from mulgil.contract import ProjectFolder
from mulgil.contract.spans import Span


def read_rows(
    table: RawTable, folder: ProjectFolder, store: RowStore, quarantine: Quarantine, span: Span | None = None
) -> int:
    """Read every row of a table.

    Args:
        table: Where they are.
        folder: What they should be.
        store: Takes those that are right; it is open.
        quarantine: Takes the others.
        span: The span that they are of, if the source has spans.

    Returns:
        How many there are.

    Raises:
        InputError: The table is not the dictionary's, or cannot be read to its end.
        TemporaryError: It broke off.
    """
    reader: RowReader | None = None
    rows = 0
    for batch in table.batches:
        if reader is None:
            check_structure(table, batch, folder.dictionary, describe_source(folder.project.source))
            reader = RowReader(
                table.header,
                table.read_cell,
                folder.dictionary,
                folder.project.split,
                datetime.now(UTC),
                span,
            )
        read = reader.read(batch)
        store.add(read.rows, read.identities, read.keys)
        quarantine.add(read.quarantined, read.due)
        rows += len(batch.numbers) + len(batch.misfits)
    return rows
