"""Means over clips and their 95 % intervals, from a bootstrap that draws whole clips.

A mean over frames is a ratio of two sums over clips, and is drawn as one. Everything that is to be compared is computed
under the same draws, so that a difference, too, has an interval.
"""

from typing import NamedTuple

import numpy as np

N_RESAMPLES = 1000
ENDS = (0.025, 0.975)


class Resampled(NamedTuple):
    """A figure of the sample itself, then of each draw; `n_clips` are those that say something about it."""

    values: np.ndarray  # (1 + N_RESAMPLES,), NaN where it is undefined
    n_clips: int

    @property
    def value(self) -> float:
        """The figure of the sample itself."""
        return float(self.values[0])

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval, NaN if it is undefined or of a single clip, over which nothing can vary."""
        return interval(self.values[1:]) if self.n_clips > 1 and np.isfinite(self.values[0]) else (np.nan, np.nan)


def draws(n_clips: int, seed: int) -> np.ndarray:
    """How often each clip is drawn, (1 + N_RESAMPLES, n_clips); the first row is the sample itself."""
    drawn = np.random.default_rng([seed, 6]).integers(0, max(n_clips, 1), (N_RESAMPLES, n_clips))
    counts = (drawn[:, :, None] == np.arange(n_clips)).sum(axis=1)
    return np.vstack([np.ones((1, n_clips)), counts])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The ends that hold 95 % of the draws (n,) in which something is defined; NaN if that is in none."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, ENDS)
    return float(low), float(high)


def ratio_of_sums(clips: np.ndarray, totals: np.ndarray, weights: np.ndarray, drawn: np.ndarray) -> Resampled:
    """Sum of `totals` over sum of `weights`, both (n_rows,), rows of clip `clips` (n_rows,); NaN over nothing.

    drawn: (1 + N_RESAMPLES, n_clips), from draws()
    """
    n_clips = drawn.shape[1]
    total, weight = (np.bincount(clips, values, n_clips) for values in (totals, weights))
    return Resampled(divided(drawn @ total, drawn @ weight), int((weight > 0).sum()))


def mean(clips: np.ndarray, values: np.ndarray, weights: np.ndarray, drawn: np.ndarray) -> Resampled:
    """Weighted mean of `values` (n_rows,) as in ratio_of_sums; rows that are NaN are left out with their weight."""
    known = np.isfinite(values)
    return ratio_of_sums(clips[known], (values * weights)[known], weights[known].astype(float), drawn)


def ratio(above: Resampled, below: Resampled) -> Resampled:
    """One over the other, draw by draw."""
    return Resampled(divided(above.values, below.values), min(above.n_clips, below.n_clips))


def average(parts: list[Resampled]) -> Resampled:
    """The plain mean of those that are defined in the sample; NaN in a draw in which one of these is not."""
    parts = [part for part in parts if np.isfinite(part.value)]
    if not parts:
        return Resampled(np.full(1 + N_RESAMPLES, np.nan), 0)
    return Resampled(np.mean([part.values for part in parts], axis=0), max(part.n_clips for part in parts))


def divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient, NaN over zero, whatever stands above it: no figure is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, np.divide(above, below))
