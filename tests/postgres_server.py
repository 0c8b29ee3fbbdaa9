"""A PostgreSQL server for as long as a test lasts."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from model_servers import free_port

USER = "owner"
# With the signs that divide a URL.
PASSWORD = "a:b/c@d#e"

_PATIENCE_SECONDS = 30


def _program(name: str) -> str:
    """Return a program of the server's; Debian's packages leave it outside the path."""
    found = shutil.which(name) or next(
        map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    assert found, f"{name} of PostgreSQL is needed"
    return found


class PostgresServer:
    """One that lets in whoever has the password, on a port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql://{USER}:${{MULGIL_TEST_PASSWORD}}@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        # It refuses to be root's.
        self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._as:
            shutil.chown(folder, "nobody", "nogroup")
            shutil.chown(secret, "nobody", "nogroup")
        self._run("initdb", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--no-sync")
        self.start()

    def _run(self, name: str, *words: str) -> None:
        command = [
            _program(name),
            f"--pgdata={self._folder / 'data'}",
            "--encoding=UTF8",
            "--locale=C",
            *words,
        ]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=60, **self._as)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [_program("postgres"), "-D", str(self._folder / "data"), "-h", "127.0.0.1", "-F"]
        command += ["-p", str(self.port), "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, **self._as)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: with SIGINT in order, with SIGQUIT at once and within every query."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=30)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement, and return the rows that it gives."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres"
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Run one on rows of its own, which go with it."""
    # Not below pytest's folder, which is closed to the user whose it is.
    folder = Path(tempfile.mkdtemp(prefix="mulgil-postgres-"))
    server = None
    try:
        server = PostgresServer(folder)
        yield server
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(folder)
