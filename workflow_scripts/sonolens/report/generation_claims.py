"""The claims about generation, each for every generator, and those on curves for each form of s.

Forms are those of tracing/convergence.py. Curves are those of the path itself, X_t, with probes as they were fitted,
unless a claim compares them with another. What has an interval held only if all of it lies
on the claim's side, so that *did not hold* covers what the run cannot tell apart; `how` says which it is.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from sonolens.report.claims import (
    BOOTSTRAP,
    CONVERGES,
    CONVERGES_IN_ORDER,
    DID_NOT_HOLD,
    HELD,
    NEARER,
    NO_INTERVAL,
    ON_THE_WAY,
    OWN_DOING,
    TRUE_LABELS,
    Finding,
    untestable,
)
from sonolens.report.generation_tables import PAPER_PROBE, PAPER_VIEW
from sonolens.report.paper_generation import CONVERGED_AT, ORDER
from sonolens.report.steering_tables import ALL
from sonolens.tracing.convergence import FORMS
from sonolens.tracing.schemas import MODES

NO_CURVE = "No prompt has a curve: no class moves enough from noise to end."
ONE_PROMPT = "One prompt gives no interval."
HOW_ADDED = {"on": "from a step on", "once": "at one step alone"}


def judge(
    convergence: pd.DataFrame,
    generation: pd.DataFrame,
    differences: pd.DataFrame,
    steering: pd.DataFrame,
    distances: pd.DataFrame,
) -> list[Finding]:
    """All findings, of tables of generation_schemas.py: CONVERGENCE, GENERATION, CONVERGENCE_DIFFERENCES,
    GENERATION_STEERING, GENERATION_DISTANCES."""
    given = (convergence, generation, differences, steering, distances)
    generators = list(dict.fromkeys(name for table in given for name in table["generator"]))
    if not generators:
        return [untestable(CONVERGES_IN_ORDER, "all generators", "This run generates nothing.")]
    findings = []
    for name in generators:
        own = [table[table["generator"] == name] for table in given]
        findings += [*_of_curves(name, *own[:3]), *nearer(own[4], name), *moves_the_end(own[3], name)]
    return findings


def _of_curves(
    generator: str, convergence: pd.DataFrame, generation: pd.DataFrame, differences: pd.DataFrame
) -> Iterator[Finding]:
    """Findings on one generator's curves; none if it was not traced."""
    for form in FORMS:
        steps = convergence[convergence["form"] == form]
        if steps.empty:
            continue
        of_form = differences[differences["form"] == form]
        yield from in_order(of_form, generator, form)
        yield from converged(steps, int(generation["step"].max()), generator, form)
        for attribute in dict.fromkeys(steps["attribute"]):
            yield own_doing(of_form, generator, attribute, form)
            yield of_true_labels(of_form, generator, attribute, form)


def _tested_on(*parts: str) -> str:
    return ", ".join(part.replace("_", " ") if part in FORMS else part for part in parts)


def in_order(differences: pd.DataFrame, generator: str, form: str) -> Iterator[Finding]:
    """The paper's order: each attribute converges at a later step than the one before it."""
    for earlier, later in itertools.pairwise(ORDER):
        tested_on = _tested_on(generator, f"{earlier} before {later}", form)
        row = _difference(differences, later, "other_attribute", earlier, "step")
        if row is None:
            yield untestable(CONVERGES_IN_ORDER, tested_on, f"Not traced: {earlier} or {later}.")
        elif np.isnan(row.low):
            yield untestable(CONVERGES_IN_ORDER, tested_on, _why_no_interval(row))
        else:
            how = f"Convergence step of {later} less that of {earlier}, mean over {row.n_prompts} prompts. "
            yield _on_difference(CONVERGES_IN_ORDER, tested_on, "difference of steps", row, row.low > 0, how)


def _difference(differences: pd.DataFrame, attribute: str, by: str, other: str, quantity: str):
    """The row of an attribute's curve against one that differs in column `by`, or None if there is none."""
    column = by.removeprefix("other_")
    own = differences[
        (differences["attribute"] == attribute) & (differences["quantity"] == quantity) & (differences[by] == other)
    ]
    return next(own[own[column] != other].itertuples(), None)


def _why_no_interval(row) -> str:
    return NO_CURVE if row.n_prompts == 0 else ONE_PROMPT


def _on_difference(claim: str, tested_on: str, statistic: str, row, is_held: bool, how: str) -> Finding:
    """A finding on a difference that has an interval."""
    verdict, n_held = (HELD, 1) if is_held else (DID_NOT_HOLD, 0)
    how += _side(row.low, row.high)
    ends = (row.difference, row.low, row.high)
    return Finding(claim, tested_on, statistic, *ends, verdict, how, BOOTSTRAP, n_held, 1)


def _side(low: float, high: float) -> str:
    """Where the interval of a difference lies."""
    if low > 0:
        return "The interval lies above zero."
    if high < 0:
        return "The interval lies below zero."
    return "The interval contains zero: the run does not tell them apart."


def converged(steps: pd.DataFrame, last: int, generator: str, form: str) -> Iterator[Finding]:
    """Pitch and timbre converge before the last step, and amplitude does not. steps: CONVERGENCE of one form"""
    for attribute, paper_step in CONVERGED_AT.items():
        tested_on = _tested_on(generator, attribute, form)
        row = _curve(steps, attribute, PAPER_VIEW)
        if row is None:
            yield untestable(CONVERGES, tested_on, f"Not traced: {attribute}.")
            continue
        if np.isnan(row.step_low):
            yield untestable(CONVERGES, tested_on, _why_no_interval(row))
            continue
        is_early = row.step_high < last
        is_late = row.step_low == last
        held = is_late if np.isnan(paper_step) else is_early
        where = "before the end" if is_early else "not before the end" if is_late else "on both sides"
        wanted = "the last step alone" if np.isnan(paper_step) else "steps before the last"
        how = (
            f"First step from which s, mean over {row.n_prompts} prompts, stays near its end; the last is {last}. Held "
            f"if the interval holds {wanted}; it lies {where}{_on_the_straight_line(steps, attribute)}."
        )
        ends, verdict = (row.step, row.step_low, row.step_high), HELD if held else DID_NOT_HOLD
        yield Finding(CONVERGES, tested_on, "convergence step", *ends, verdict, how, BOOTSTRAP, int(held), 1)


def _curve(steps: pd.DataFrame, attribute: str, view: str):
    """The row of an attribute's curve, or None."""
    own = (steps["attribute"] == attribute) & (steps["view"] == view) & (steps["probe"] == PAPER_PROBE)
    return next(steps[own].itertuples(), None)


def _on_the_straight_line(steps: pd.DataFrame, attribute: str) -> str:
    """What a path that does nothing but go from noise to end would reach, to hold the step against."""
    row = _curve(steps, attribute, "straight")
    return "" if row is None else f"; on the straight line between the path's ends it is step {row.step:.0f}"


def own_doing(differences: pd.DataFrame, generator: str, attribute: str, form: str) -> Finding:
    """The curve of X_t and that of the straight line between its ends, by the area between them."""
    tested_on = _tested_on(generator, attribute, form)
    row = _difference(differences, attribute, "other_view", "straight", "area")
    if row is None:
        return untestable(OWN_DOING, tested_on, "The straight line was not traced.")
    if np.isnan(row.low):
        return untestable(OWN_DOING, tested_on, _why_no_interval(row))
    how = (
        "Mean over t of s on the path less s on the straight line from its noise to its end: above zero, classes are "
        "there earlier than the way alone would bring them, below zero later. "
    )
    return _on_difference(OWN_DOING, tested_on, "area between the curves", row, _is_apart(row), how)


def of_true_labels(differences: pd.DataFrame, generator: str, attribute: str, form: str) -> Finding:
    """The convergence step by fitted probes and by those of shuffled labels."""
    tested_on = _tested_on(generator, attribute, form)
    row = _difference(differences, attribute, "other_probe", "shuffled", "step")
    if row is None:
        return untestable(TRUE_LABELS, tested_on, "No probe of shuffled labels was traced.")
    if np.isnan(row.low):
        return untestable(TRUE_LABELS, tested_on, _why_no_interval(row))
    area = _difference(differences, attribute, "other_probe", "shuffled", "area")
    how = (
        "Convergence step by the fitted probe less that by the one of shuffled labels; the area between their curves "
        f"is {area.difference:.3f} ({area.low:.3f} to {area.high:.3f}). "
    ).replace("-", "−")
    return _on_difference(TRUE_LABELS, tested_on, "difference of steps", row, _is_apart(row), how)


def _is_apart(row) -> bool:
    """Whether the interval of a difference leaves out zero."""
    return row.low > 0 or row.high < 0


def nearer(distances: pd.DataFrame, generator: str) -> Iterator[Finding]:
    """Fréchet distances to the test split, of noise less that of what was made from it. distances: GENERATION_DISTANCES

    Distances of too few windows to extrapolate count as they are: too large, but for both alike.
    """
    for embedding, own in distances.groupby("embedding", sort=False):
        rows = own.set_index("source")
        if not {"generated", "noise"} <= set(rows.index):
            yield untestable(NEARER, _tested_on(generator, embedding), "Generated sound or noise was not measured.")
            continue
        both = rows.loc[["noise", "generated"]]
        is_extrapolated = both["distance"].notna().all()
        tested_on = _tested_on(generator, embedding, *([] if is_extrapolated else ["not extrapolated"]))
        noise, generated = both["distance" if is_extrapolated else "distance_as_is"]
        if not np.isfinite(noise - generated):
            yield untestable(NEARER, tested_on, "No distance could be measured.")
            continue
        held = bool(generated < noise)
        how = (
            f"Fréchet distance to the test split: {noise:.3g} of decoded noise, {generated:.3g} of what was generated "
            "from it. A distance of all windows: no interval."
        )
        verdict, statistic = HELD if held else DID_NOT_HOLD, "difference of Fréchet distances"
        value = float(noise - generated)
        yield Finding(NEARER, tested_on, statistic, value, None, None, verdict, how, NO_INTERVAL, int(held), 1)


def moves_the_end(steering: pd.DataFrame, generator: str) -> Iterator[Finding]:
    """Each attribute, added from a step on and at one step alone: whether every such step moves the end.

    The value is the largest shift; classes are pooled. steering: GENERATION_STEERING
    """
    pooled = steering[steering["class"] == ALL]
    for attribute in dict.fromkeys(pooled["attribute"]):
        for mode in MODES:
            own = pooled[(pooled["attribute"] == attribute) & (pooled["mode"] == mode)]
            if len(own):
                yield _largest_shift(own, _tested_on(generator, attribute, HOW_ADDED[mode]))


def _largest_shift(own: pd.DataFrame, tested_on: str) -> Finding:
    """own: rows of one attribute and mode"""
    shifts = own[own["quantity"] == "shift_towards"].sort_values(["step", "alpha"]).dropna(subset="value")
    if shifts.empty:
        return untestable(ON_THE_WAY, tested_on, "No frame is defined with and without the control vector.")
    if shifts["low"].isna().all():
        return untestable(ON_THE_WAY, tested_on, ONE_PROMPT)
    held = shifts["low"] > 0
    best = shifts.loc[shifts["value"].idxmax()]
    at_best = own[(own["step"] == best["step"]) & (own["alpha"] == best["alpha"])].set_index("quantity")
    n_held, n_compared = int(held.sum()), len(held)
    how = (
        "Mean shift of the end towards the class, against the same noise without the vector; held at a step if the "
        f"interval over prompts lies above 0: at {_steps(shifts[held])}; not at {_steps(shifts[~held])}. Largest at "
        f"step {best['step']} (α {best['alpha']:g}), where {at_best.loc['hit_rate', 'value']:.3f} of the frames lie in "
        f"the class and {at_best.loc['hit_rate_before', 'value']:.3f} without. Sound that is merely disturbed also "
        "moves towards a class in the middle; the change of frames that hit tells the two apart: "
        f"{_with_interval(at_best.loc['hit_gain'])}."
    )
    verdict = HELD if held.all() else DID_NOT_HOLD
    ends = (float(best["value"]), _number(best["low"]), _number(best["high"]))
    statistic = f"largest shift towards the class ({best['unit']})"
    return Finding(ON_THE_WAY, tested_on, statistic, *ends, verdict, how, BOOTSTRAP, n_held, n_compared)


def _steps(shifts: pd.DataFrame) -> str:
    """ "step 0, 8" or "none"."""
    steps = ", ".join(map(str, dict.fromkeys(shifts["step"])))
    return f"step {steps}" if steps else "none"


def _with_interval(row: pd.Series) -> str:
    return f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})".replace("-", "−")


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
