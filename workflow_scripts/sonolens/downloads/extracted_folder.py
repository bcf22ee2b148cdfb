"""The folder that an archive was extracted to, in the place of the archive: its files are the user's own, and stay."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sonolens.downloads import faults, zip_checks


class ExtractedFolder:
    """What zip_archive.ZipArchive is over an archive. The folder may begin at the archive's root or within its topmost
    folder: a member top/name is looked for under both names.
    """

    def __init__(self, wanted: dict, say: Callable[[str], None]):
        self._wanted, self._root = wanted, Path(wanted["source"]).absolute()
        say(
            f"{wanted['name']}: its members are taken from the folder {self._root}. Whether they are those released "
            "cannot be checked there: only the archive has their checksums"
        )

    @cached_property
    def members(self) -> "_Members":
        """Every file: its name and its size in bytes."""
        files = sorted(path for path in self._root.rglob("*") if path.is_file())
        return _Members({path.relative_to(self._root).as_posix(): path.stat().st_size for path in files})

    def read(self, name: str) -> bytes:
        """The content of a member. Raises DownloadError if it is not there."""
        return self.extract({name: name})[name].read_bytes()

    def extract(self, targets: dict[str, str]) -> dict[str, Path]:
        """Where each member lies; nothing is copied. Raises DownloadError, naming them, if some are not there."""
        found = {name: self._path(name) for name in targets}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise faults.has_no_member(self._wanted, missing)
        return found

    def _path(self, name: str) -> Path | None:
        if reason := zip_checks.why_no_path(name):
            raise faults.is_hostile(self._wanted, name, reason)
        return next((path for path in (self._root / form for form in _forms(name)) if path.is_file()), None)


class _Members(dict):
    """Under a name with the archive's topmost folder as well, where the files lie without it."""

    def __contains__(self, name: object) -> bool:
        return any(dict.__contains__(self, form) for form in _forms(name))

    def __missing__(self, name: str) -> int:
        for form in _forms(name):
            if dict.__contains__(self, form):
                return dict.__getitem__(self, form)
        raise KeyError(name)


def _forms(name: str) -> Iterator[str]:
    """How a member may be called here: by its whole name, or without the first folder of it."""
    yield name
    if len(inner := PurePosixPath(name).parts[1:]):
        yield PurePosixPath(*inner).as_posix()


class ExtractedTar:
    """What tar_stream.TarArchive is over an archive. Nothing has to be fetched again, so there is nothing to mark."""

    state, is_whole = None, False

    def __init__(self, wanted: dict, say: Callable[[str], None]):
        self._folder = ExtractedFolder(wanted, say)

    def __iter__(self) -> Iterator["FileInFolder"]:
        for name, n_bytes in self._folder.members.items():
            yield FileInFolder(name, n_bytes, self._folder.extract({name: name})[name])

    def mark(self, state: object) -> None:
        """Nothing to do."""

    def forget(self) -> None:
        """Nothing to do."""


class FileInFolder(NamedTuple):
    """A file where it lies."""

    name: str
    n_bytes: int
    path: Path

    def read(self) -> bytes:
        """Its content."""
        return self.path.read_bytes()

    def save(self, target: str) -> Path:
        """Where it lies: nothing is copied."""
        return self.path
