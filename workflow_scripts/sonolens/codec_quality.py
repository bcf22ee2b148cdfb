"""How much of a recording a codec keeps: figures from arrays."""

import numpy as np

KEPT_WITHIN_SEMITONES = 0.5


def pitch_kept_share(original: np.ndarray, decoded: np.ndarray) -> float:
    """Share of the frames voiced in the original whose pitch is within 50 cents after decoding.

    Two tracks (T,) in semitones on one grid, NaN where unvoiced. A frame that has become unvoiced is not kept. NaN if
    the original is never voiced.
    """
    if original.ndim != 1 or original.shape != decoded.shape:
        raise ValueError(f"two pitch tracks (T,) on one grid are compared, got {original.shape} and {decoded.shape}")
    is_voiced = ~np.isnan(original)
    if not is_voiced.any():
        return float("nan")
    # NaN, unvoiced after decoding, compares as false.
    return float(np.mean(np.abs(decoded[is_voiced] - original[is_voiced]) <= KEPT_WITHIN_SEMITONES))


def mean_interval(values: np.ndarray, seed: int, n_resamples: int = 1000) -> dict[str, float] | None:
    """Mean of values (n_clips,) and its 95 % bootstrap interval over clips: mean, low, high. NaN values are left out.

    None if nothing is left.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    drawn = np.random.default_rng([seed, 5]).integers(0, len(known), (n_resamples, len(known)))
    low, high = np.percentile(known[drawn].mean(axis=1), [2.5, 97.5])
    return {"mean": float(known.mean()), "low": float(low), "high": float(high)}
