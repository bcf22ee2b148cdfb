"""How far pitch labels agree with a truth: frames counted recording by recording, and the figures of many recordings.

Counts and a histogram are all that is kept of a recording, so that hours take no more memory than minutes.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

WITHIN_SEMITONES = 0.5
# Distances are counted by their nearest tenth of a cent; the last of them stands for two octaves and all beyond.
RESOLUTION_CENTS, FARTHEST_CENTS = 0.1, 2400
N_DISTANCES = round(FARTHEST_CENTS / RESOLUTION_CENTS) + 1


class Counts(NamedTuple):
    """Frames of a recording, by what label and truth say of them."""

    n_voiced: int  # the truth has one pitch
    n_within: int  # of these, those labelled within 50 cents of it,
    n_octave: int  # whole octaves off, to 50 cents,
    n_found: int  # or with any pitch
    n_silent: int  # nothing sounds
    n_false: int  # of these, those labelled with a pitch
    n_left_out: int  # several sound, or one whose pitch is not known: no label is right or wrong there


def compare(label_midi: np.ndarray, truth_midi: np.ndarray, n_sounding: np.ndarray) -> tuple[Counts, np.ndarray]:
    """The frames of one recording counted, and how many labels lie at each distance (N_DISTANCES,) from the truth.

    All (T,); pitches as real MIDI numbers, NaN where there is none.
    """
    is_voiced, is_silent = (n_sounding == 1) & np.isfinite(truth_midi), n_sounding == 0
    is_labelled = np.isfinite(label_midi)
    error = (label_midi - truth_midi)[is_voiced & is_labelled].astype(np.float64)
    octaves = np.round(error / 12)
    counts = Counts(
        n_voiced=int(is_voiced.sum()),
        n_within=int((np.abs(error) <= WITHIN_SEMITONES).sum()),
        n_octave=int(((octaves != 0) & (np.abs(error - 12 * octaves) <= WITHIN_SEMITONES)).sum()),
        n_found=len(error),
        n_silent=int(is_silent.sum()),
        n_false=int((is_labelled & is_silent).sum()),
        n_left_out=int((~is_voiced & ~is_silent).sum()),
    )
    position = np.minimum(np.rint(100 * np.abs(error) / RESOLUTION_CENTS), N_DISTANCES - 1)
    return counts, np.bincount(position.astype(np.int64), minlength=N_DISTANCES)


def summary(counts: pd.DataFrame, distances: np.ndarray, seed: int) -> dict:
    """What the Counts of some recordings, a row each, and the distances of their labels (N_DISTANCES,) come to.

    within_50_cents and octave_error_share, with 95 % intervals, and voicing_recall are shares of the frames that the
    truth calls voiced, so a voiced frame labelled unvoiced counts as missed; median_abs_cents is over those that both
    call voiced. voicing_false_alarm is a share of the frames where nothing sounds. None where there is no such frame.
    """
    total = counts.sum()
    within, octave = _intervals(counts, seed)
    return {
        "n_clips": int((counts["n_voiced"] + counts["n_silent"] > 0).sum()),
        "n_frames": int(total["n_voiced"]),
        "n_frames_left_out": int(total["n_left_out"]),
        "within_50_cents": _share(total["n_within"], total["n_voiced"]),
        "within_50_cents_low": within[0],
        "within_50_cents_high": within[1],
        "octave_error_share": _share(total["n_octave"], total["n_voiced"]),
        "octave_error_share_low": octave[0],
        "octave_error_share_high": octave[1],
        "voicing_recall": _share(total["n_found"], total["n_voiced"]),
        "voicing_false_alarm": _share(total["n_false"], total["n_silent"]),
        "median_abs_cents": median_cents(distances),
    }


def median_cents(distances: np.ndarray) -> float | None:
    """Median of distances counted as `compare` does, to RESOLUTION_CENTS; None of none."""
    upto = np.cumsum(distances)
    if not upto[-1]:
        return None
    middle = np.searchsorted(upto, [(upto[-1] - 1) // 2, upto[-1] // 2], side="right")
    return round(float(middle.mean()) * RESOLUTION_CENTS, 3)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _intervals(counts: pd.DataFrame, seed: int, n_resamples: int = 1000) -> list[list[float | None]]:
    """Bootstrap 95 % intervals of within_50_cents and octave_error_share, recordings drawn: frames of one are alike.

    One recording says nothing of others: its interval is None.
    """
    voiced = counts.loc[counts["n_voiced"] > 0, ["n_voiced", "n_within", "n_octave"]].to_numpy()
    if len(voiced) < 2:
        return [[None, None], [None, None]]
    rng, shares = np.random.default_rng([seed, 6]), np.empty((n_resamples, 2))
    for row in shares:  # one after the other: all draws at once would be thousands of rows of thousands of recordings
        drawn = np.bincount(rng.integers(0, len(voiced), len(voiced)), minlength=len(voiced)) @ voiced
        row[:] = drawn[1:] / drawn[0]
    return np.percentile(shares, [2.5, 97.5], axis=0).T.tolist()
