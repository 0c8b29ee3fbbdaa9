"""The keeper of warm interpreters, a process of its own between the runs.

Run as `python -m mulgil.local.keeper FOLDER IMAGE…`. It holds one interpreter a component, which has
done its imports, and gives it away at most once: the socket that the interpreter reads its command line from
goes to the run, and the keeper keeps no copy. So what is given away does not depend on the keeper any more,
and what is not ends with the keeper, however that ends: the interpreter reads the end of its input.

A run holds its connection while it lasts. Nothing is started meanwhile, as it would take the run's cores.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.local.environments import find_environment
from mulgil.local.recipe import fingerprint_recipe

SOCKET = "socket"
# The request for how many are ready, and of how many.
COUNT = "count"
_LOCK = "lock"
_WAITING_INTERPRETER = "mulgil.local.waiting_interpreter"
_LOOK_SECONDS = 0.5
# Before one that died of itself is started again; chosen by eye.
_PATIENCE_SECONDS = 60.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """How the interpreter of a component is started."""

    prefix: str
    lock: str
    variables: dict[str, str]

    def fingerprint(self) -> str:
        """Return the hash of what it is made of, as that is now."""
        return fingerprint_recipe(Path(self.prefix), Path(self.lock), self.variables)


@dataclass
class Held:
    """An interpreter that has not been given away."""

    module: str
    recipe: str
    process: subprocess.Popen[bytes]
    channel: socket.socket
    is_ready: bool = False


class Keeper:
    """Holds the interpreters and answers the runs.

    Args:
        folder: Where they start.
        listener: Where the runs come in.
        wanted: What is to be held, by the module of the component.
    """

    def __init__(self, folder: Path, listener: socket.socket, wanted: dict[str, Wanted]) -> None:
        self._folder = folder
        self._listener = listener
        self._wanted = wanted
        self._held: dict[str, Held] = {}
        self._not_before: dict[str, float] = {}
        self._given: list[subprocess.Popen[bytes]] = []
        self._asked: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()

    def keep(self) -> None:
        """Serve until the folder is gone."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._welcome)
        try:
            while (self._folder / SOCKET).exists():
                for key, _ in self._selector.select(_LOOK_SECONDS):
                    # An event before it may have closed it.
                    if key.fd in self._selector.get_map():
                        key.data(key.fileobj)
                self._given = [process for process in self._given if process.poll() is None]
                if not self._asked:
                    self._start_next()
        finally:
            for module in list(self._held):
                self._end(module)

    def _start_next(self) -> None:
        """Start one that is missing; the next one follows when it is ready."""
        if not all(held.is_ready for held in self._held.values()):
            return
        now = time.monotonic()
        for module, wanted in self._wanted.items():
            if module not in self._held and self._not_before.get(module, 0.0) <= now:
                self._start(module, wanted)
                return

    def _start(self, module: str, wanted: Wanted) -> None:
        ours, theirs = socket.socketpair()
        self._not_before[module] = time.monotonic() + _PATIENCE_SECONDS
        # Before it is started: what is edited while it imports makes it stale.
        try:
            recipe = wanted.fingerprint()
            process = subprocess.Popen(
                [f"{wanted.prefix}/bin/python", "-m", _WAITING_INTERPRETER, module, "--reports"],
                env=wanted.variables,
                cwd=self._folder,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError:
            ours.close()
            return
        finally:
            theirs.close()
        self._held[module] = Held(module, recipe, process, ours)
        self._selector.register(ours, selectors.EVENT_READ, lambda _: self._hear(module))

    def _hear(self, module: str) -> None:
        """Note that one is ready, or that it died."""
        held = self._held[module]
        try:
            is_ready = bool(held.channel.recv(64))
        except ConnectionError:
            is_ready = False
        if not is_ready:
            self._end(module)
            return
        held.is_ready = True
        self._not_before.pop(module, None)

    def _end(self, module: str) -> None:
        held = self._release(module)
        held.channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(held.process.pid, signal.SIGKILL)
        held.process.wait()

    def _release(self, module: str) -> Held:
        held = self._held.pop(module)
        self._selector.unregister(held.channel)
        return held

    def _welcome(self, _: Any) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_LOOK_SECONDS)
        self._asked[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ, self._answer)

    def _answer(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(65536)
            self._asked[connection] += received
            *lines, self._asked[connection] = self._asked[connection].split(b"\n")
            if not received or len(self._asked[connection]) > _MOST_BYTES:
                raise ConnectionError
            for line in lines:
                request = json.loads(line)
                if request == COUNT:
                    ready = sum(held.is_ready for held in self._held.values())
                    connection.sendall(f"{ready} {len(self._wanted)}\n".encode())
                else:
                    self._give(connection, request)
        except (OSError, ValueError, KeyError, TypeError):
            # The run is over, or it is not one of ours.
            self._selector.unregister(connection)
            del self._asked[connection]
            connection.close()

    def _give(self, connection: socket.socket, request: dict[str, Any]) -> None:
        module = request["module"]
        held = self._held.get(module)
        if held is not None and held.recipe != request["recipe"]:
            self._end(module)
            # The next one is for a run like this one.
            self._wanted[module] = Wanted(request["prefix"], request["lock"], request["variables"])
            held = None
        if held is None or not held.is_ready or held.process.poll() is not None:
            connection.sendall(b"{}\n")
            return
        self._release(module)
        self._given.append(held.process)
        pidfd = os.pidfd_open(held.process.pid)
        try:
            answer = json.dumps({"pid": held.process.pid}).encode() + b"\n"
            socket.send_fds(connection, [answer], [held.channel.fileno(), pidfd])
        finally:
            # Where it did not get there, this was the last copy, and the interpreter ends.
            os.close(pidfd)
            held.channel.close()


def main() -> int:
    """Hold interpreters until asked to end."""
    folder, images = Path(sys.argv[1]), sys.argv[2:]
    with (folder / _LOCK).open("w") as lock, socket.socket(socket.AF_UNIX) as listener:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        wanted = {}
        for image in images:
            environment = find_environment(image)
            wanted[f"components.{environment.component}"] = Wanted(
                str(environment.prefix), str(environment.lock), environment.variables
            )
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        (folder / SOCKET).unlink(missing_ok=True)
        # An address has 108 bytes at the most, and a home's path may be longer.
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{place}/{SOCKET}")
        os.close(place)
        listener.listen()
        try:
            Keeper(folder, listener, wanted).keep()
        finally:
            (folder / SOCKET).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
