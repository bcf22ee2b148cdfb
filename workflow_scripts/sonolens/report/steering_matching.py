"""Methods of steering compared where they move the target equally far: steering_methods.csv.

Each method is a curve over α, from α = 0 (no shift, the sound of what it adds to) on, classes pooled. Two of them are
compared at the largest shift towards the class that both reach. A shift counts as reached at the first α at which the
curve is there, with straight lines between neighbouring α: what lies behind a maximum, where more α undoes the shift,
plays no part. Point and interpolation are found anew in every draw of clips, and both methods see the same draws.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens.report.resampling import Resampled, divided, draws, interval
from sonolens.report.steering_tables import KEYS, Steered, frechet, measures, sound_measures
from sonolens.steering.methods import AT_ZERO, PAPER, named

BETTER, WORSE, NOT_APART, NOT_REACHED, NO_INTERVAL = "better", "worse", "not apart", "not reached", "no interval"
HIT_RATE, OTHERS, LSD, ISOLATION = "hit_rate", "others_shift_spreads", "lsd_original_db", "isolation"
FRECHET = "frechet_"
REFERENCE_OF = {space: name for name, space in AT_ZERO.items()}
ZERO_AT_ZERO = ("shift_towards", "target_shift_spreads", OTHERS)
FIGURES = [
    "quantity", "matched_shift", "reached_by", "paper_alpha", "method_alpha", "paper_value", "method_value",
    "difference", "difference_low", "difference_high", "ratio", "ratio_low", "ratio_high", "verdict",
]  # fmt: skip
COLUMNS = [*KEYS, "attribute", "unit", "method", *FIGURES]


class Curves(NamedTuple):
    """A method over α = 0 and all others; arrays are (n_draws, n_alphas), the sample itself in the first row."""

    alphas: np.ndarray  # (n_alphas,)
    by_quantity: dict[str, np.ndarray]
    hit_rate: list[Resampled]  # without α = 0
    n_clips: int

    @property
    def shift(self) -> np.ndarray:
        """Towards the class, in the attribute's unit."""
        return self.by_quantity["shift_towards"]

    def reaches(self) -> bool:
        """Whether its largest shift is one towards the class, and no chance: the interval, if any, lies above 0."""
        largest = int(np.nanargmax(self.shift[0]))
        low = interval(self.shift[1:, largest])[0] if self.n_clips > 1 else np.nan
        return bool(self.shift[0, largest] > 0 and not low <= 0)


def curves(steered: Steered, method: str, clip_ids: list[str], drawn: np.ndarray) -> Curves:
    """The curves of one method, its classes pooled."""
    reference = steered.of(REFERENCE_OF[named(method).space], 0.0)
    at_zero = {name: np.zeros(len(drawn)) for name in ZERO_AT_ZERO}
    at_zero[LSD] = sound_measures(reference.sounds, clip_ids, drawn)[LSD].values
    own = [steered.of(method, alpha) for alpha in steered.alphas]
    found = [measures(one, clip_ids, drawn) for one in own]
    by_quantity = {
        name: np.column_stack([zero, *(one[name].values for one in found)]) for name, zero in at_zero.items()
    }
    distances = [frechet(one.distances) for one in (reference, *own)]
    for name in distances[0]:
        line = [one[name] if name in one else np.nan for one in distances]
        by_quantity[name] = np.tile(line, (len(drawn), 1))
    n_clips = max((one["shift_towards"].n_clips for one in found), default=0)
    return Curves(np.array([0.0, *steered.alphas]), by_quantity, [one[HIT_RATE] for one in found], n_clips)


def at_shift(curve: np.ndarray, shift: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A curve where the shift is first reached, (n_draws,), NaN where it is not.

    curve, shift: (n_draws, n_alphas), shift 0 in the first column; wanted: (n_draws,). An α at which the shift is
    undefined is passed over.
    """
    n_draws = np.arange(len(shift))
    passed = np.where(np.isnan(shift), -1, np.arange(shift.shape[1]))
    last = np.maximum.accumulate(passed, axis=1)  # the last α with a shift, for every α
    is_there = shift >= wanted[:, None]
    right = np.argmax(is_there, axis=1)
    left = last[n_draws, np.maximum(right - 1, 0)]
    step = shift[n_draws, right] - shift[n_draws, left]
    part = divided(wanted - shift[n_draws, left], step)
    found = curve[n_draws, left] + part * (curve[n_draws, right] - curve[n_draws, left])
    return np.where(is_there.any(axis=1) & (wanted > 0), found, np.nan)


def match(paper: Curves, other: Curves) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The largest shift that both reach (n_draws,), and each quantity of both there: {name: (paper, other)}."""
    wanted = np.minimum(np.nanmax(paper.shift, axis=1), np.nanmax(other.shift, axis=1))
    both = (paper, other)
    found = {
        name: tuple(at_shift(one.by_quantity[name], one.shift, wanted) for one in both)
        for name in paper.by_quantity
        if name != "shift_towards"
    }
    targets = found.pop("target_shift_spreads")
    isolation = tuple(divided(target, others) for target, others in zip(targets, found[OTHERS], strict=True))
    return wanted, {OTHERS: found.pop(OTHERS), ISOLATION: isolation, **found}


def compare_methods(steered: list[Steered], seed: int) -> pd.DataFrame:
    """One row per cell, attribute, method other than the paper's, and figure (schemas.STEERING_METHODS)."""
    rows = [row for one in steered for row in _rows(one, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(steered: Steered, seed: int) -> Iterator[dict]:
    if PAPER.name not in steered.methods:
        return
    clip_ids = steered.clip_ids
    drawn = draws(len(clip_ids), seed)
    paper = curves(steered, PAPER.name, clip_ids, drawn)
    for method in steered.methods:
        if method == PAPER.name:
            continue
        other = curves(steered, method, clip_ids, drawn)
        key = steered.key | {"attribute": steered.attribute, "unit": steered.shift_unit, "method": method}
        for figures in [*_matched_rows(paper, other), _hits(paper, other, steered.alphas)]:
            yield key | dict.fromkeys(FIGURES, np.nan) | {"reached_by": ""} | figures


def _matched_rows(paper: Curves, other: Curves) -> Iterator[dict]:
    """Every quantity at matched shift; nothing but who reaches it where not both do."""
    reached_by = {(True, True): "both", (True, False): "paper", (False, True): "method", (False, False): "neither"}[
        paper.reaches(), other.reaches()
    ]
    wanted, found = match(paper, other)
    n_clips = min(paper.n_clips, other.n_clips)
    for quantity, (of_paper, of_other) in found.items():
        if reached_by != "both":
            yield {"quantity": quantity, "reached_by": reached_by, "verdict": NOT_REACHED}
            continue
        difference = of_other - of_paper
        # a Fréchet distance is of all clips: only the point at which it is read varies from draw to draw
        has_interval = n_clips > 1 and not quantity.startswith(FRECHET)
        low, high = interval(difference[1:]) if has_interval else (np.nan, np.nan)
        yield {
            "quantity": quantity, "matched_shift": wanted[0], "reached_by": reached_by, "paper_value": of_paper[0],
            "method_value": of_other[0], "difference": difference[0], "difference_low": low, "difference_high": high,
            "verdict": verdict(low, high, larger_is_better=quantity == ISOLATION),
        }  # fmt: skip


def verdict(low: float, high: float, larger_is_better: bool) -> str:
    """How a method stands to the paper's by the interval of its figure less the paper's."""
    if np.isnan(low) or np.isnan(high):
        return NO_INTERVAL
    if low <= 0 <= high:
        return NOT_APART
    return BETTER if (low > 0) == larger_is_better else WORSE


def _hits(paper: Curves, other: Curves, alphas: list[float]) -> dict:
    """Hit rates, each method at the α that is best for it in the sample; the paper's over the other's as a ratio."""
    best = [_best(one.hit_rate) for one in (paper, other)]
    if None in best:
        return {"quantity": HIT_RATE, "verdict": NO_INTERVAL}
    of_paper, of_other = (one.hit_rate[k] for one, k in zip((paper, other), best, strict=True))
    difference = Resampled(of_other.values - of_paper.values, min(of_paper.n_clips, of_other.n_clips))
    quotient = Resampled(divided(of_paper.values, of_other.values), difference.n_clips)
    return {
        "quantity": HIT_RATE, "paper_alpha": alphas[best[0]], "method_alpha": alphas[best[1]],
        "paper_value": of_paper.value, "method_value": of_other.value, "difference": difference.value,
        "difference_low": difference.interval[0], "difference_high": difference.interval[1],
        "ratio": quotient.value, "ratio_low": quotient.interval[0], "ratio_high": quotient.interval[1],
        "verdict": verdict(*difference.interval, larger_is_better=True),
    }  # fmt: skip


def _best(rates: list[Resampled]) -> int | None:
    """Position of the α with the highest hit rate, the smallest of equal ones; None if it is nowhere defined."""
    values = np.array([rate.value for rate in rates])
    return int(np.nanargmax(values)) if np.isfinite(values).any() else None


def wide_methods(table: pd.DataFrame) -> pd.DataFrame:
    """steering_methods.csv: one row per cell, attribute and method. table: schemas.STEERING_METHODS"""
    rows = [_wide_row(own) for _, own in table.groupby([*KEYS, "attribute", "method"], sort=False)]
    first = ["encoder", "dim", "lam", "cell", "attribute", "method", "matched_shift", "shift_unit", "reached_by"]
    frame = pd.DataFrame(rows)
    return frame[first + [name for name in frame if name not in first]] if rows else pd.DataFrame(columns=first)


def _wide_row(own: pd.DataFrame) -> dict:
    """One method; own: its rows, of which the matched ones share point and reach."""
    matched = own[own["quantity"] != HIT_RATE]
    row = {name: own[name].iloc[0] for name in [*KEYS, "attribute", "method"]}
    row["shift_unit"] = own["unit"].iloc[0]
    row |= {name: matched[name].iloc[0] for name in ("matched_shift", "reached_by")}
    for one in matched.itertuples():
        named_values = {"paper": one.paper_value, "method": one.method_value, "difference": one.difference}
        if not one.quantity.startswith(FRECHET):
            named_values |= {"difference_low": one.difference_low, "difference_high": one.difference_high}
        row |= {f"{one.quantity}_{name}": value for name, value in (named_values | {"verdict": one.verdict}).items()}
    (hits,) = own[own["quantity"] == HIT_RATE].itertuples()
    return row | {
        "hit_rate_paper": hits.paper_value, "hit_rate_method": hits.method_value, "hit_rate_ratio": hits.ratio,
        "hit_rate_ratio_low": hits.ratio_low, "hit_rate_ratio_high": hits.ratio_high, "hit_rate_verdict": hits.verdict,
        "best_alpha_paper": hits.paper_alpha, "best_alpha_method": hits.method_alpha,
    }  # fmt: skip
