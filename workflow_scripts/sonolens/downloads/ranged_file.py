"""A file behind a link, of which only those bytes are fetched that are read (RFC 9110, section 14)."""

import errno
import io
import os
from collections.abc import Callable

import requests

from sonolens.downloads import answers, faults
from sonolens.downloads.partial import Version
from sonolens.downloads.tries import Tries

CHUNK_BYTES = 1 << 16
TAIL_BYTES = (1 << 16) + 128  # where the end of a zip archive's directory is found, its comment included
GAP_BYTES = 1 << 14  # that are rather read over than asked around: a request costs more


class RangedFile(io.RawIOBase):
    """Seekable and read-only, on one connection. `read` gives as many bytes as it is asked for, except at the end.

    What will be read is best announced: it is then asked for in one piece. A break is gone on behind, a file that
    changes meanwhile is an error. Raises NoRanges at once if the server has no parts of files, later DownloadError.
    """

    def __init__(self, wanted: dict, say: Callable[[str], None]):
        super().__init__()
        self._wanted, self._session = wanted, requests.Session()
        self._tries, self._n_arrived = Tries(wanted, say), 0
        self._position, self._part = 0, None
        self._announced: list[tuple[int, int]] = []
        try:
            self._patiently(self._open)
        except BaseException:
            self.close()
            raise

    def announce(self, extents: list[tuple[int, int]]) -> None:
        """What will be read next, in this order: (first byte, the one behind the last), ascending."""
        self._announced = []
        for start, stop in extents:
            if self._announced and start <= self._announced[-1][1] + GAP_BYTES:
                start, _ = self._announced.pop()
            self._announced.append((start, stop))

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.n_bytes - self._position)
        size = left if size is None or size < 0 else min(size, left)
        pieces = []
        while size:
            piece = self._patiently(lambda n=size: self._some(n))
            self._position += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.n_bytes}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, f"there is no byte {origin + offset}", self._wanted["source"])
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._leave_part()
            self._session.close()
        super().close()

    def _patiently(self, ask: Callable[[], bytes | None]) -> bytes | None:
        """What `ask` gives, at as many tries as it takes."""
        while True:
            try:
                with answers.named_faults(self._wanted):
                    return ask()
            except faults.Broken as error:
                self._leave_part()
                self._tries.again(error, self._n_arrived)

    def _open(self) -> None:
        """The end of the file; how long it is, and of which version."""
        with self._ask(None, TAIL_BYTES) as response:
            part = answers.part_of(response) if response.status_code == 206 else None
            if part and answers.is_compressed(response):
                raise faults.is_packed(self._wanted)
            if part is None or part.n_bytes is None or part.last != part.n_bytes - 1:
                n_bytes = answers.version_of(response).n_bytes if response.status_code == 200 else None
                raise faults.NoRanges(n_bytes)
            self.version = Version(answers.version_of(response).validator, part.n_bytes)
            self.n_bytes, self._tail_start = part.n_bytes, part.first
            self._tail = b"".join(response.iter_content(CHUNK_BYTES))
        if len(self._tail) != self.n_bytes - self._tail_start:
            raise faults.Broken(f"the connection ended after {len(self._tail)} bytes")

    def _some(self, size: int) -> bytes:
        """One byte at least of those at the present position, `size` at most."""
        if self._position >= self._tail_start:
            begin = self._position - self._tail_start
            return self._tail[begin : begin + size]
        if self._part is None or not self._part.leads_to(self._position):
            self._leave_part()
            self._part = self._asked_for(self._position, self._stop(size))
        arrived_before = self._part.n_arrived
        try:
            return self._part.take(self._position, size)
        finally:
            self._n_arrived += self._part.n_arrived - arrived_before

    def _stop(self, size: int) -> int:
        """How far to ask: to the end of what was announced, else for no more than is read now."""
        stops = [stop for start, stop in self._announced if start <= self._position < stop]
        return min(max([self._position + size, *stops]), self._tail_start)

    def _asked_for(self, first: int, stop: int) -> "_Part":
        response = self._ask(first, stop - 1)
        try:
            if response.status_code == 200:
                raise faults.Broken("the server sent the whole file in place of a part")
            if answers.is_compressed(response):
                raise faults.is_packed(self._wanted)
            part = answers.part_of(response)
            if part is None or part.first != first or not first <= part.last < stop:
                stated = response.headers.get("Content-Range")
                raise faults.is_another_part(self._wanted, f"bytes {first}-{stop - 1}", stated)
            if not answers.is_of(response, part, self.version):
                raise faults.has_changed(self._wanted)
        except BaseException:
            response.close()
            raise
        return _Part(response, first, part.last + 1)

    def _ask(self, first: int | None, last: int) -> requests.Response:
        headers = answers.range_headers(first, last)
        response = self._session.get(self._wanted["source"], headers=headers, stream=True, timeout=answers.timeouts())
        try:
            if response.status_code == 416:
                raise faults.NoRanges(None) if first is None else faults.has_changed(self._wanted)
            answers.refuse(response, self._wanted)
        except BaseException:
            response.close()
            raise
        return response

    def _leave_part(self) -> None:
        if self._part is not None:
            self._part.close()
        self._part = None


class _Part:
    """A part of the file that is on its way."""

    def __init__(self, response: requests.Response, first: int, stop: int):
        self._response, self._chunks = response, response.iter_content(CHUNK_BYTES)
        self._position, self._stop = first, stop
        self._waiting = memoryview(b"")
        self.n_arrived = 0
        self.close = response.close

    def leads_to(self, position: int) -> bool:
        """Whether that byte is still to come, and near."""
        return self._position <= position < min(self._stop, self._position + 2 * GAP_BYTES)

    def take(self, position: int, size: int) -> bytes:
        """The bytes there, one at least and `size` at most. Raises Broken if they do not come."""
        while self._position + len(self._waiting) <= position:
            self._position += len(self._waiting)
            self._waiting = memoryview(next(self._chunks, b""))
            self.n_arrived += len(self._waiting)
            if not self._waiting:
                raise faults.Broken(f"the connection ended {self._stop - self._position} bytes early")
        begin = position - self._position
        piece = bytes(self._waiting[begin : begin + size])
        self._position += begin + len(piece)
        self._waiting = self._waiting[begin + len(piece) :]
        return piece
