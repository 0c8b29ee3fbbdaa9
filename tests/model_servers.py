"""The model server as a process, for tests."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(bundle, port, *flags):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "mulgil.serving", "--model-name", "heart", "--model-path", str(bundle)),
            *("--model-version", "7", "--http-port", str(port), "--drain-seconds", "0.3", *flags),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_log(output):
    """The server's own lines: LiteRT writes one of its own to the same place."""
    return [
        json.loads(line) for line in output.splitlines() if not line.startswith("INFO: Created TensorFlow")
    ]


class Server:
    """A process, its port, and what was sent to it."""

    def __init__(self, bundle, *flags, waits=True):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = start(bundle, self.port, *flags)
        while waits and not self.is_listening():
            assert self.process.poll() is None, self.process.stdout.read()
            time.sleep(0.02)

    def is_listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def exchange(self, *parts):
        """Send raw bytes; return all that comes until the server closes or falls silent."""
        received = b""
        with self.connect() as connection, contextlib.suppress(ConnectionError, TimeoutError):
            connection.settimeout(0.5)
            for part in parts:
                connection.sendall(part)
            while data := connection.recv(65536):
                received += data
        return received

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=10)
        return self.process.returncode, output
