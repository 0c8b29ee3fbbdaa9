"""A collector as a process, for tests."""

import signal
import subprocess
import sys
import time

import httpx
from model_servers import free_port


class CollectorProcess:
    """`python -m mulgil.prediction_log` on a folder."""

    def __init__(self, root, port=None, flush_seconds=0.2, pair_seconds=60.0, environment=None):
        self.root = root
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mulgil.prediction_log", "--root-path", str(root)),
                *("--http-port", str(self.port), "--flush-seconds", str(flush_seconds)),
                *("--pair-seconds", str(pair_seconds)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        wait_until(self.answers)

    def answers(self):
        try:
            return httpx.get(self.url).status_code == 200
        except httpx.HTTPError:
            assert self.process.poll() is None, self.process.stdout.read()
            return False

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=10)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, output
        assert "Traceback" not in output, output
        return output


def wait_until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.03)
