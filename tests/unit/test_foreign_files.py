"""Files of other formats, told by their first bytes, and tables of text that begin as such a format does."""

import pyarrow as pa
import pytest
from pyarrow import feather, orc

from components.ingest_data.compression import open_uncompressed
from mulgil.errors import InputError

TABLE = pa.table({"a": [1, 2, 3]})


@pytest.mark.parametrize("compression", ["uncompressed", "zlib", "zstd"])
def test_a_file_of_orc_or_arrow_is_refused_by_its_name(tmp_path, compression):
    orc.write_table(TABLE, tmp_path / "rows.orc", compression=compression)
    feather.write_feather(TABLE, str(tmp_path / "rows.feather"), compression="uncompressed")

    for name, kind in (("rows.orc", "a file of ORC"), ("rows.feather", r"a file of Arrow's \(Feather\)")):
        with (
            pytest.raises(InputError, match=f"rows is {kind}"),
            open_uncompressed(tmp_path / name, "rows"),
        ):
            pass


@pytest.mark.parametrize("header", ["ORCID,age,y", "ORC", "ARROW1,y"])
def test_a_table_whose_first_column_is_called_as_a_format_is_read(tmp_path, header):
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n0000-0002-1825-0097,31,yes\n")

    with open_uncompressed(path, "rows") as file:
        assert file.readline().decode() == f"{header}\n"
