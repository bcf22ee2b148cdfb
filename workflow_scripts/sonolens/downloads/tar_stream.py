"""A tar.bz2 archive that is read as it arrives and left as soon as there is enough; it never lies on the disk.

What has been dealt with is marked: a later process begins at the block behind it. A mark is of the archive, not of the
mirror that it came from.
"""

import contextlib
import hashlib
import io
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from sonolens.downloads import bzip2_blocks, disk, faults, zip_checks
from sonolens.downloads.bzip2_blocks import BEGINNING, Place
from sonolens.downloads.checking import Sums, verify
from sonolens.downloads.partial import Version
from sonolens.downloads.zip_archive import INCOMING
from sonolens.files import read_json, remove_temporaries, write_json
from sonolens.jobs import life, progress

MARKS = ".marks"  # under the dataset's folder
SMALL_BYTES, LARGEST_BYTES = 64 << 20, 4 << 30  # of a member that is read into memory, and of any
PIECE_BYTES = 1 << 18
LARGEST_HEADER_BYTES = 1 << 20  # of a long name and the like, which tarfile takes into memory at once
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
# What bytes that are no archive raise: a number that is none, a chain of headers without end
UNREADABLE = (bzip2_blocks.Damaged, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
LARGEST_RATIO, RATIO_COUNTS_FROM_BYTES = 200, 100 << 20  # of what came out to what went in; music reaches 3


class Mark(NamedTuple):
    """How far an archive has been dealt with."""

    state: object  # of whoever deals with it
    source: str  # where the archive came from
    validator: str | None  # what its server said of it: another one is another archive; None if it said nothing
    n_bytes: int  # of the archive, likewise
    bit: int  # where the block begins in which the next member does
    level: int
    crc: int  # of that block, likewise
    skip: int  # decoded bytes of that block before it
    offset: int  # of the next member in the decoded archive
    is_over: bool  # there is no next one


class TarArchive:
    """Over an open file, whose version has its length. What is not a plain file in it is refused.

    That no file is there twice is seen among those that this process reads.
    """

    def __init__(self, file: BinaryIO, version: Version, wanted: dict, folder: Path, say: Callable[[str], None]):
        self._file, self._version, self._wanted, self._folder, self._say = file, version, wanted, folder, say
        self._decoded: _Decoded | None = None
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._mark_path = mark_path(folder, wanted)
        remove_temporaries([self._mark_path])  # of a process that was killed while it marked
        self._mark = self._read_mark()
        self.is_whole = False

    @property
    def state(self) -> object:
        """What was handed to the last mark; None at first."""
        return self._mark.state if self._mark else None

    def mark(self, state: object) -> None:
        """What came before the member in hand is dealt with; a later process begins with that one."""
        if self._decoded is None:
            self._mark = self._start()._replace(state=state)
        else:
            place, skip = self._decoded.place_of(self._at)
            is_over = self._at is None
            self._mark = Mark(state, self._wanted["source"], *self._version, *place, skip, self._at or 0, is_over)
        write_json(self._mark_path, self._mark._asdict())

    def forget(self) -> None:
        """Begin at the first member again."""
        self._mark_path.unlink(missing_ok=True)
        self._mark = None

    def __iter__(self) -> Iterator["Member"]:
        start, n_bytes = self._start(), self._version.n_bytes
        place = Place(start.bit, start.level, start.crc)
        self._decoded = _Decoded(self._file, self._wanted, place, start.offset, start.skip)
        self._at = None if start.is_over else start.offset
        if start.is_over:
            return
        if start.offset:
            self._say(f"going on behind what is dealt with, at {start.bit / 8e6:.1f} MB of {n_bytes / 1e6:.1f}")
        with progress.of_bytes(self._wanted["name"], n_bytes, start.bit // 8) as bar, _named(self._wanted):
            with tarfile.open(fileobj=self._decoded, mode="r|", bufsize=PIECE_BYTES, tarinfo=_Header) as archive:
                for info in archive:
                    bar.update(self._decoded.n_taken - bar.n)
                    self._at = start.offset + info.offset
                    self._decoded.forget(self._at)
                    if self._is_file(info):
                        yield Member(info, archive, self._wanted, self._folder)
            self._check_end(is_from_beginning=start.offset == 0)
        self._at = None

    def _start(self) -> Mark:
        """Where to begin."""
        return self._mark or Mark(None, self._wanted["source"], *self._version, *BEGINNING, 0, 0, False)

    def _is_file(self, info: tarfile.TarInfo) -> bool:
        """Whether a member is a file, not a folder. Raises DownloadError for what an honest archive does not have."""
        reason = zip_checks.why_no_path(info.name)
        if not reason and not (info.isdir() or (info.isreg() and not info.issparse())):
            reason = "is a link, a device or the like"
        if not reason and info.size > LARGEST_BYTES:
            reason = f"is said to have {info.size / 1e9:.1f} GB"
        reason = reason or self._clash(info)
        if reason:
            raise faults.is_hostile(self._wanted, info.name, reason)
        return info.isreg()

    def _clash(self, info: tarfile.TarInfo) -> str | None:
        """Why a member cannot be beside those before it."""
        path = zip_checks.normal(info.name)
        above = {str(folder) for folder in PurePosixPath(path).parents}
        self._folders |= above if info.isreg() else {*above, path}
        if info.isreg() and path in self._files:
            return "is there twice, or differs from another only in how it is spelt"
        if info.isreg():
            self._files.add(path)
        return "is a file and a folder at once" if {path, *above} & self._files & self._folders else None

    def _check_end(self, is_from_beginning: bool) -> None:
        """Read what is behind the last member, and verify the sum of all if all of it was read."""
        self._decoded.drain()
        if not is_from_beginning:
            self._say("its sum is not verified, since an earlier job has read its beginning; that of each block is")
            return
        try:
            verify(self._wanted, self._decoded.n_taken, self._decoded.sums.digits(), self._say)
        except faults.DownloadError:
            self.forget()  # a later process would go on behind the mark, and not know of it
            raise
        self.is_whole = True

    def _read_mark(self) -> Mark | None:
        try:
            mark = Mark(**read_json(self._mark_path))
            if self._fits(mark):
                return mark
            reason = "it is another file than the one that was read before"
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            reason = str(error)
        life.note("mark_discarded", f"{self._wanted['name']}: {reason}; read from the beginning")
        return None

    def _fits(self, mark: Mark) -> bool:
        """Whether the archive is the one that was marked: by what its server says, or else by the block itself."""
        numbers = (mark.n_bytes, mark.bit, mark.level, mark.crc, mark.skip, mark.offset)
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("its mark is damaged")
        known = mark.source == self._wanted["source"] and mark.validator and self._version.validator
        if mark.n_bytes != self._version.n_bytes or (known and mark.validator != self._version.validator):
            return False
        return bool(known) or mark.is_over or bzip2_blocks.is_at(self._file, Place(mark.bit, mark.level, mark.crc))


class _Header(tarfile.TarInfo):
    """Strict: where tarfile takes a damaged header, or none, for the end of the archive, only zeros are one here."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in LONG_HEADERS and header.size > LARGEST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header is said to have {header.size / 1e6:.0f} MB")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"damaged or cut off at byte {archive.offset} of what it holds: {error}") from error


class Member:
    """A file in the archive, to be read or saved before the next one is asked for."""

    def __init__(self, info: tarfile.TarInfo, archive: tarfile.TarFile, wanted: dict, folder: Path):
        self._info, self._archive, self._wanted, self._folder = info, archive, wanted, folder
        self.name, self.n_bytes = info.name, info.size

    def read(self) -> bytes:
        """Its content. Raises DownloadError if that is not small."""
        if self.n_bytes > SMALL_BYTES:
            raise faults.is_hostile(self._wanted, self.name, f"has {self.n_bytes / 1e6:.0f} MB, too much to be read")
        with _named(self._wanted):
            return self._archive.extractfile(self._info).read()

    def save(self, target: str) -> Path:
        """Put it at a path relative to the dataset's folder, whole or not at all; where it lies now."""
        if reason := zip_checks.why_no_path(target):
            raise ValueError(f"a member cannot be put at {target!r}: it {reason}")
        path, temporary = (self._folder / target).absolute(), self._folder / INCOMING / "member"
        temporary.parent.mkdir(exist_ok=True)
        disk.refuse_small(self._folder, self.name, self.n_bytes)
        with (
            _named(self._wanted),
            disk.making_room(self._folder, self.name, lambda: temporary.unlink(missing_ok=True)),
            self._archive.extractfile(self._info) as content,
            temporary.open("wb") as file,
        ):
            while piece := content.read(PIECE_BYTES):
                file.write(piece)
        disk.becomes(temporary, path)
        return path


class _Decoded(io.RawIOBase):
    """The decoded bytes from a place on, and which block each of them is from."""

    def __init__(self, file: BinaryIO, wanted: dict, place: Place, offset: int, skip: int):
        super().__init__()
        file.seek(place.bit // 8)
        self._counted = _Counted(file, place.bit // 8, wanted)
        self._blocks = bzip2_blocks.blocks(self._counted, place)
        self._wanted, self._begin, self._skip = wanted, offset, skip
        self._known: deque[tuple[int, Place]] = deque()  # where each block begins in the archive, and in the file
        self._waiting, self._n_out = memoryview(b""), offset - skip
        self.sums = self._counted.sums

    @property
    def n_taken(self) -> int:
        """Compressed bytes up to where it has been read."""
        return self._counted.position

    def read(self, size: int = -1) -> bytes:
        while not self._waiting:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._known.append((self._n_out, block.place))
            self._waiting = memoryview(block.data)[self._skip :]
            self._n_out, self._skip = self._n_out + len(block.data), 0  # a member's header is in the block of its mark
            self._refuse_bomb()
        piece = bytes(self._waiting[:size])
        self._waiting = self._waiting[len(piece) :]
        return piece

    def place_of(self, offset: int | None) -> tuple[Place, int]:
        """The block in which that byte of the archive is, or behind which, and how far into it."""
        if offset is None or not self._known:
            return BEGINNING, 0
        start, place = max(known for known in self._known if known[0] <= offset)
        return place, offset - start

    def forget(self, offset: int) -> None:
        """Bytes before this one are not asked for by `place_of` again."""
        while len(self._known) > 1 and self._known[1][0] <= offset:
            self._known.popleft()

    def drain(self) -> None:
        """Read to the end of the file."""
        while self.read(PIECE_BYTES):
            pass
        while self._counted.read(PIECE_BYTES):
            pass

    def _refuse_bomb(self) -> None:
        n_out, n_in = self._n_out - self._begin, self._counted.n_read
        if n_out > RATIO_COUNTS_FROM_BYTES and n_out > LARGEST_RATIO * n_in:
            reason = f"becomes {n_out / n_in:.0f} times as large as it is packed"
            raise faults.is_hostile(self._wanted, "what comes out of it", reason)


class _Counted:
    """A file read forwards, its bytes counted and summed."""

    def __init__(self, file: BinaryIO, position: int, wanted: dict):
        self._file, self.position, self.n_read, self.sums = file, position, 0, Sums(wanted)

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self.position += len(piece)
        self.n_read += len(piece)
        self.sums.add(piece)
        return piece


@contextlib.contextmanager
def _named(wanted: dict) -> Iterator[None]:
    """Damage is a DownloadError that names the archive."""
    try:
        yield
    except UNREADABLE as error:
        raise faults.is_no_archive(wanted, error) from error


def mark_path(folder: Path, wanted: dict) -> Path:
    """Where the mark of an archive stands: known by what was released, wherever it comes from."""
    identity = "\0".join(str(wanted[key]) for key in ("name", "link", "sha256", "md5"))
    return folder / MARKS / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"
