"""What has arrived of a file so far, beside the place where it is to be.

The name of the hidden file says which link and sum it is of, and a note beside it what the server said of its version:
a later job goes on where an earlier one was stopped, and only with the same file.
"""

import hashlib
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from sonolens.downloads import disk
from sonolens.files import read_json, write_json


class Version(NamedTuple):
    """What tells two states of the file behind one link apart."""

    validator: str | None  # for If-Range: a strong ETag or a date; None if the server gave neither
    n_bytes: int | None  # of the whole file, where known


class Partial:
    """One file on its way to `target`."""

    def __init__(self, wanted: dict, target: Path):
        identity = "\0".join(str(wanted[key]) for key in ("source", "sha256", "md5"))
        self.name = wanted["name"]
        self._beginning = f".{target.name}."
        self.path = target.with_name(f"{self._beginning}{hashlib.sha256(identity.encode()).hexdigest()[:12]}.part")
        self._note = self.path.with_name(f"{self.path.name}.json")

    def n_bytes(self) -> int:
        """How much of it is there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> Version | None:
        """What it is a part of; None if nothing is noted, or nothing readable."""
        try:
            return Version(**read_json(self._note))
        except (OSError, ValueError, TypeError):
            return None

    def is_part_of(self, version: Version) -> None:
        """Note it, before the first byte arrives."""
        write_json(self._note, version._asdict())

    def remove(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def remove_others(self) -> None:
        """Remove what was left of other links or sums for the same target."""
        left = re.compile(re.escape(self._beginning) + r"[0-9a-f]{12}\.part(\.json)?")
        for path in self.path.parent.iterdir():
            if left.fullmatch(path.name) and path not in (self.path, self._note):
                path.unlink()

    def becomes(self, target: Path) -> None:
        """It is whole and verified: flush it to disk and give it its name."""
        disk.flush(self.path)
        self.path.replace(target)
        self._note.unlink(missing_ok=True)

    def refuse_small_disk(self, n_missing: int) -> None:
        """Raise OSError, keeping nothing, if the rest does not fit."""
        try:
            disk.refuse_small(self.path.parent, self.name, n_missing)
        except OSError:
            self.remove()
            raise

    def growing(self) -> AbstractContextManager[None]:
        """While it is written: on a full disk the error names the file, and what there is of it makes room."""
        return disk.making_room(self.path.parent, self.name, self.remove)
