"""What steering did to an attribute of one recording: figures from two tracks on one grid."""

import numpy as np

from sonolens.labels.bins import Bins, classify

FIGURES = (
    "n_frames", "n_defined", "n_lost", "n_gained", "n_hits", "n_hits_before", "change", "abs_change", "towards",
)  # fmt: skip


def effect(before: np.ndarray, after: np.ndarray, target: int | None = None, classes: Bins | None = None) -> dict:
    """FIGURES of a track before and after, both (T,), NaN where undefined (unvoiced, silent).

    target, classes: the class steered to if this attribute is the steered one. Means are over the frames defined on
    both sides, NaN if there are none; what is lost or gained is counted. A frame that is lost is no hit, unless the
    class steered to is that of undefined frames. Raises ValueError if the tracks are not of one length.
    """
    if before.shape != after.shape:
        raise ValueError(f"two tracks on one grid are compared, got {before.shape} and {after.shape}")
    was, is_now = ~np.isnan(before), ~np.isnan(after)
    both = was & is_now
    change = (after[both] - before[both]).astype(np.float64)
    found = {
        "n_frames": len(before),
        "n_defined": int(both.sum()),
        "n_lost": int((was & ~is_now).sum()),
        "n_gained": int((is_now & ~was).sum()),
        "n_hits": 0,
        "n_hits_before": 0,
        "change": _mean(change),
        "abs_change": _mean(np.abs(change)),
        "towards": np.nan,
    }
    if target is None:
        return found
    found["n_hits"] = int((classify(after[was], classes) == target).sum())
    found["n_hits_before"] = int((classify(before[was], classes) == target).sum())
    centre = classes.centres[target]
    if np.isfinite(centre):
        found["towards"] = _mean(np.sign(centre - before[both]) * change)
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
