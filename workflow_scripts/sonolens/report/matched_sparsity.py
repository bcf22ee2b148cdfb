"""Explained variance at equal L0, by interpolation between the cells of a dictionary size.

At a fixed λ a larger dictionary pays a larger penalty (‖f‖₁ grows like √(n_features · L0)), so that dictionaries are
compared where they use equally many features.
"""

import numpy as np
import pandas as pd


def curve(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """log10 L0, ascending, and explained variance of the cells of one (encoder, dim), both (n_cells,).

    Cells that use no feature at all have no logarithm and are left out; equal L0 are averaged.
    """
    alive = cells[cells["l0"] > 0]
    means = alive.groupby("l0", sort=True)["explained_variance"].mean()
    return np.log10(means.index.to_numpy(float)), means.to_numpy(float)


def explained_variance_at(cells: pd.DataFrame, log10_l0: np.ndarray) -> np.ndarray:
    """Explained variance of one (encoder, dim) at `log10_l0` (n,), NaN outside the range its cells cover."""
    x, y = curve(cells)
    if len(x) < 2:
        return np.full(len(log10_l0), np.nan)
    return np.interp(log10_l0, x, y, left=np.nan, right=np.nan)


def overlap(smaller: pd.DataFrame, larger: pd.DataFrame, n_points: int = 25) -> np.ndarray:
    """log10 L0 at `n_points` over the range that two dictionary sizes both cover; empty if it is under 5 % wide."""
    (a, _), (b, _) = curve(smaller), curve(larger)
    if len(a) < 2 or len(b) < 2:
        return np.empty(0)
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if high - low < np.log10(1.05):
        return np.empty(0)
    return np.linspace(low, high, n_points)
