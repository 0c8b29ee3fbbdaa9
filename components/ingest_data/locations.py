"""Bringing what is at a path or a URL to files of this machine."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import httpx

from components.ingest_data.unreadable import describe_unreadable
from mulgil.contract.sources import files_at
from mulgil.contract.spans import explain_spans, gather_spans, has_spans, pattern_of
from mulgil.errors import InputError, MulgilError, TemporaryError, describe
from mulgil.full_disk import as_full_disk

# Chosen by eye: a server that says nothing for so long is taken to be down. It bounds every wait for bytes,
# not the whole download.
TIMEOUT_SECONDS = 30.0

# Answers after which the same request may succeed later.
_TEMPORARY_STATUSES = {408, 425, 429}

# What fsspec fetches, where the package that it names is installed.
STORES = {"s3", "gs", "gcs", "az", "abfs", "memory"}
# Of Python, botocore and aiohttp, by their names: which of them is installed is the user's matter.
_UNREACHED = {"ConnectionError", "HTTPClientError", "ClientConnectionError"}

_ANOTHER_FILE = "or give the file itself: --source PATH"


def is_url(location: str) -> bool:
    """Whether a location names a scheme, and so is not a path."""
    return "://" in location


def resolve(location: str, base: Path) -> str:
    """Return a location that means the same wherever it is read: a URL, or an absolute path."""
    return location if is_url(location) else str((base / location).resolve())


def fetch_location(
    location: str,
    folder: Path,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[Path]:
    """Return the files of a resolved location.

    Args:
        location: A path, a pattern, or a URL.
        folder: Where a download goes.
        timeout_seconds: How long a server may say nothing.

    Raises:
        InputError: There is no such thing, or it cannot be read.
        TemporaryError: The server did not answer, broke off, or said to come again.
    """
    wrong = explain_spans(location)
    if wrong is not None:
        raise InputError(describe("The source cannot be read in spans", expected=wrong))
    scheme = location.partition("://")[0] if is_url(location) else ""
    if scheme in STORES:
        return _copy(location, folder)
    if scheme:
        return [download(location, folder / "downloaded", timeout_seconds)]
    path = Path(location)
    files = files_at(path)
    for file in files or [path]:
        _require_file(file)
    return files


def _copy(url: str, folder: Path) -> list[Path]:
    """Copy what an object store has under a name or a pattern."""
    with open_store(url) as (store, name):
        if has_spans(name):
            spans, _ = gather_spans(name, store.glob(pattern_of(name)))
            names = [file for span in spans for file in span.files]
        else:
            names = store.glob(name) if glob.has_magic(name) else [name]
        names = [f for n in sorted(names) for f in (sorted(store.find(n)) if store.isdir(n) else [n])]
        if not names:
            raise FileNotFoundError(url)
        return copy_names(store, names, folder)


def copy_names(store: Any, names: Sequence[str], folder: Path) -> list[Path]:
    """Copy objects of a store, each into a folder of its own: it keeps the name that messages speak of."""
    files = [folder / f"{place:06}" / PurePosixPath(name).name for place, name in enumerate(names)]
    for name, file in zip(names, files, strict=True):
        file.parent.mkdir(parents=True)
        store.get_file(name, str(file))
    return files


@contextlib.contextmanager
def open_store(url: str) -> Iterator[tuple[Any, str]]:
    """Give the object store behind a URL, and the name there; what it raises becomes an error in words.

    Raises:
        InputError: It has no such thing, or does not give it to us.
        TemporaryError: It cannot be reached.
    """
    try:
        yield fsspec.core.url_to_fs(url)
    except MulgilError:
        raise
    # Each store's client has exceptions of its own, of which this module cannot know.
    except Exception as exc:
        if as_full_disk(exc):
            raise
        if isinstance(exc, TimeoutError) or _UNREACHED & {kind.__name__ for kind in type(exc).__mro__}:
            raise TemporaryError(
                describe(
                    f"The source's store cannot be reached: {exc}", received=url, next_step="run again later"
                )
            ) from exc
        raise InputError(
            describe(
                f"The source cannot be fetched: {exc}",
                expected="an object that is there, with credentials for it in the environment",
                received=url,
            )
        ) from exc


def _require_file(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as exc:
        raise describe_unreadable(str(path), exc) from exc


def download(url: str, path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Path:
    """Fetch what a web server has at an address.

    Raises:
        InputError: There is no such thing.
        TemporaryError: The server did not answer, broke off, or said to come again.
    """
    # Of a broken download httpx knows, where the server said how long it is.
    with (
        reached(url, timeout_seconds),
        httpx.stream("GET", url, timeout=timeout_seconds, follow_redirects=True) as response,
    ):
        require_success(response, url)
        with path.open("wb") as file:
            for part in response.iter_bytes():
                file.write(part)
    return path


@contextlib.contextmanager
def reached(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[None]:
    """Say in words why a web server was not reached.

    Raises:
        InputError: It is no address of one.
        TemporaryError: It did not answer, or broke off.
    """
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        raise InputError(
            describe(
                f"The source cannot be fetched: {exc}",
                expected="a path, or a URL that begins with http:// or https://",
                received=url,
            )
        ) from exc
    except httpx.TimeoutException as exc:
        raise TemporaryError(
            describe(
                f"The source's server did not answer within {timeout_seconds:g} s",
                received=url,
                next_step=f"run again, {_ANOTHER_FILE}",
            )
        ) from exc
    except httpx.HTTPError as exc:
        raise TemporaryError(
            describe(
                f"The source's server cannot be reached: {exc}",
                received=url,
                next_step=f"check the network and run again, {_ANOTHER_FILE}",
            )
        ) from exc


def require_success(response: httpx.Response, url: str) -> None:
    """Say in words what a web server answered instead of success.

    Raises:
        InputError: There is no such thing, or not for us.
        TemporaryError: It said to come again.
    """
    if response.is_success:
        return
    answer = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_server_error or response.status_code in _TEMPORARY_STATUSES:
        raise TemporaryError(
            describe(
                f"The source's server answered {answer}",
                received=url,
                next_step=f"run again later, {_ANOTHER_FILE}",
            )
        )
    raise InputError(
        describe(
            f"The source's server answered {answer}",
            expected="200 OK",
            received=url,
            next_step=f"correct `source.location` in project.yaml, {_ANOTHER_FILE}",
        )
    )
