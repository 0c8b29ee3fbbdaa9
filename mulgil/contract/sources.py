"""Where a project's rows come from, how the bytes there are read, and how the rows are divided."""

from __future__ import annotations

import codecs
import re
from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mulgil.contract.dictionary import Contract
from mulgil.contract.learning import Ratio, Seed
from mulgil.contract.queries import QueryWindow, explain_bounds
from mulgil.contract.spans import (
    FileWindow,
    Span,
    Window,
    explain_spans,
    gather_spans,
    has_spans,
    is_on_web,
    pattern_of,
)

Location = Annotated[
    str,
    Field(
        min_length=1,
        description="A path, relative to the project folder, or a URL (HTTP(S), or s3:// and gs:// through "
        "fsspec). A folder, or a path with * in it, is several files as one table; {date}, {year}, {month}, "
        "{day}, {span} and {version} in it stand for spans, of which each is read once.",
    ),
]
# A password that stands in a URL: user, colon, password, at.
_PASSWORD = re.compile(r"://[^/@]*:(?!\$\{)[^/@]+@")


class RowsSource(Contract):
    """Rows of a table, wherever they come from."""

    repeated_rows: Literal["drop", "keep"] = Field(
        default="drop",
        description="Whether a row that is like an earlier one in every column is taken for its copy and "
        "dropped, or kept as another thing that happens to be alike, as where columns have few values. Of "
        "spans, which may overlap, none is kept.",
    )

    @model_validator(mode="after")
    def _keeps_none_in_spans(self) -> Self:
        if keeps_repeated(self) and is_in_spans(self):
            raise ValueError(explain_keeping_in_spans())
        return self


class FilesSource(Contract):
    """Files, which may come in spans."""

    kind: str
    location: Location
    spans: FileWindow | None = Field(
        default=None,
        description="Which spans are read, where the location has placeholders; all if not given.",
    )

    @model_validator(mode="after")
    def _names_spans_in_one_way(self) -> Self:
        wrong = explain_spans(self.location, self.spans)
        if wrong is None and self.spans is not None and not has_spans(self.location):
            wrong = (
                f"`spans` goes with a location such as rows/{{date}}.csv; received location={self.location}"
            )
        if wrong is not None:
            raise ValueError(wrong)
        return self


class TableSource(FilesSource, RowsSource):
    """Rows of a table in files."""


class CsvSource(TableSource):
    """Rows in a delimited text file."""

    kind: Literal["csv"]
    delimiter: str = Field(default=",", pattern=r'^[^\r\n"]$', description="The one sign between two cells.")
    quote: str = Field(default='"', pattern=r"^[^\r\n]$", description="The sign around a quoted cell.")
    decimal: Literal[".", ","] = Field(default=".", description="The sign before a number's fraction.")
    encoding: str = Field(
        default="utf-8", description="Of the text, such as utf-8, utf-16, latin-1 or cp1252."
    )
    header: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="The columns, where the file itself has no header line; one that it has goes before.",
    )
    missing_values: tuple[str, ...] = Field(
        default=("",), description="Cells that stand for a missing value."
    )

    @field_validator("header")
    @classmethod
    def _names_each_column_once(cls, header: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in header or () if (header or ()).count(name) > 1})
        if twice:
            raise ValueError(f"each column stands once; twice here: {', '.join(twice)}")
        return header

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding_of_text(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
            "".encode(encoding)
        except (LookupError, UnicodeError) as exc:
            raise ValueError(
                f"expected an encoding that Python knows, such as utf-8 or cp1252; received {encoding}"
            ) from exc
        return encoding


class ParquetSource(TableSource):
    """Rows in a Parquet file."""

    kind: Literal["parquet"]


class JsonLinesSource(TableSource):
    """Rows in a text file with a JSON object a line."""

    kind: Literal["json_lines"]


class SqlSource(RowsSource):
    """Rows that a database gives for a query."""

    kind: Literal["sql"]
    url: str = Field(
        pattern=r"^[a-z0-9+]+://",
        description="As SQLAlchemy has it, such as sqlite:///rows.db; ${NAME} is taken from the environment.",
    )
    query: str = Field(
        pattern=r"^(?i:\s*(select|with|values)\b)",
        description="The SELECT that gives the rows; their columns are the dictionary's. Where it is read in "
        "spans, :span_begin and :span_end stand in it for a span's first day and the day after its last.",
    )
    spans: QueryWindow | None = Field(
        default=None, description="By which periods the query is asked; at once, if not given."
    )

    @field_validator("url")
    @classmethod
    def _keeps_no_secret(cls, url: str) -> str:
        if _PASSWORD.search(url):
            raise ValueError(
                "a password does not stand in a file; expected a name of the environment in its place, as in "
                "postgresql://user:${PASSWORD}@host/base"
            )
        return url

    @model_validator(mode="after")
    def _is_asked_by_its_bounds(self) -> Self:
        is_mysql = self.url.startswith(("mysql", "mariadb"))
        wrong = explain_bounds(self.query, self.spans, is_mysql=is_mysql)
        if wrong is not None:
            raise ValueError(wrong)
        return self


class PythonSource(RowsSource):
    """Rows from a function of the project folder."""

    kind: Literal["python"]
    function: str = Field(
        pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$",
        description="`module:function` in the project folder; it returns a pandas DataFrame.",
    )


class ImageFolderSource(FilesSource):
    """Images in folders by class: a table of `path`, `label` (the first folder on it) and `image`.

    In spans each is a folder with the classes' folders in it. Its own folder begins a path, and is no label.
    """

    kind: Literal["image_folder"]

    @model_validator(mode="after")
    def _has_folders_for_spans(self) -> Self:
        if has_spans(self.location) and (is_on_web(self.location) or re.search(r"[*?]", self.location)):
            raise ValueError(
                "spans of images are folders, with a folder for each class in each; expected a location such "
                f"as photos/{{date}}, on this machine or in an object store; received {self.location}"
            )
        return self


FileSource = CsvSource | ParquetSource | JsonLinesSource
Source = Annotated[FileSource | ImageFolderSource | SqlSource | PythonSource, Field(discriminator="kind")]


def is_in_spans(source: Contract) -> bool:
    """Whether a source comes in spans."""
    match source:
        case FilesSource():
            return has_spans(source.location)
        case SqlSource():
            return source.spans is not None
    return False


def keeps_repeated(source: Contract) -> bool:
    """Whether rows that are like an earlier one in every column are kept."""
    return isinstance(source, RowsSource) and source.repeated_rows == "keep"


def explain_keeping_in_spans() -> str:
    """Say why a source in spans keeps no repeated rows."""
    return (
        "a row that an earlier span has too counts once, so that days may overlap; `repeated_rows: keep` "
        "goes with no spans. Where rows that are alike are other things, tell them apart by a key or a time"
    )


def files_at(path: Path, window: Window | None = None) -> list[Path]:
    """Return the files of an absolute location, in order: itself, a folder's, those of a pattern or of spans.

    Args:
        path: The location.
        window: Which of its spans are meant, if it has any; all if not given.

    Raises:
        InputError: A span's file has a date that is none.
    """
    if path.is_file():
        return [path]
    if has_spans(str(path)):
        spans, _ = spans_at(path)
        return [Path(file) for span in (window or Window()).choose(spans) for file in span.files]
    try:
        # A pattern begins at the root of the path, which is absolute.
        found = list(
            path.iterdir() if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        )
    except ValueError:
        # Such as a**b, which is no pattern.
        return []
    return sorted(file for file in found if file.is_file() and not file.name.startswith((".", "_")))


def spans_at(path: Path) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """Return the spans of an absolute location with placeholders, the oldest first, and what is of none."""
    pattern = Path(pattern_of(str(path)))
    # A span may be a folder.
    found = [*files_at(pattern), *files_at(pattern / "*")]
    return gather_spans(str(path), map(str, found))


def image_spans_at(path: Path) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """Return the spans of an absolute location whose spans are folders of images, and what is of none."""
    pattern = pattern_of(str(path.relative_to(path.anchor)))
    folders = [folder for folder in Path(path.anchor).glob(pattern) if folder.is_dir()]
    return gather_spans(str(path), [str(file) for folder in folders for file in images_in(folder)])


def images_at(path: Path, window: Window | None = None) -> list[Path]:
    """Return the images of an absolute location, in order: those of a folder, or of its spans in a window."""
    if has_spans(str(path)):
        spans, _ = image_spans_at(path)
        return [Path(file) for span in (window or Window()).choose(spans) for file in span.files]
    return images_in(path) if path.is_dir() else []


def images_in(folder: Path) -> list[Path]:
    """Return the files of a folder of images and of all folders in it, in order."""
    return sorted(
        file for file in folder.rglob("*") if file.is_file() and not is_hidden(file.relative_to(folder))
    )


def is_hidden(path: PurePath) -> bool:
    """Whether a file of a folder of images is none of them: it, or a folder on its path there, is hidden."""
    return any(part.startswith(".") for part in path.parts)


class Split(Contract):
    """How rows are divided. The remainder after test and validation trains."""

    kind: Literal["random", "stratified", "group", "time", "predefined"] = Field(
        default="stratified",
        description="Stratified keeps the target's shares in every split. Group keeps all rows of an entity "
        "in one, and there when the table grows. Time tests on the latest rows and validates on those "
        "before them. Predefined goes by a column.",
    )
    column: str | None = Field(
        default=None, description="With kind predefined: the column that says train, validation or test."
    )
    test_ratio: Ratio = Field(default=0.2, description="Share of the rows looked at once, at the end.")
    validation_ratio: Ratio = Field(default=0.2, description="Share of the rows that choices are made on.")
    seed: Seed = Field(default=0, description="Of the shuffle.")

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> Self:
        if self.test_ratio + self.validation_ratio >= 0.9:
            raise ValueError(
                "at least a tenth of the rows trains; received "
                f"test_ratio={self.test_ratio} validation_ratio={self.validation_ratio}"
            )
        if (self.kind == "predefined") != (self.column is not None):
            raise ValueError(
                f"`column` goes with kind=predefined, and is needed there; received kind={self.kind} "
                f"column={self.column}"
            )
        return self
