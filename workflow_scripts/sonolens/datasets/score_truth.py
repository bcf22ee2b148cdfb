"""Scores and f0 tracks that come with recordings, as tables of truth: which notes sound, and at what pitch.

A point of time at which several notes, strings or voices sound has no f0: a label there may rightly be any of them.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pretty_midi
from pretty_midi.pretty_midi import mido

from sonolens import tables

STEP_S = 0.005  # between the points of a track of f0
# What the parser raises on a damaged file; its own error is no ValueError
DAMAGE = (OSError, ValueError, EOFError, IndexError, KeyError, TypeError, mido.KeySignatureError)
_PEDAL, _DOWN = 64, 64  # controller of the sustain pedal, and the value from which it is down


def notes_of_midi(content: bytes, name: str, *, with_pedal: bool = False) -> pd.DataFrame:
    """Notes of a MIDI file (tables.TRUTH_NOTES), by onset; drum channels are none. Raises ValueError naming the file.

    with_pedal: a note sounds on while the sustain pedal is down, until its key is struck again.
    """
    try:
        midi = pretty_midi.PrettyMIDI(io.BytesIO(content))
    except DAMAGE as error:
        raise ValueError(f"{name} cannot be read as MIDI ({type(error).__name__}: {error})") from error
    rows = []
    for number, instrument in enumerate(midi.instruments):
        if instrument.is_drum:
            continue
        part = instrument.name.strip() or f"{number}_{pretty_midi.program_to_instrument_name(instrument.program)}"
        offsets_s = _sustained(instrument) if with_pedal else [note.end for note in instrument.notes]
        rows += [(note.start, end, note.pitch, part) for note, end in zip(instrument.notes, offsets_s, strict=True)]
    return notes_table(rows)


def notes_table(rows: Iterable[tuple[float, float, float, str]]) -> pd.DataFrame:
    """(onset_s, offset_s, midi, part) of each note as tables.TRUTH_NOTES, by onset."""
    table = pd.DataFrame(rows, columns=tables.TRUTH_NOTES.names)
    return table.sort_values(["onset_s", "midi"], ignore_index=True)


def _sustained(instrument: pretty_midi.Instrument) -> list[float]:
    """When each note of an instrument falls silent; with a pedal that is never let go, at the last event."""
    # Stable: what happens in one instant stays in the file's order
    changes = sorted((c for c in instrument.control_changes if c.number == _PEDAL), key=lambda change: change.time)
    times = np.array([change.time for change in changes])
    is_down = np.array([change.value >= _DOWN for change in changes], bool)
    ups = times[~is_down]
    last_event_s = max([*times, *(note.end for note in instrument.notes)], default=0.0)
    onsets = {}
    for note in instrument.notes:
        onsets.setdefault(note.pitch, []).append(note.start)
    onsets = {pitch: np.sort(starts) for pitch, starts in onsets.items()}
    found = []
    for note in instrument.notes:
        end, last = note.end, int(np.searchsorted(times, note.end, side="right")) - 1
        if last >= 0 and is_down[last]:
            later = ups[np.searchsorted(ups, end, side="right") :]
            end = later[0] if len(later) else last_event_s
        struck_again = onsets[note.pitch][np.searchsorted(onsets[note.pitch], note.start, side="right") :]
        found.append(min([end, *struck_again[:1]]))
    return found


def f0_of_notes(notes: pd.DataFrame, duration_s: float) -> pd.DataFrame:
    """The pitch of whatever note sounds alone (tables.TRUTH_F0), in equal temperament, over a recording's length."""
    time_s = _points(duration_s)
    first, stop = (np.searchsorted(time_s, notes[column].to_numpy()) for column in ("onset_s", "offset_s"))
    count, total = np.zeros(len(time_s) + 1), np.zeros(len(time_s) + 1)
    for change, value in ((count, np.ones(len(notes))), (total, notes["midi"].to_numpy(np.float64))):
        np.add.at(change, first, value)
        np.add.at(change, np.maximum(first, stop), -value)
    count, total = np.rint(np.cumsum(count)[:-1]), np.cumsum(total)[:-1]
    f0_hz = np.where(count == 1, 440 * 2 ** ((total - 69) / 12), np.nan)
    return _f0_table(time_s, f0_hz, count)


def f0_of_tracks(tracks: list[tuple[np.ndarray, np.ndarray]], duration_s: float) -> pd.DataFrame:
    """f0 of whichever track sounds alone (tables.TRUTH_F0).

    tracks: (time_s, f0_hz), both (P,), times ascending; f0 of 0 or NaN is silence, and so is what lies further from a
    point than the points of the track are apart.
    """
    time_s = _points(duration_s)
    sounding, total = np.zeros(len(time_s)), np.zeros(len(time_s))
    for points_s, f0_hz in tracks:
        if len(points_s) < 2:
            continue
        right = np.searchsorted(points_s, time_s).clip(1, len(points_s) - 1)
        nearest = np.where(time_s - points_s[right - 1] <= points_s[right] - time_s, right - 1, right)
        reach_s = np.median(np.diff(points_s))
        sounds = (np.nan_to_num(f0_hz)[nearest] > 0) & (np.abs(points_s[nearest] - time_s) <= reach_s)
        sounding += sounds
        total += np.where(sounds, np.nan_to_num(f0_hz)[nearest], 0)
    return _f0_table(time_s, np.where(sounding == 1, total, np.nan), sounding)


def write(folder: Path, stem: str, f0: pd.DataFrame | None, notes: pd.DataFrame | None) -> dict[str, str]:
    """Write the truth of one recording beside it; columns truth_f0_path and truth_notes_path of its row in FILES."""
    paths = {"truth_f0_path": "", "truth_notes_path": ""}
    for column, table, schema, kind in (
        ("truth_f0_path", f0, tables.TRUTH_F0, "f0"),
        ("truth_notes_path", notes, tables.TRUTH_NOTES, "notes"),
    ):
        if table is not None:
            paths[column] = f"truth/{stem}.{kind}.parquet"
            tables.write(table, folder / paths[column], schema)
    return paths


def _points(duration_s: float) -> np.ndarray:
    return np.arange(int(np.ceil(duration_s / STEP_S))) * STEP_S


def _f0_table(time_s: np.ndarray, f0_hz: np.ndarray, n_sounding: np.ndarray) -> pd.DataFrame:
    counts = np.minimum(n_sounding, 127).astype(np.int8)
    return pd.DataFrame({"time_s": time_s, "f0_hz": f0_hz.astype(np.float32), "n_sounding": counts})
