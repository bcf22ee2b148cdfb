"""What a dataset's module hands over: the files there are, and what each of them is.

A dataset is a module of this folder with a card beside it. It offers two functions:

`fetch(folder, options, supply) -> DataFrame` puts the data under `folder`, or only looks at data that lie elsewhere,
and returns what there is (FILES).
`index(folder, files, options) -> DataFrame` returns what each file is (CANDIDATES), before anything is checked;
`candidates` below does it where the rows of FILES say all.

Released files reach `fetch` through its Supply: a module does not import `sonolens.downloads`, so that an edit to how
files are fetched makes no data stale.
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import pandas as pd
import pyarrow as pa

from sonolens import plugins, tables

# What fetch returns and files.parquet holds. Text columns are '' where nothing is known.
FILES = pa.schema(
    [
        ("path", pa.string()),  # relative to the dataset's folder under resources/, or absolute for a user's own
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),  # time of change; 0 where it says nothing
        ("sha256", pa.string()),  # '' where the file was listed, not read
        ("group", pa.string()),
        ("kind", pa.string()),
        ("instrument", pa.string()),
        ("split", pa.string()),  # '' where it is to be drawn
        ("truth_f0_path", pa.string()),  # as path
        ("truth_notes_path", pa.string()),
        ("left_out", pa.string()),  # why it is not used although the copy is right: a known defect, no audio
    ]
)
# What index returns: columns of FILES, a stem unique in the dataset, and `problem` where a file cannot be used, None
# elsewhere. Too many problems are an error (max_rejected_share); what is left out is listed and does not count.
CANDIDATES = (
    "stem", "path", "group", "kind", "instrument", "split", "truth_f0_path", "truth_notes_path", "left_out", "problem",
)  # fmt: skip


class Making(NamedTuple):
    """What `fetch` works with where nothing is released: a corpus that is rendered, a folder that is listed."""

    seed: int
    n_workers: int  # processes at most


class Zip(Protocol):
    """A zip archive, wherever it lies; of one behind a link only what is asked for is fetched."""

    members: dict[str, int]  # name: size in bytes; files only, in the archive's order

    def read(self, name: str) -> bytes:
        """A small member, its checksum verified."""

    def extract(self, targets: dict[str, str]) -> dict[str, Path]:
        """Put members at paths relative to the dataset's folder, verified; where each of them lies now.

        What is there already is left alone. Where the archive's extracted folder stands in for it nothing is copied.
        """


class TarMember(Protocol):
    """A file in a tar archive that is being read."""

    name: str
    n_bytes: int

    def read(self) -> bytes:
        """Its content, if it is small."""

    def save(self, target: str) -> Path:
        """Put it at a path relative to the dataset's folder; where it lies now."""


class Tar(Protocol):
    """A tar archive that is read from its beginning, and left as soon as there is enough."""

    state: object  # handed to the last `mark`, by an earlier process maybe; None at first
    is_whole: bool  # read to its end, and its sum verified

    def __iter__(self) -> Iterator[TarMember]:
        """Its files, from the last mark on."""

    def mark(self, state: object) -> None:
        """What came before the file in hand is dealt with: a later process begins with that one, and is given `state`
        (plain JSON). Behind the last file there is nothing more.
        """

    def forget(self) -> None:
        """Begin at the first file again."""


class Supply(Protocol):
    """What `fetch` works with where files are released. Their names are those of the card's `files`."""

    seed: int
    splits: dict[str, float]  # share of train, validation and test

    def say(self, text: str) -> None:
        """A line in the job's log."""

    def note(self, event: str, text: str) -> None:
        """An event in the job's life: what a person should learn of."""

    def reserve(self, n_bytes: int) -> None:
        """Raise OSError, before anything is fetched, if the disk has no room for so much."""

    def file(self, name: str, md5: str | None = None) -> Path:
        """A released file as a whole, verified."""

    def zip(self, name: str) -> AbstractContextManager[Zip]:
        """A released zip archive."""

    def tar(self, name: str, md5: str | None = None) -> AbstractContextManager[Tar]:
        """A released tar archive."""


def from_rows(rows: list[dict]) -> pd.DataFrame:
    """A table of FILES; text that a row does not give is '', a number 0."""
    empty = {field.name: "" if field.type == pa.string() else 0 for field in FILES}
    return pd.DataFrame([empty | row for row in rows], columns=FILES.names)


def as_listed(folder: Path, path: Path) -> str:
    """A path as FILES has it: relative to the dataset's folder, or absolute for what lies elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def arrived(folder: Path, path: Path) -> dict:
    """Path, size and checksum of a file that was fetched, for its row of FILES."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": as_listed(folder.absolute(), path), "size_bytes": path.stat().st_size, "sha256": sha256}


def candidates(folder: Path, files: pd.DataFrame) -> pd.DataFrame:
    """Rows of FILES as CANDIDATES: absolute paths, and the path without its suffix as the stem."""
    rows = files.drop(columns=["size_bytes", "modified_ns", "sha256"])
    rows["stem"] = [PurePosixPath(path).with_suffix("").as_posix() for path in rows["path"]]
    rows["problem"] = None
    for column in ("path", "truth_f0_path", "truth_notes_path"):
        rows[column] = [str(folder / path) if path else "" for path in rows[column]]
    return rows


def fetch(module: str, path: str | Path, options: dict, supply: Supply | Making) -> None:
    """Fetch a dataset into the folder of `path`, and list its files there."""
    path = Path(path)
    files = plugins.load("datasets", module).fetch(path.parent, options, supply)
    tables.write(files, path, FILES)
