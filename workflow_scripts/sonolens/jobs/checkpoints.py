"""Saved states of a long computation: whole, checked, and the newest that is sound.

A file is a line of magic, the sha256 of the rest, the rest. Two are kept: a node that dies while its disk cache is not
yet written can damage the newest. Where they lie, `sonolens.job` decides: in a folder named by everything the
computation depends on.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from sonolens.files import replacing

_MAGIC = b"sonolens checkpoint 1\n"
_KEPT = 2


class Checkpoints:
    """The saved states in one folder, each named by how far it is."""

    def __init__(self, folder: Path, say: Callable[[str, str], None]):
        self.folder, self.say = folder, say

    def save(self, done: int, state: bytes) -> None:
        """Write a state, then forget all but the newest two. Raises OSError; the older ones then stay."""
        with replacing(self.folder / f"state~{done:012d}.ckpt") as temporary, temporary.open("wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(state).hexdigest().encode() + b"\n")
            file.write(state)
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)

    def latest(self) -> bytes | None:
        """The newest state that is sound; one that is not is reported and removed. None to begin at the beginning."""
        for path in self._newest_first():
            magic, digest, state = _parts(path.read_bytes())
            if magic == _MAGIC and digest == hashlib.sha256(state).hexdigest().encode():
                return state
            self.say("checkpoint_discarded", f"{path} is damaged; an older one is tried, or it starts again")
            path.unlink()
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("state~*.ckpt"), reverse=True)


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Magic, digest and state of a file's content, whatever it is."""
    magic, rest = content[: len(_MAGIC)], content[len(_MAGIC) :]
    digest, _, state = rest.partition(b"\n")
    return magic, digest, state
