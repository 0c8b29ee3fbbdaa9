"""Functions of the project folder, called by the steps that the project file names them to."""

from __future__ import annotations

import sys
import traceback
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulgil.errors import InputError, MulgilError, describe


@dataclass(frozen=True)
class ProjectFunction:
    """A function that a project's Python defines.

    Attributes:
        folder: The project's.
        place: `module:function` there.
        key: Where in project.yaml it is named, for messages.
        title: What it is, such as `source`.
        form: Its signature and what it returns.
        alternative: What can be done in its place, for messages.
    """

    folder: Path
    place: str
    key: str
    title: str
    form: str
    alternative: str = ""

    @property
    def path(self) -> Path:
        """The file that defines it."""
        return self.folder / f"{self.place.split(':')[0]}.py"

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        return f"{self.path.resolve()}:{self.place.split(':')[1]}"

    def __call__(self, *arguments: Any) -> Any:
        """Run the file, and call the function.

        Raises:
            InputError: There is no such function, or it fails.
        """
        # It is run from its text, so that no byte code appears in the user's folder, and under a name of its
        # own for as long as it runs, because dataclasses and pickles look their module up.
        module = types.ModuleType(f"mulgil_project_{uuid.uuid4().hex}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        try:
            exec(compile(self._read(), str(self.path), "exec"), module.__dict__)
            return self._find(module)(*arguments)
        except MulgilError:
            raise
        except Exception as exc:
            raise self._failure(exc) from exc
        finally:
            del sys.modules[module.__name__]

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as exc:
            raise InputError(
                describe(
                    f"The project's own {self.title} cannot be read: {exc.strerror}",
                    expected=f"the file that `{self.key}` in project.yaml names",
                    received=str(self.path),
                )
            ) from exc

    def _find(self, module: types.ModuleType) -> Callable[..., Any]:
        function: Callable[..., Any] | None = getattr(module, self.place.split(":")[1], None)
        if not callable(function):
            raise InputError(
                describe(
                    f"There is no function {self.location}",
                    expected=self.form,
                    next_step=f"correct `{self.key}` in project.yaml",
                )
            )
        return function

    def _failure(self, exc: Exception) -> InputError:
        alternative = f", or {self.alternative}" if self.alternative else ""
        remedy = f"correct {self.path.name}{alternative}"
        if isinstance(exc, FileNotFoundError):
            # A run reads a copy of the project, of which no data is a part.
            remedy = (
                f"in {self.path.name}, name other files by absolute path or URL: "
                "a run has a copy of its Python alone"
            )
        frames = traceback.extract_tb(exc.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(self.path)]
        return InputError(
            describe(
                f"The project's own {self.title} failed: {self.location}",
                received=f"{type(exc).__name__}: {exc}" + (f" (line {lines[-1]})" if lines else ""),
                next_step=remedy,
            )
        )
