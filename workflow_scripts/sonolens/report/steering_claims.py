"""The claims about steering, each for every steered cell and attribute.

Classes are pooled. What has an interval held only if all of it lies on the claim's side, so that *did not hold* covers
what the run cannot tell apart; `how` says which it is. Methods are compared at equal shift of the target, as
steering_matching.py finds it.
"""

import itertools

import numpy as np
import pandas as pd

from sonolens.report.claims import (
    BOOTSTRAP,
    CLEANER,
    CLOSER,
    DID_NOT_HOLD,
    FURTHER,
    HELD,
    HITS,
    NO_INTERVAL,
    STEERING,
    Finding,
    over_pairs,
    untestable,
)
from sonolens.report.method_names import LABELS
from sonolens.report.steering_matching import FRECHET, HIT_RATE, LSD, NOT_REACHED, OTHERS
from sonolens.report.steering_tables import curve
from sonolens.steering.methods import PAPER

WHERE = ["encoder", "cell", "attribute"]
AS_IS = "_as_is"
REACHED_BY = {
    "paper": "{other} does not move the target towards the class by more than chance",
    "method": "the paper's method does not move the target towards the class by more than chance",
    "neither": "neither moves the target towards the class by more than chance",
}


def judge(steering: pd.DataFrame, methods: pd.DataFrame) -> list[Finding]:
    """All findings. steering: schemas.STEERING, methods: schemas.STEERING_METHODS"""
    findings = []
    for where, own in steering.groupby(WHERE, sort=False):
        of_methods = methods[(methods[WHERE] == list(where)).all(axis=1)]
        findings += [
            isolates(own, *where),
            moves_further(own, *where),
            hits_more_often(of_methods, *where),
            *stays_closer(of_methods, *where),
            *side_effects(of_methods, *where),
        ]
    return findings


def _tested_on(encoder: str, cell: str, attribute: str, *rest: str) -> str:
    return ", ".join([f"{encoder} ({cell})", attribute, *rest])


def isolates(own: pd.DataFrame, encoder: str, cell: str, attribute: str) -> Finding:
    """The paper's claim: at every α the target moves towards the class, and by more spreads than the others do.

    The value is the isolation at the α that hits the class most often.
    """
    tested_on = _tested_on(encoder, cell, attribute)
    isolation, towards, hits = (
        curve(own, encoder, cell, attribute, PAPER.name, name) for name in ("isolation", "shift_towards", "hit_rate")
    )
    if isolation.empty or curve(own, encoder, cell, attribute, PAPER.name, OTHERS)["value"].isna().all():
        return untestable(STEERING, tested_on, "No other attribute was measured.")
    if isolation["value"].notna().any() and isolation["low"].isna().all():
        return untestable(STEERING, tested_on, "One clip gives no interval.")
    is_towards = towards["value"] > 0
    held = (isolation["low"] > 1) & is_towards
    best = isolation.iloc[int(hits["value"].fillna(-1).argmax())]
    worst = isolation.loc[isolation["low"].fillna(-np.inf).idxmin()]
    how = (
        "Mean |change| of the target over that of the other attributes, each in units of its own spread; held at an α "
        "if the 95 % interval over clips lies above 1 and the target moves towards the class. Value at α "
        f"{best['alpha']:g}, which hits the class most often. Held at {int(held.sum())} of {len(held)} α"
    )
    if not held.all():
        how += f"; the lowest lower end is {worst['low']:.2f} at α {worst['alpha']:g}"
        how += f", and the target moves towards the class at {int(is_towards.sum())} of {len(held)} α"
    verdict = HELD if held.all() else DID_NOT_HOLD
    ends = (_number(best[name]) for name in ("value", "low", "high"))
    statistic = "isolation"
    return Finding(STEERING, tested_on, statistic, *ends, verdict, f"{how}.", BOOTSTRAP, int(held.sum()), len(held))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def moves_further(own: pd.DataFrame, encoder: str, cell: str, attribute: str) -> Finding:
    """Every step from α = 0 to the largest α moves the target on towards the class."""
    tested_on = _tested_on(encoder, cell, attribute)
    towards = curve(own, encoder, cell, attribute, PAPER.name, "shift_towards").dropna(subset="value")
    if towards.empty:
        return untestable(FURTHER, tested_on, "The target has no frame that is defined before and after steering.")
    changes = [b - a for a, b in itertools.pairwise([0.0, *towards["value"]])]
    alphas = ", ".join(f"{alpha:g}" for alpha in towards["alpha"])
    how = f"Change of the mean shift towards the class from each α to the next larger one: 0, {alphas}."
    unit = own["unit"].iloc[0]
    return over_pairs(FURTHER, tested_on, f"median change of shift ({unit})", changes, how)


def hits_more_often(methods: pd.DataFrame, encoder: str, cell: str, attribute: str) -> Finding:
    """Hit rate against that of a random direction that moves the latents as far."""
    tested_on = _tested_on(encoder, cell, attribute)
    own = methods[(methods["method"] == "random") & (methods["quantity"] == HIT_RATE)]
    if own.empty or pd.isna(own["difference"].iloc[0]):
        return untestable(HITS, tested_on, "No random direction was measured.")
    (row,) = own.itertuples()
    if pd.isna(row.difference_low):
        return untestable(HITS, tested_on, "One clip gives no interval.")
    times = f"{row.ratio:.1f} times as often" if np.isfinite(row.ratio) else "from a random direction that never hits"
    how = (
        f"Share of frames that lie in the class: {row.paper_value:.3f} at α {row.paper_alpha:g} against "
        f"{row.method_value:.3f} at α {row.method_alpha:g}, the best α of each; {times}. "
        f"{_apart(-row.difference_high, -row.difference_low)}"
    )
    held = row.difference_high < 0
    ends = (_number(value) for value in (row.ratio, row.ratio_low, row.ratio_high))
    verdict = HELD if held else DID_NOT_HOLD
    statistic = "ratio of hit rates"
    return Finding(HITS, tested_on, statistic, *ends, verdict, how, BOOTSTRAP, int(held), 1)


def stays_closer(methods: pd.DataFrame, encoder: str, cell: str, attribute: str) -> list[Finding]:
    """The paper's method against the same without RMSNorm, on every distance to the original.

    A Fréchet distance of too few windows to extrapolate counts as it is: too large, but for both alike.
    """
    own = methods[methods["method"] == "probe_without_norm"]
    findings = []
    for name in [LSD, *(name for name in own["quantity"] if name.startswith(FRECHET) and not name.endswith(AS_IS))]:
        if name != LSD and own.loc[own["quantity"] == name, "difference"].isna().all():
            name += AS_IS
        of_embedding = name.removeprefix(FRECHET).replace(AS_IS, ", not extrapolated")
        title = "log-spectral distance (dB)" if name == LSD else f"Fréchet distance ({of_embedding})"
        tested_on = _tested_on(encoder, cell, attribute, title)
        findings.append(_matched(CLOSER, tested_on, own, name, f"difference of {title}"))
    return findings


def side_effects(methods: pd.DataFrame, encoder: str, cell: str, attribute: str) -> list[Finding]:
    """The paper's method against control of raw latents, on the shift of the other attributes."""
    findings = []
    for name in ("latent_probe", "latent_class_mean"):
        tested_on = _tested_on(encoder, cell, attribute, LABELS[name])
        own = methods[methods["method"] == name]
        findings.append(_matched(CLEANER, tested_on, own, OTHERS, "difference of the others' shift (spreads)"))
    return findings


def _matched(claim: str, tested_on: str, own: pd.DataFrame, quantity: str, statistic: str) -> Finding:
    """That a quantity of another method exceeds the paper's at equal shift. own: rows of that method"""
    own = own[own["quantity"] == quantity]
    if own.empty:
        return untestable(claim, tested_on, "Not measured.")
    (row,) = own.itertuples()
    other = LABELS[row.method]
    if row.verdict == NOT_REACHED:
        reason = REACHED_BY[row.reached_by].format(other=f"“{other}”")
        return untestable(claim, tested_on, f"{reason[0].upper()}{reason[1:]}.")
    if pd.isna(row.difference):
        return untestable(claim, tested_on, "Not defined at equal shift.")
    has_interval = not pd.isna(row.difference_low)
    if not has_interval and not quantity.startswith(FRECHET):
        return untestable(claim, tested_on, "One clip gives no interval.")
    how = (
        f"“{other}” less the paper's method, both where they move the target by {row.matched_shift:.3g} {row.unit} "
        f"towards the class: {row.method_value:.3g} against {row.paper_value:.3g}. "
    ).replace("-", "−")
    how += _apart(row.difference_low, row.difference_high) if has_interval else "A distance of all clips: no interval."
    held = (row.difference_low if has_interval else row.difference) > 0
    ends = (_number(value) for value in (row.difference, row.difference_low, row.difference_high))
    verdict = HELD if held else DID_NOT_HOLD
    interval = BOOTSTRAP if has_interval else NO_INTERVAL
    return Finding(claim, tested_on, statistic, *ends, verdict, how, interval, int(held), 1)


def _apart(low: float, high: float) -> str:
    """What the interval of a difference says that the claim has above zero."""
    if low > 0:
        return "The interval of the difference lies on the claim's side."
    if high < 0:
        return "The interval of the difference lies on the other side."
    return "The interval of the difference contains zero: the run does not tell them apart."
