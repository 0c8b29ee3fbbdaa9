"""An interpreter that imports, is copied, and at last is a step.

Run as `python -m mulgil.local.waiting_interpreter` in a component's environment, with a socket as its input.
On that it takes messages, a line of JSON each:

- `{"import": ["MODULE", "MODULE:FUNCTION", …]}`: it imports them, calls the functions, and says that it is
  done.
- `{"copy": true}`, and a socket with it: a copy of it, with all that it has imported, goes on with that
  socket, on which it says its number first and sends a handle on itself.
- `{"step": {…}}`: it is that step. What follows is what `python -m components.NAME …` does, in a process that
  has run nothing else and will run nothing else. Its exit code is the last that it says; that a signal ended
  it, the interpreter says that it was copied from.

The end of its input ends it. Only one that has imported, and run nothing, is ever copied: so there is no
state of a step to be seen, and no thread that the copy would lack.

It stands in every environment, and so imports the standard library alone.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
from collections.abc import Iterable
from typing import Any

_MOST_BYTES = 65536


class WaitingInterpreter:
    """This process.

    Args:
        channel: Where its messages come from.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = b""
        self._descriptors: list[int] = []
        # A handle on each copy, its number, and where its end is told.
        self._copies: dict[int, tuple[int, socket.socket]] = {}
        self._exit_code = 0

    def wait(self) -> None:
        """Do what the messages say, until it is a step."""
        # The first to be registered is the last to be called: after all that libraries registered.
        atexit.register(self._leave)
        # Imports make things that stay, and collecting would look through them again and again.
        gc.disable()
        self._introduce()
        while (message := self._receive()) is not None:
            if "import" in message:
                _import(message["import"])
                self._say(is_done=True)
            elif "copy" in message:
                self._copy(socket.socket(fileno=self._descriptors.pop(0)))
            else:
                self._be(message["step"])
                return

    def _receive(self) -> dict[str, Any] | None:
        """Wait for a message, and see to the ends of the copies meanwhile; `None` at the end."""
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._channel, *self._copies], [], [])
            for handle in self._copies.keys() & ready:
                self._bury(handle)
            if self._channel in ready:
                received, descriptors, _, _ = socket.recv_fds(
                    self._channel, _MOST_BYTES, 1, socket.MSG_CMSG_CLOEXEC
                )
                if not received:
                    return None
                self._received += received
                self._descriptors += descriptors
        line, self._received = self._received.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _say(self, **message: object) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(f"{json.dumps(message)}\n".encode())

    def _introduce(self) -> None:
        """Say who this is, now that it leads a group of its own, by which it can be ended."""
        os.setpgid(0, 0)
        handle = os.pidfd_open(os.getpid())
        with contextlib.suppress(OSError):
            socket.send_fds(self._channel, [f"{json.dumps({'pid': os.getpid()})}\n".encode()], [handle])
        os.close(handle)

    def _copy(self, channel: socket.socket) -> None:
        # A collection in a copy would write to every page, and so make it the copy's own.
        gc.freeze()
        number = os.fork()
        if number:
            self._copies[os.pidfd_open(number)] = number, channel
            return
        for handle, (_, theirs) in self._copies.items():
            os.close(handle)
            theirs.close()
        self._copies.clear()
        self._channel.close()
        self._channel, self._received = channel, b""
        self._introduce()

    def _bury(self, handle: int) -> None:
        """Tell how a copy ended that could not tell it itself."""
        number, channel = self._copies.pop(handle)
        os.close(handle)
        with channel:
            exit_code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            if exit_code < 0:
                with contextlib.suppress(OSError):
                    channel.sendall(f"{json.dumps({'exit_code': exit_code})}\n".encode())

    def _be(self, step: dict[str, Any]) -> None:
        """Be a step, to its end."""
        gc.enable()
        _take_place(step)
        sys.argv[1:] = step["arguments"]
        # Its module is loaded afresh, as by `-m`; what that imports is there already.
        sys.modules.pop(f"{step['module']}.__main__", None)
        # An error that nobody catches is told by Python itself, on its way out.
        self._exit_code = 1
        try:
            runpy.run_module(step["module"], run_name="__main__", alter_sys=True)
            self._exit_code = 0
        except SystemExit as ended:
            self._exit_code = _exit_code_of(ended)

    def _leave(self) -> None:
        """End the process at once: taking TensorFlow or Feast apart first would cost up to a second."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        self._say(exit_code=self._exit_code)
        os._exit(self._exit_code)


def _import(names: Iterable[str]) -> None:
    # What fails here fails again in the step, and then its log has the reason.
    with contextlib.suppress(Exception):
        for name in names:
            module, _, function = name.partition(":")
            found = importlib.import_module(module)
            if function:
                getattr(found, function)()


def _take_place(step: dict[str, Any]) -> None:
    """Take the step's folder, variables and log."""
    os.chdir(step["folder"])
    # Those that an import set stay; those of the run are the step's.
    os.environ.update(step["variables"])
    # Python's own generator is seeded anew in a copy; NumPy's would go on as in every other copy.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    log = os.open(step["log"], os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def _exit_code_of(ended: SystemExit) -> int:
    """Return what Python itself makes of it."""
    if ended.code is None or isinstance(ended.code, int):
        return (ended.code or 0) & 0xFF
    print(ended.code, file=sys.stderr)
    return 1


def main() -> None:
    """Wait on the socket that is this process's input."""
    channel = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    # A step has an empty input.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    WaitingInterpreter(channel).wait()


if __name__ == "__main__":
    main()
