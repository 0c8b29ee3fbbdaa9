"""Sources that fail while they are read: it is told, what was there stays, and a re-run completes."""

import contextlib
import gzip
import resource
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from failing_sources import completes, fails, rows_of, write_project

import components.ingest_data.csv_source as csv_source

FILES = 10


def parquet_of(number: int) -> bytes:
    header, *rows = [line.split(",") for line in rows_of(number).splitlines()]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(header, zip(*rows, strict=True), strict=True))), sink)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def project(tmp_path) -> Path:
    write_project(tmp_path)
    (tmp_path / "parts").mkdir()
    return tmp_path


class Server(BaseHTTPRequestHandler):
    """Serves rows, and breaks off in the middle for as long as `is_failing`."""

    is_failing = True
    # Chunks are of 1.1.
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        content = rows_of(0).encode()
        sent = content[: len(content) // 2] if Server.is_failing else content
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
            if not Server.is_failing:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["length", "chunks"])
def test_a_server_that_breaks_off_is_seen(project, server, capsys, monkeypatch, path):
    monkeypatch.setattr(Server, "is_failing", False)
    completes(project, f"{server}/{path}")
    monkeypatch.setattr(Server, "is_failing", True)
    fails(project, f"{server}/{path}", capsys, 75, "peer closed connection", "run again")
    monkeypatch.setattr(Server, "is_failing", False)
    completes(project, f"{server}/{path}")


def test_a_file_that_is_removed_before_its_turn_is_named(project, capsys, monkeypatch):
    parts = project / "parts"
    for number in range(3):
        (parts / f"{number}.csv").write_text(rows_of(number))
    completes(project, parts)
    read = csv_source._find_misfit

    def remove_the_last(*args, **kwargs):
        (parts / "2.csv").unlink(missing_ok=True)
        return read(*args, **kwargs)

    with monkeypatch.context() as patched:
        # While the first file's rows are looked at.
        patched.setattr(csv_source, "_find_misfit", remove_the_last)
        fails(
            project,
            parts,
            capsys,
            2,
            "cannot be read: No such file or directory",
            str(parts / "2.csv"),
            "To do",
        )
    (parts / "2.csv").write_text(rows_of(2))
    completes(project, parts)


def test_a_disk_that_does_not_answer_any_longer_is_temporary(project, capsys):
    path = project / "rows.csv"
    path.write_text(rows_of(0))
    completes(project, path)
    # A file that the system opens and gives no byte of: at its beginning there is no memory.
    path.unlink()
    path.symlink_to("/proc/self/mem")

    fails(
        project, path, capsys, 75, "The source broke off while it was read: Input/output error", "run again"
    )


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwrite(content: bytes) -> bytes:
    return content[:4] + bytes(200) + content[204:]


def empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, overwrite, empty])
def test_one_damaged_parquet_file_of_ten_is_named(project, capsys, damage: Callable[[bytes], bytes]):
    parts = project / "parts"
    for number in range(FILES):
        (parts / f"{number}.parquet").write_bytes(parquet_of(number))
    completes(project, parts)
    (parts / "6.parquet").write_bytes(damage(parquet_of(6)))

    words = "is damaged after row 0" if damage is overwrite else "is not a Parquet file"
    fails(project, parts, capsys, 2, words, str(parts / "6.parquet"), "Expected", "Received", "To do")

    (parts / "6.parquet").write_bytes(parquet_of(6))
    completes(project, parts)


def spoil_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes(4) + content[-4:]


@pytest.mark.parametrize("damage", [cut, spoil_checksum])
def test_a_broken_gzip_file_is_refused(project, capsys, damage):
    path = project / "rows.csv.gz"
    whole = gzip.compress(rows_of(0, 5_000).encode())
    path.write_bytes(whole)
    completes(project, path)
    path.write_bytes(damage(whole))

    fails(project, path, capsys, 2, "The source is compressed and damaged", str(path), "fetch it again")

    path.write_bytes(whole)
    completes(project, path)


def test_a_file_of_another_kind_is_named_and_what_to_do(project, capsys):
    path = project / "rows.csv"
    path.write_text(rows_of(0, 5_000))
    completes(project, path)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))

    fails(project, path, capsys, 2, "a spreadsheet of Excel's old form", str(path), "save the sheet as CSV")


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow over so many bytes, which no privilege is needed for."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("is_in_store", [False, True])
def test_a_full_disk_leaves_the_earlier_rows_and_a_run_after_it_completes(project, capsys, is_in_store):
    content = rows_of(0, 20_000).encode()
    source = project / "rows.csv"
    source.write_bytes(content)
    if is_in_store:
        # Its copy is what is written first.
        source = "memory://failing/rows.csv"
        fsspec.filesystem("memory").pipe("/failing/rows.csv", content)
    completes(project, source)

    with full_disk(50_000):
        fails(project, source, capsys, 75, "There is no room left where Mulgil writes", "make room")

    assert [entry.name for entry in (project / "out").iterdir() if entry.name.startswith(".")] == []
    completes(project, source)
