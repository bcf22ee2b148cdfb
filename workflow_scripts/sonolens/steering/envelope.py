"""How strongly a control vector is added, over time."""

import itertools
import math
from typing import NamedTuple

import numpy as np


class Envelope(NamedTuple):
    """α over time: straight lines between breakpoints, held before the first and after the last.

    Two breakpoints at one time are a jump; at that time the later one counts.
    """

    times_s: tuple[float, ...]  # not descending
    alphas: tuple[float, ...]

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """α at some times (N,) in seconds: (N,) float64."""
        times, alphas = np.array(self.times_s), np.array(self.alphas)
        time_s = np.asarray(time_s, np.float64)
        after = np.searchsorted(times, time_s, side="right")
        left, right = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
        span = times[right] - times[left]
        share = np.where(span > 0, (time_s - times[left]) / np.where(span > 0, span, 1), 0.0)
        return alphas[left] + share * (alphas[right] - alphas[left])


def constant(alpha: float) -> Envelope:
    """The same α throughout, as in the paper."""
    return breakpoints([(0.0, alpha)])


def stretch(alpha: float, start_s: float, stop_s: float, ramp_s: float = 0.0) -> Envelope:
    """α from start_s to stop_s, 0 elsewhere; with a ramp it rises and falls in ramp_s within the stretch.

    Raises ValueError if the stretch is empty, or too short for its ramps.
    """
    if not start_s < stop_s:
        raise ValueError(f"a stretch from {start_s:g} s to {stop_s:g} s is empty")
    if not 0 <= 2 * ramp_s <= stop_s - start_s:
        raise ValueError(f"two ramps of {ramp_s:g} s do not fit into {stop_s - start_s:g} s")
    return breakpoints([(start_s, 0.0), (start_s + ramp_s, alpha), (stop_s - ramp_s, alpha), (stop_s, 0.0)])


def breakpoints(points: list[tuple[float, float]]) -> Envelope:
    """An envelope from (time in seconds, α) pairs in the order of time.

    Raises ValueError if there are none, one is not finite, or time goes back.
    """
    if not points:
        raise ValueError("an envelope needs at least one breakpoint")
    if not all(math.isfinite(number) for point in points for number in point):
        raise ValueError(f"the breakpoints {points} are not all finite numbers")
    for (before, _), (after, _) in itertools.pairwise(points):
        if after < before:
            raise ValueError(f"breakpoints stand in the order of time, but {after:g} s comes after {before:g} s")
    times, alphas = zip(*points, strict=True)
    return Envelope(tuple(map(float, times)), tuple(map(float, alphas)))
