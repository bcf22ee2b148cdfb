"""Results clip by clip in one growing file, so that a job that was killed goes on with the next clip.

`clips.data` holds the arrays of each clip one after another, `clips.jsonl` a line per clip: its id, where its arrays
end and their checksum. Lines are written after the data they speak of; what follows the last sound one is cut off.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sonolens.jobs.resumption import Resumption


class ClipJournal:
    """Arrays of clips, appended once each and read back in order. Use as a context manager."""

    def __init__(self, folder: Path, say: Callable[[str, str], None]):
        folder.mkdir(parents=True, exist_ok=True)
        self.clip_ids: list[str] = []
        self._data = (folder / "clips.data").open("a+b")
        self._index = (folder / "clips.jsonl").open("a+b")
        self._recover(say)

    def __enter__(self) -> "ClipJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()
        self._index.close()

    def __len__(self) -> int:
        return len(self.clip_ids)

    def append(self, clip_id: str, arrays: list[np.ndarray]) -> None:
        """Add what was computed for one clip. Raises OSError if it cannot be written."""
        begin = self._data.tell()
        checksum = 0
        for array in arrays:
            np.save(self._data, array, allow_pickle=False)
        self._data.flush()
        self._data.seek(begin)
        while block := self._data.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
        line = {"clip_id": clip_id, "end": self._data.tell(), "crc32": checksum, "arrays": len(arrays)}
        self._index.write(json.dumps(line).encode() + b"\n")
        self._index.flush()
        self.clip_ids.append(clip_id)

    def flush(self) -> None:
        """Force what was appended to disk."""
        for file in (self._data, self._index):
            os.fsync(file.fileno())

    def read(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """(clip_id, arrays) of every clip, in the order in which they were appended."""
        self._data.seek(0)
        for line in self._lines():
            yield line["clip_id"], [np.load(self._data, allow_pickle=False) for _ in range(line["arrays"])]

    def _lines(self) -> list[dict]:
        self._index.seek(0)
        return [json.loads(line) for line in self._index.read().splitlines()]

    def _recover(self, say: Callable[[str, str], None]) -> None:
        """Keep the clips up to the first one that is not sound, and cut both files behind it."""
        self._index.seek(0)
        self._data.seek(0)
        end_index = end_data = 0
        for raw in self._index.read().splitlines(keepends=True):
            try:
                line = json.loads(raw)
                block = self._data.read(line["end"] - end_data)
                is_sound = raw.endswith(b"\n") and len(block) == line["end"] - end_data
                is_sound = is_sound and zlib.crc32(block) == line["crc32"]
            except (ValueError, KeyError, TypeError):
                is_sound = False
            if not is_sound:
                say("checkpoint_discarded", f"clips from number {len(self.clip_ids)} on are damaged and made again")
                break
            self.clip_ids.append(line["clip_id"])
            end_index, end_data = end_index + len(raw), line["end"]
        for file, end in ((self._index, end_index), (self._data, end_data)):
            file.truncate(end)
            file.seek(end)


@contextlib.contextmanager
def group_by_group(
    groups: list[list],
    measure: Callable[[list], list[list[np.ndarray]]],
    resumption: Resumption,
    doing: str,
    unit: str = "clips",
) -> Iterator[ClipJournal]:
    """The journal of `measure(clips)` for every group of clips, which gives the arrays of each clip in it.

    clips: rows of a manifest, or anything else with an attribute `clip_id`, called `unit` where progress is told.
    What an earlier attempt has measured is left as it is; of a group that it left half done the whole is measured
    again, since what a clip gives may depend, in the last bit, on its company. Raises Interrupted if the job has to
    leave.
    """
    n_clips = sum(map(len, groups))
    with ClipJournal(resumption.folder, resumption.say) as journal:
        if len(journal):
            resumption.say("resumed", f"at {len(journal)} of {n_clips} {unit}")
        with tqdm(total=n_clips, initial=len(journal), desc=doing, mininterval=5) as progress:
            n_passed = 0
            for group in groups:
                n_known = max(0, len(journal) - n_passed)
                n_passed += len(group)
                if n_known >= len(group):
                    continue
                for clip, arrays in list(zip(group, measure(group), strict=True))[n_known:]:
                    journal.append(clip.clip_id, arrays)
                    progress.update()
                resumption.after(len(journal), n_clips, unit, journal.flush)
        yield journal


def clip_by_clip(
    clips: list, measure: Callable[[object], list[np.ndarray]], resumption: Resumption, doing: str, unit: str = "clips"
):
    """The same with one clip at a time: `measure(clip)` gives its arrays."""
    return group_by_group([[clip] for clip in clips], lambda group: [measure(group[0])], resumption, doing, unit)
