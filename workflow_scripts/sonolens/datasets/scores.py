"""Bach's chorales as music21 ships them: which there are, and their notes."""

import re
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_PARTS = 4  # soprano, alto, tenor, bass


class Score(NamedTuple):
    """Four parts in beats (quarter notes)."""

    parts: tuple[np.ndarray, ...]  # each (n_notes, 3) float64: onset, duration, MIDI; sorted, one note at a time
    fermatas: np.ndarray  # (n,) beats at which a phrase ends
    n_beats: float


@cache
def folder() -> Path:
    """Where music21 keeps Bach."""
    from music21 import common  # half a second, and only when a corpus is rendered

    return Path(common.getCorpusFilePath()) / "bach"


@cache
def four_part_chorales() -> tuple[str, ...]:
    """Names of the files with exactly four parts, sorted. Parts are counted in the XML, which is quick."""
    found = [path for path in folder().iterdir() if re.fullmatch(r"bwv[\d.]+(-\w+)?\.(mxl|xml)", path.name)]
    return tuple(sorted(path.name for path in found if _n_parts(path) == N_PARTS))


def family(name: str) -> str:
    """What variants of one chorale have in common: bwv112.5 for bwv112.5.mxl and bwv112.5-sc.mxl."""
    return re.match(r"bwv[\d.]*\d", name).group()


def read_score(name: str) -> Score:
    """Parse one chorale; grace notes are left out."""
    from music21 import converter

    stream = converter.parse(folder() / name, forceSource=True, storePickle=False)
    parts, fermatas = [], set()
    for part in stream.parts:
        rows = []
        for note in part.flatten().notes:
            onset, duration, midi = float(note.offset), float(note.quarterLength), float(note.pitches[-1].midi)
            if any("Fermata" in expression.classes for expression in note.expressions):
                fermatas.add(onset + duration)
            if duration > 0:
                rows.append((onset, duration, midi, note.tie is not None and note.tie.type in ("stop", "continue")))
        parts.append(one_at_a_time(rows))
    n_beats = max(float(rows[-1, 0] + rows[-1, 1]) for rows in parts)
    return Score(tuple(parts), np.array(sorted(fermatas)), n_beats)


def one_at_a_time(rows: list[tuple[float, float, float, bool]]) -> np.ndarray:
    """Notes (onset, duration, MIDI, is tied to the note before) as one line (n, 3), sorted.

    A tied note lengthens the one it continues; of notes that begin together the highest stays; one that is still held
    when the next begins is cut there.
    """
    line = []
    for onset, duration, midi, is_tied in sorted(rows):
        if is_tied and line and line[-1][2] == midi and line[-1][0] + line[-1][1] == onset:
            line[-1] = (line[-1][0], line[-1][1] + duration, midi)
        elif line and line[-1][0] == onset:
            line[-1] = (onset, duration, midi)
        else:
            line.append((onset, duration, midi))
    notes = np.array(line)
    notes[:-1, 1] = np.minimum(notes[:-1, 1], np.diff(notes[:, 0]))
    return notes


def melody(score: Score) -> str:
    """The first nine intervals of the soprano: the tune, in whatever key. Settings of one tune share it."""
    return " ".join(str(int(step)) for step in np.diff(score.parts[0][:10, 2]))


def _n_parts(path: Path) -> int:
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("xml") and not name.startswith("META-INF")]
            content = archive.read(names[0])
    else:
        content = path.read_bytes()
    return content.count(b"<score-part ")
