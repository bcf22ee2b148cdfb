"""How far a trace is from noise to its end, step by step, and from which step on it stays near the end.

The paper (Paek, Zang, Yang and Leistikow, arXiv 2510.23802, section 5) has p_{t,k}, the probability of class k at step
t, mean over frames, and

    s_t = (1/K) Σ_k |p_{t,k} − p_{0,k}| / |p_{T,k} − p_{0,k}|

A class that is at the end what it was in noise makes this unbounded. Hence two forms. `mean_of_ratios` is the paper's,
of the classes that move by a floor, each ratio clipped to [0, 1]. `ratio_of_sums`, Σ_k |p_{t,k} − p_{0,k}| over
Σ_k |p_{T,k} − p_{0,k}|, is of all classes, weighs each by how far it moves, and may exceed 1.
"""

import numpy as np

FORMS = ("mean_of_ratios", "ratio_of_sums")
# 1 − 0.95 is more than 0.05 in floating point
ROUNDING = 1e-9


def curves(probabilities: np.ndarray, form: str, floor: float) -> np.ndarray:
    """s of each prompt, (n_prompts, n_steps), from probabilities (n_prompts, n_steps, n_classes); `form`: one of FORMS.

    A curve is NaN throughout where no class moves by `floor` (mean_of_ratios), or all of them together do not
    (ratio_of_sums). Raises ValueError if a probability is not finite: the curve would leave it out unseen.
    """
    probabilities = np.asarray(probabilities, np.float64)
    if not np.isfinite(probabilities).all():
        raise ValueError("class probabilities that are not finite; the generator or the probe has failed, run it again")
    moved = np.abs(probabilities - probabilities[:, :1])
    whole = moved[:, -1:]
    return _mean_of_ratios(moved, whole, floor) if form == "mean_of_ratios" else _ratio_of_sums(moved, whole, floor)


def _mean_of_ratios(moved: np.ndarray, whole: np.ndarray, floor: float) -> np.ndarray:
    """moved (n_prompts, n_steps, n_classes), whole (n_prompts, 1, n_classes) -> (n_prompts, n_steps)"""
    counts = whole >= floor
    ratios = np.divide(moved, whole, out=np.zeros_like(moved), where=counts)
    return _divided(np.minimum(ratios, 1).sum(axis=-1), counts.sum(axis=-1), counts.any(axis=-1))


def _ratio_of_sums(moved: np.ndarray, whole: np.ndarray, floor: float) -> np.ndarray:
    """Shapes as in _mean_of_ratios."""
    total = whole.sum(axis=-1)
    return _divided(moved.sum(axis=-1), total, total >= floor)


def _divided(above: np.ndarray, below: np.ndarray, is_defined: np.ndarray) -> np.ndarray:
    """above (n, n_steps) over below (n, 1), NaN unless is_defined (n, 1)."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=is_defined)


def mean_curves(s: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean over prompts in each draw, (n_draws, n_steps), of curves s (n_prompts, n_steps).

    A curve that is NaN is left out; a draw of none but such is NaN. drawn: how often each draw has each prompt,
    (n_draws, n_prompts)
    """
    is_defined = np.isfinite(s[:, -1])
    weights = drawn[:, is_defined]
    n_drawn = weights.sum(axis=1, keepdims=True)
    return _divided(weights @ s[is_defined], n_drawn, n_drawn > 0)


def convergence_steps(s: np.ndarray, tolerance: float) -> np.ndarray:
    """First step of each curve from which |s − s_end| ≤ tolerance·|s_end| to the end.

    s (n_curves, n_steps) -> (n_curves,), float, since it is NaN of a curve that is NaN. The last step says: not before
    the end. A curve that rises evenly over 32 steps is within 5 % from step 30 on, so that an early step says something
    and step 30 does not.
    """
    end = s[:, -1:]
    is_near = np.abs(s - end) <= tolerance * np.abs(end) * (1 + ROUNDING)
    n_near = np.logical_and.accumulate(is_near[:, ::-1], axis=1).sum(axis=1)
    return np.where(np.isfinite(end[:, 0]), s.shape[1] - n_near, np.nan)


def convergence_step(s: np.ndarray, tolerance: float = 0.05) -> float:
    """The same of one curve (n_steps,)."""
    return float(convergence_steps(s[None], tolerance)[0])
