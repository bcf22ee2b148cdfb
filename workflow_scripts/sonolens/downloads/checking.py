"""Whether what arrived is what was released."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from sonolens.downloads import faults, sources
from sonolens.jobs import life


class Sums:
    """Sums of a file, taken while it comes in: those that are known, or sha256, to be told, if none is."""

    def __init__(self, wanted: dict):
        kinds = [kind for kind in sources.SUM_DIGITS if wanted[kind]] or ["sha256"]
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    def add(self, part: bytes) -> None:
        """The next bytes of the file."""
        for one in self._hashes.values():
            one.update(part)

    def add_file(self, path: Path) -> None:
        """The next bytes are those of a file."""
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                self.add(part)

    def digits(self) -> dict[str, str]:
        """Kind of sum: hexadecimal digits."""
        return {kind: one.hexdigest() for kind, one in self._hashes.items()}


def differences(wanted: dict, n_bytes: int, sums: dict[str, str]) -> list[str]:
    """In what a file of these sums is not the one wanted, in words that give both values."""
    found = [
        f"{kind} {digits}, not {wanted[kind]}"
        for kind, digits in sums.items()
        if wanted[kind] and not digits.startswith(wanted[kind])
    ]
    return found + size_difference(wanted, n_bytes)


def size_difference(wanted: dict, n_bytes: int) -> list[str]:
    """The same of the size alone."""
    return [] if wanted["size_bytes"] in (None, n_bytes) else [f"{n_bytes} bytes, not {wanted['size_bytes']}"]


def verify(wanted: dict, n_bytes: int, sums: dict[str, str], say: Callable[[str], None]) -> None:
    """Raise DownloadError if it is not the file wanted; if that is not certain, a note in the job's life."""
    found = differences(wanted, n_bytes, sums)
    _judge(wanted, found, sums.get("sha256"))
    if not found and not any(wanted[kind] for kind in sources.SUM_DIGITS):
        say(f"no sum of {wanted['name']} is known; this one has sha256 {sums['sha256']}, which can be pinned")


def verify_size(wanted: dict, n_bytes: int) -> None:
    """The same by the size alone."""
    _judge(wanted, size_difference(wanted, n_bytes), None)


def verify_file(wanted: dict, path: Path, say: Callable[[str], None], size_suffices: bool) -> None:
    """The same of a file. size_suffices: it is not read if its size can be compared, or nothing is known of it."""
    n_bytes = path.stat().st_size
    has_sum = any(wanted[kind] for kind in sources.SUM_DIGITS)
    if size_suffices and (wanted["size_bytes"] is not None or not has_sum):
        verify_size(wanted, n_bytes)
    else:
        verify(wanted, n_bytes, _sums_of(wanted, path), say)


def is_right(wanted: dict, path: Path) -> bool:
    """Whether a file that was verified when it arrived still is what is wanted, so far as that is certain."""
    if not wanted["sum_is_certain"]:
        return True
    sums = _sums_of(wanted, path) if sources.has_sum(wanted) else {}
    return not differences(wanted, path.stat().st_size, sums)


def _sums_of(wanted: dict, path: Path) -> dict[str, str]:
    sums = Sums(wanted)
    sums.add_file(path)
    return sums.digits()


def _judge(wanted: dict, found: list[str], sha256: str | None) -> None:
    if found and wanted["sum_is_certain"]:
        raise faults.is_another(wanted, found, sha256)
    if found:
        detail = f"{wanted['name']} from {wanted['source']} has {' and '.join(found)}"
        life.note("other_checksum", f"{detail}; it is kept, since it is not certain which one is current")
