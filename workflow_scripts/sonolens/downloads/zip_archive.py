"""A zip archive, behind a link or on the disk, of which single members are taken."""

import bisect
import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from sonolens.downloads import disk, faults, zip_checks
from sonolens.jobs import progress

PIECE_BYTES = 1 << 16
INCOMING = ".incoming"  # under the dataset's folder
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)

Extents = list[tuple[int, int]]


class ZipArchive:
    """Over an open file. `announce` is told which bytes of it are read next.

    Raises DownloadError if it is no zip archive, or has anything in it that could do harm.
    """

    def __init__(self, file: BinaryIO, wanted: dict, folder: Path, announce: Callable[[Extents], None] | None = None):
        self._wanted, self._folder = wanted, folder
        self._announce = announce or (lambda extents: None)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
            raise faults.is_no_archive(wanted, error) from error
        zip_checks.refuse_hostile(self._zip, wanted)
        self._infos = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        self._ends = sorted({*(info.header_offset for info in self._zip.infolist()), self._zip.start_dir})
        self.members = {name: info.file_size for name, info in self._infos.items()}

    def read(self, name: str) -> bytes:
        """A small member, its checksum verified. Raises DownloadError if it is not there or damaged."""
        [info] = self._known([name])
        self._announce([self._extent(info)])
        return self._taken(info, lambda: _whole(self._zip.read(info), info))

    def extract(self, targets: dict[str, str]) -> dict[str, Path]:
        """Put members at paths relative to the dataset's folder; where each of them lies.

        What is there with the right size and checksum is left alone. Raises DownloadError for a member that is not
        there or damaged, OSError if the disk is too small for all that are missing.
        """
        infos = dict(zip(targets, self._known(targets), strict=True))
        paths = {name: self._folder / _inside(target) for name, target in targets.items()}
        missing = [info for name, info in infos.items() if not _is_right(paths[name], info)]
        missing.sort(key=lambda info: info.header_offset)
        n_bytes = sum(info.file_size for info in missing)
        with self._temporary() as temporary:
            disk.refuse_small(self._folder, self._wanted["name"], n_bytes)
            self._announce([self._extent(info) for info in missing])
            with progress.of_bytes(self._wanted["name"], n_bytes) as bar:
                for info in missing:
                    with disk.making_room(self._folder, info.filename, lambda: temporary.unlink(missing_ok=True)):
                        self._taken(info, lambda info=info: self._unpack(info, temporary, bar))
                        disk.becomes(temporary, paths[info.filename])
        return {name: path.absolute() for name, path in paths.items()}

    def _known(self, names: object) -> list[zipfile.ZipInfo]:
        unknown = [name for name in names if name not in self._infos]
        if unknown:
            raise faults.has_no_member(self._wanted, unknown)
        return [self._infos[name] for name in names]

    def _extent(self, info: zipfile.ZipInfo) -> tuple[int, int]:
        """From its header to where the next one's begins."""
        return info.header_offset, self._ends[bisect.bisect_right(self._ends, info.header_offset)]

    def _taken(self, info: zipfile.ZipInfo, take: Callable[[], bytes | None]) -> bytes | None:
        """What `take` gives. What came damaged over a network may come right a second time."""
        try:
            return take()
        except DAMAGE:
            try:
                return take()
            except DAMAGE as error:
                raise faults.is_damaged(self._wanted, info.filename, error) from error

    def _unpack(self, info: zipfile.ZipInfo, path: Path, bar: tqdm) -> None:
        """Write a member to `path`. Its checksum is compared by zipfile once it is read to its end."""
        n_written = 0
        try:
            with self._zip.open(info) as member, path.open("wb") as file:
                while piece := member.read(PIECE_BYTES):
                    file.write(piece)
                    bar.update(len(piece))
                    n_written += len(piece)
        except DAMAGE:
            bar.update(-n_written)
            raise
        _refuse_other_size(n_written, info)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Where a member is written before it has its name; what a killed process left there goes too."""
        folder = self._folder / INCOMING
        path = folder / "member"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    """Where archives and members arrive, once none is there any more."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _inside(target: str) -> str:
    if reason := zip_checks.why_no_path(target):
        raise ValueError(f"a member cannot be put at {target!r}: it {reason}")
    return target


def _whole(content: bytes, info: zipfile.ZipInfo) -> bytes:
    _refuse_other_size(len(content), info)
    return content


def _refuse_other_size(n_bytes: int, info: zipfile.ZipInfo) -> None:
    """zipfile gives no more than the directory says, but it may give less."""
    if n_bytes != info.file_size:
        raise zipfile.BadZipFile(f"{n_bytes} bytes, not {info.file_size}")


def _is_right(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a member is there already, by size and CRC-32."""
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc == info.CRC
