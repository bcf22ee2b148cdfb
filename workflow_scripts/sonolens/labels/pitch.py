"""Pitch: CREPE's fundamental frequency in semitones (real MIDI numbers: A4 = 440 Hz = 69, cents are hundredths)."""

import numpy as np

from sonolens.labels import bins, fine
from sonolens.labels.fine import FineTrack

_NOTE_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def unit(options: dict) -> str:
    """Unit of the values."""
    return "semitone (MIDI)"


def semitones(f0_hz: np.ndarray) -> np.ndarray:
    """Hz -> real MIDI number; NaN stays NaN."""
    return 69 + 12 * np.log2(np.asarray(f0_hz, np.float64) / 440)


def measure(audio: np.ndarray, sample_rate_hz: int, options: dict, device: str = "cpu") -> FineTrack:
    """Pitch of audio (n_samples,) per fine frame, NaN where unvoiced; weight: periodicity, 0 to 1.

    Unvoiced: periodicity below options["periodicity_threshold"], or level below options["level_floor_dbfs"].
    """
    from sonolens.labels import pitch_tracker  # imports torch, which pooling and classes do without

    n_frames = fine.n_fine_frames(len(audio), sample_rate_hz)
    audio = fine.resampled(audio, sample_rate_hz, pitch_tracker.SAMPLE_RATE_HZ)
    f0_hz, periodicity = pitch_tracker.track(audio, n_frames, options, device)
    is_voiced = periodicity >= options["periodicity_threshold"]
    return FineTrack(np.where(is_voiced, semitones(f0_hz), np.nan).astype(np.float32), periodicity)


def pool(pieces: FineTrack, inside: np.ndarray, options: dict) -> np.ndarray:
    """The median of the voiced fine frames inside each latent frame, (N, K) -> (N,).

    NaN (unvoiced) unless at least half of the fine frames are voiced. Of the two in the middle of an even number the
    one of greater periodicity is taken, the lower if equal: their mean would be a note that nobody played wherever a
    note changes. inside (N, K): which entries are fine frames of that latent frame; the others are padding.
    """
    value = np.where(inside, pieces.value, np.nan)
    n_voiced = np.isfinite(value).sum(axis=1)
    order = np.argsort(value, axis=1, kind="stable")  # NaN last
    rows = np.arange(len(value))
    lower = order[rows, np.maximum(n_voiced - 1, 0) // 2]
    upper = order[rows, n_voiced // 2]
    is_upper = (n_voiced % 2 == 0) & (pieces.weight[rows, upper] > pieces.weight[rows, lower])
    median = value[rows, np.where(is_upper, upper, lower)]
    return np.where((n_voiced > 0) & (2 * n_voiced >= inside.sum(axis=1)), median, np.nan)


def fit_bins(values: np.ndarray, options: dict) -> bins.Bins:
    """One class per semitone, half a semitone to each side, and "unvoiced" last (or left out). Nothing is fitted.

    A pitch beyond the outer semitones is left out, since a clipped one would carry the name of another note; with the
    default search range, which is that of the classes, there is none.
    """
    notes = np.arange(options["lowest_midi"], options["highest_midi"] + 1)
    edges = np.append(notes, notes[-1] + 1) - 0.5
    names, centres, undefined_class = [note_name(note) for note in notes], notes.astype(np.float64), bins.LEFT_OUT
    if options["unvoiced"] == "class":
        names, centres, undefined_class = [*names, "unvoiced"], np.append(centres, np.nan), len(notes)
    return bins.Bins(unit(options), edges, names, centres, undefined_class, clips_beyond=False)


def note_name(midi: int) -> str:
    """69 -> "A4"."""
    return f"{_NOTE_NAMES[midi % 12]}{midi // 12 - 1}"
