"""The InferenceServices in a folder of a Git repository, a file each; Git's own program commits them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from mulgil.artifacts import write_text
from mulgil.errors import InputError, PermanentError, TemporaryError, describe
from mulgil.rollout.releases import Manifest, keep_foreign_metadata

_PATIENCE_SECONDS = 120.0


class ManifestRepository:
    """A folder of a Git repository's work tree.

    Args:
        folder: Where the files are; it is made where it does not exist within the repository.
        is_pushed: Whether each commit goes to the branch's upstream.

    Raises:
        InputError: It is not in a repository.
        PermanentError: There is no Git.
    """

    def __init__(self, folder: Path, *, is_pushed: bool = False) -> None:
        self.folder = folder.resolve()
        self.is_pushed = is_pushed
        # What this process committed last, by file: a rollout asks for the same again at each look.
        self._done: dict[Path, Manifest] = {}
        if shutil.which("git") is None:
            raise PermanentError(describe("There is no program `git` here", next_step="install Git"))
        nearest = next(place for place in (self.folder, *self.folder.parents) if place.is_dir())
        if self._git("rev-parse", "--is-inside-work-tree", cwd=nearest).returncode:
            raise InputError(
                describe(
                    f"{self.folder} is in no Git repository",
                    expected="a folder of a clone",
                    next_step="clone what Argo CD or Flux follows, and name a folder of it",
                )
            )

    def path(self, name: str, namespace: str) -> Path:
        """Return an object's file."""
        return self.folder / f"{namespace}-{name}.yaml"

    def read(self, name: str, namespace: str) -> Manifest | None:
        """Return an object as its file has it; `None` where there is none.

        Raises:
            InputError: The file is not that object's.
        """
        path = self.path(name, namespace)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except yaml.YAMLError as exc:
            raise InputError(describe(f"{path} is not YAML", received=str(exc))) from exc
        if not isinstance(content, dict) or content.get("kind") != "InferenceService":
            raise InputError(
                describe(
                    f"{path} is not the InferenceService {name}", expected="that object alone in its file"
                )
            )
        return content

    def commit(self, manifest: Manifest, subject: str) -> bool:
        """Make a file say what an object is to be, and commit that file alone.

        Args:
            manifest: The object. Labels and annotations of others that the file has stay there.
            subject: Of the commit.

        Returns:
            Whether there was anything to commit.

        Raises:
            PermanentError: Git refuses.
            TemporaryError: The upstream does not take it, and a later try may do.
        """
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        path, there = self.path(name, namespace), self.read(name, namespace)
        wanted = manifest if there is None else keep_foreign_metadata(there, manifest)
        if wanted == there == self._done.get(path):
            return False
        if wanted != there:
            write_text(path, yaml.safe_dump(wanted, sort_keys=False))
        self._must("add", "--", str(path))
        # One that was killed between the writing and the commit left only the commit to do.
        is_changed = bool(self._must("status", "--porcelain", "--", str(path)).stdout)
        if is_changed:
            self._must("commit", "--quiet", "--only", "--message", subject, "--", str(path))
        if self.is_pushed:
            self._push()
        self._done[path] = wanted
        return is_changed

    def _push(self) -> None:
        if self._git("push", "--quiet").returncode == 0:
            return
        # Somebody pushed meanwhile: ours goes on top, and is tried once more.
        self._must("pull", "--quiet", "--rebase", "--autostash", is_passing=True)
        self._must("push", "--quiet", is_passing=True)

    def _must(self, *words: str, is_passing: bool = False) -> subprocess.CompletedProcess[str]:
        done = self._git(*words)
        if done.returncode:
            raise (TemporaryError if is_passing else PermanentError)(
                describe(
                    f"git {words[0]} fails in {self.folder}", received=(done.stderr or done.stdout).strip()
                )
            )
        return done

    def _git(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *words],
                cwd=cwd or self.folder,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired as exc:
            raise TemporaryError(describe(f"git {words[0]} does not end", received=str(self.folder))) from exc
