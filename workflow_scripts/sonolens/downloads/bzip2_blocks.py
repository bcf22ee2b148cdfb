"""bzip2, block by block, so that reading can begin in the middle.

A bzip2 stream is a row of blocks that can be decoded each for itself, but they begin at any bit. A block is found by
the 48 bits that it begins with, shifted to a byte, and given to the standard library as a stream of this one block: so
it is the library that checks its checksum.
"""

import bz2
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK, END = 0x314159265359, 0x177245385090
MAGIC_BITS, CRC_BITS = 48, 32
CHUNK_BYTES, HEAD_BYTES = 1 << 18, 11  # that are read at once; of a block's beginning, at whichever bit
FALSE_MAGICS = 3  # in a row: one is to be expected in 2^48 bits


class Damaged(ValueError):
    """What is there is not bzip2, or not what was compressed."""


class Place(NamedTuple):
    """Where a block begins. `level`: the digit in its stream's header; 0 where a stream has yet to begin."""

    bit: int  # of the file
    level: int
    crc: int  # of the block, by which it is known again


BEGINNING = Place(0, 0, 0)


class Block(NamedTuple):
    """A decoded block."""

    place: Place
    data: bytes


def blocks(file: BinaryIO, place: Place) -> Iterator[Block]:
    """The blocks of a file from `place` on, of all its streams one behind the other.

    The file has to be at the byte that `place` lies in. Of a stream that is read from its beginning its own checksum is
    verified at its end. Raises Damaged.
    """
    bits = _Bits(file, place.bit // 8)
    position, level, _ = place
    while True:
        combined = None
        if level == 0:
            header = bits.upto(position, 32)
            if len(header) < 4 and position > 0:
                return
            if len(header) < 4 or header[:3] != b"BZh" or not 0x31 <= header[3] <= 0x39:
                if position > 0:  # what other programs leave behind the last stream
                    return
                raise Damaged("it does not begin as a bzip2 file does")
            position, level, combined = position + 32, header[3] - 0x30, 0
        while (magic := bits.number(position, MAGIC_BITS)) == BLOCK:
            data, stop = _decoded(bits, position, level)
            crc = bits.number(position + MAGIC_BITS, CRC_BITS)
            if combined is not None:
                combined = (combined << 1 & 0xFFFFFFFF | combined >> 31) ^ crc
            yield Block(Place(position, level, crc), data)
            position = stop
            bits.forget(position)
        if magic != END:
            raise Damaged(f"no block begins at byte {position // 8}")
        if combined not in (None, bits.number(position + MAGIC_BITS, CRC_BITS)):
            raise Damaged("the checksum at the end of a stream does not fit")
        position, level = -(-(position + MAGIC_BITS + CRC_BITS) // 8) * 8, 0


def is_at(file: BinaryIO, place: Place) -> bool:
    """Whether that block does begin there: if not, it is another file."""
    if place == BEGINNING:
        return True
    file.seek(place.bit // 8)
    bits = _Bits(file, place.bit // 8, HEAD_BYTES)
    try:
        return bits.number(place.bit, MAGIC_BITS + CRC_BITS) == BLOCK << CRC_BITS | place.crc
    except Damaged:
        return False


def _decoded(bits: "_Bits", position: int, level: int) -> tuple[bytes, int]:
    """The block at a bit, and the bit at which it ends."""
    stop = position
    for _ in range(FALSE_MAGICS):
        stop = bits.find(stop + MAGIC_BITS)
        if stop is None:
            break
        crc = bits.number(position + MAGIC_BITS, CRC_BITS)
        n_bits = stop - position
        number = bits.number(position, n_bits) << MAGIC_BITS + CRC_BITS | END << CRC_BITS | crc
        n_bits += MAGIC_BITS + CRC_BITS
        alone = (number << -n_bits % 8).to_bytes(-(-n_bits // 8), "big")
        try:
            return bz2.decompress(b"BZh%d" % level + alone), stop
        except (OSError, ValueError):
            continue  # the block does not end there, or it is damaged
    raise Damaged(f"the block at byte {position // 8} is damaged or cut off")


class _Bits:
    """A window on a file that is read forwards, addressed by bits of the whole file."""

    def __init__(self, file: BinaryIO, first_byte: int, chunk_bytes: int = CHUNK_BYTES):
        self._file, self._first, self._window, self._chunk_bytes = file, first_byte, b"", chunk_bytes

    def number(self, bit: int, n_bits: int) -> int:
        """So many bits as a number. Raises Damaged if the file ends before."""
        first, stop = bit // 8, -(-(bit + n_bits) // 8)
        content = self._bytes(first, stop)
        if len(content) < stop - first:
            raise Damaged("the file ends in the middle of a block")
        return int.from_bytes(content, "big") >> 8 * stop - bit - n_bits & (1 << n_bits) - 1

    def upto(self, bit: int, n_bits: int) -> bytes:
        """So many bits from a byte's beginning, or what there is of them."""
        return self._bytes(bit // 8, (bit + n_bits) // 8)

    def find(self, bit: int) -> int | None:
        """The first bit, from this one on, at which a block or the end of a stream begins; None if there is none."""
        while True:
            found = self._find_in_window(bit)
            if found is not None or not self._grow():
                return found
            bit = max(bit, 8 * (self._first + len(self._window) - CHUNK_BYTES - 8))

    def forget(self, bit: int) -> None:
        """What lies before this bit is not asked for again."""
        first = bit // 8
        self._window = self._window[first - self._first :]
        self._first = first

    def _bytes(self, first: int, stop: int) -> bytes:
        while self._first + len(self._window) < stop and self._grow():
            pass
        return self._window[first - self._first : stop - self._first]

    def _grow(self) -> bool:
        more = self._file.read(self._chunk_bytes)
        self._window += more
        return len(more) > 0

    def _find_in_window(self, bit: int) -> int | None:
        found = []
        for shift, middle, first_mask, first, last_mask, last in _PATTERNS:
            at = self._window.find(middle, bit // 8 - self._first + (1 if shift else 0))
            while at >= 0:
                begin = at - (1 if shift else 0)
                position = 8 * (self._first + begin) + shift
                ends = at + len(middle)
                fits = not shift or (
                    ends < len(self._window)
                    and self._window[begin] & first_mask == first
                    and self._window[ends] & last_mask == last
                )
                if fits and position >= bit:
                    found.append(position)
                    break
                at = self._window.find(middle, at + 1)
        return min(found, default=None)


def _patterns() -> list[tuple[int, bytes, int, int, int, int]]:
    """Of both magics at each shift: the bytes that are known whole, and mask and value of those at their ends."""
    found = []
    for magic in (BLOCK, END):
        found.append((0, magic.to_bytes(6, "big"), 0, 0, 0, 0))
        for shift in range(1, 8):
            whole = (magic << 8 - shift).to_bytes(7, "big")
            first_mask, last_mask = 0xFF >> shift, 0xFF << 8 - shift & 0xFF
            found.append((shift, whole[1:6], first_mask, whole[0], last_mask, whole[6]))
    return found


_PATTERNS = _patterns()
