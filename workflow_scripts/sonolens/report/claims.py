"""The paper's claims, each tested on the run's own numbers.

A claim *held* if it did so in every comparison; one exception and it *did not hold*, with the count beside it. What the
run gives no ground to judge is *not testable*, which is no verdict in the claim's favour.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens.report.matched_sparsity import explained_variance_at, overlap
from sonolens.report.paper import measured, paper_encoder, ranges_over_encoders

HELD, DID_NOT_HOLD, NOT_TESTABLE = "held", "did not hold", "not testable"
STABLE_WITHIN = 0.05
MIN_SPARSITY_RANGE = 0.05
OVER_PAIRS, BOOTSTRAP, OVER_CELLS, NO_INTERVAL = "range over the pairs", "95 % bootstrap", "range over the cells", ""

SPARSER = "Sparsity rises with λ at every dictionary size"
LARGER = "A larger dictionary reconstructs better at the same λ"
LARGER_MATCHED = "A larger dictionary reconstructs better at matched L0"
STABLE = "Pitch accuracy is stable over sparsity"
AS_RAW = "SAE features probe at least as well as raw latents"
ORDER = "Pitch is read best, amplitude at least as well as timbre"
RANGES = "The paper's ranges are reached"
STEERING = "Control vectors move their own attribute and leave the others"
FURTHER = "A larger α moves the target further"
HITS = "Control vectors hit their class more often than random directions"
CLOSER = "Re-normalising the code keeps steered sound closer to the original"
CLEANER = "Features steer with less side effect than raw latents"
CONVERGES_IN_ORDER = "In generation pitch converges before timbre, and timbre before amplitude"
CONVERGES = "In generation pitch and timbre converge before the end, amplitude does not"
OWN_DOING = "Classes converge otherwise on the generator's path than on a straight line between its ends"
TRUE_LABELS = "Probes of true labels converge otherwise than probes of shuffled ones"
NEARER = "What is generated is nearer to recordings than decoded noise is"
ON_THE_WAY = "A control vector on the way moves the end towards its class"


class Finding(NamedTuple):
    """A row of claims.csv. `interval` says what low and high are; n_held of n_compared comparisons held."""

    claim: str
    tested_on: str
    statistic: str
    value: float | None
    low: float | None
    high: float | None
    verdict: str
    how: str
    interval: str
    n_held: int
    n_compared: int


def untestable(claim: str, tested_on: str, why: str) -> Finding:
    """A claim that this run gives no ground to judge."""
    return Finding(claim, tested_on, "", None, None, None, NOT_TESTABLE, why, NO_INTERVAL, 0, 0)


def over_pairs(claim: str, tested_on: str, statistic: str, changes: list[float], how: str) -> Finding:
    """A claim that every one of `changes` is above 0."""
    n_held = sum(change > 0 for change in changes)
    verdict = HELD if n_held == len(changes) else DID_NOT_HOLD
    how = f"{how} Held in {n_held} of {len(changes)} pairs."
    value = float(np.median(changes))
    return Finding(
        claim, tested_on, statistic, value, min(changes), max(changes), verdict, how, OVER_PAIRS, n_held, len(changes)
    )


def neighbours(cells: pd.DataFrame, along: str, at: str) -> list[tuple[pd.Series, pd.Series]]:
    """Pairs of cells of one encoder that are next to each other along one column and equal in the other."""
    pairs = []
    for _, line in cells.groupby(at, sort=True):
        rows = [row for _, row in line.sort_values(along).iterrows()]
        pairs += itertools.pairwise(rows)
    return pairs


def sparsity_rises(cells: pd.DataFrame, encoder: str) -> Finding:
    """Claim 1, over pairs of neighbouring λ at each dictionary size."""
    pairs = neighbours(cells, "lam", "dim")
    if not pairs:
        return untestable(SPARSER, encoder, "The grid has one λ; at least two are needed.")
    changes = [b["sparsity"] - a["sparsity"] for a, b in pairs]
    how = "Change of test-split sparsity from each λ to the next larger one, at each n_features."
    return over_pairs(SPARSER, encoder, "median change of sparsity", changes, how)


def larger_is_better(cells: pd.DataFrame, encoder: str) -> Finding:
    """Claim 2, over pairs of neighbouring dictionary sizes at each λ."""
    pairs = neighbours(cells, "dim", "lam")
    if not pairs:
        return untestable(LARGER, encoder, "The grid has one dictionary size; at least two are needed.")
    changes = [b["explained_variance"] - a["explained_variance"] for a, b in pairs]
    n_apart = sum(
        a["explained_variance_high"] < b["explained_variance_low"]
        or b["explained_variance_high"] < a["explained_variance_low"]
        for a, b in pairs
    )
    how = (
        "Change of test-split explained variance from each n_features to the next larger one, at each λ; the pairs' "
        f"95 % intervals are apart in {n_apart} of {len(pairs)}."
    )
    return over_pairs(LARGER, encoder, "median change of explained variance", changes, how)


def larger_is_better_at_matched_l0(cells: pd.DataFrame, encoder: str) -> Finding:
    """Claim 3, over pairs of neighbouring dictionary sizes, within the range of L0 that both cover."""
    sizes = [size for _, size in cells.groupby("dim", sort=True)]
    changes = []
    for smaller, larger in itertools.pairwise(sizes):
        at = overlap(smaller, larger)
        if len(at):
            gain = explained_variance_at(larger, at) - explained_variance_at(smaller, at)
            changes.append(float(gain.mean()))
    n_without = max(len(sizes) - 1, 0) - len(changes)
    if not changes:
        why = (
            "No two neighbouring dictionary sizes reach a common range of L0, so that none can be compared at equal L0."
        )
        return untestable(LARGER_MATCHED, encoder, why)
    how = (
        "Explained variance interpolated over log L0; difference between each n_features and the next larger one, "
        f"averaged over the range of L0 that both cover. {n_without} pairs cover no common range."
    )
    return over_pairs(LARGER_MATCHED, encoder, "median change of explained variance", changes, how)


def pitch_is_stable(cells: pd.DataFrame, probes: pd.DataFrame, encoder: str, prefix: str = "") -> Finding:
    """Claim 4: all pitch accuracies lie within STABLE_WITHIN of each other, above the majority class, while sparsity
    varies. `prefix` "voiced_" leaves unvoiced frames out. cells, probes: of one encoder."""
    frames = "voiced frames only" if prefix else "all frames"
    tested_on = f"{encoder}, {frames}"
    own = probes[(probes["attribute"] == "pitch") & probes[f"{prefix}accuracy"].notna()]
    if own.empty:
        return untestable(STABLE, tested_on, "Pitch was not probed.")
    joined = own.merge(cells[["dim", "lam", "sparsity"]], on=["dim", "lam"])
    accuracy, sparsity = joined[f"{prefix}accuracy"], joined["sparsity"]
    spread = sparsity.max() - sparsity.min()
    if len(joined) < 3 or spread < MIN_SPARSITY_RANGE:
        why = (
            f"{len(joined)} cells span {spread:.3f} of sparsity; at least 3 cells and {MIN_SPARSITY_RANGE} are needed."
        )
        return untestable(STABLE, tested_on, why)
    slope = f"{np.polyfit(sparsity, accuracy, 1)[0] / 10:+.4f}".replace("-", "−")
    majority = joined[f"{prefix}majority_share"].max()
    is_stable = accuracy.max() - accuracy.min() <= STABLE_WITHIN
    n_above = int((accuracy > majority).sum())
    how = (
        f"Largest less smallest test accuracy over {len(joined)} cells whose sparsity runs from {sparsity.min():.3f} "
        f"to {sparsity.max():.3f}; at most {STABLE_WITHIN} counts as stable. Slope {slope} per 0.1 of sparsity. "
        f"{n_above} of {len(joined)} cells are above the majority class ({majority:.3f})."
    )
    verdict = HELD if is_stable and n_above == len(joined) else DID_NOT_HOLD
    statistic = "range of pitch accuracy"
    value = float(accuracy.max() - accuracy.min())
    ends = (float(accuracy.min()), float(accuracy.max()))
    n_held = int(verdict == HELD)
    return Finding(STABLE, tested_on, statistic, value, *ends, verdict, how, "lowest and highest accuracy", n_held, 1)


def as_good_as_raw(probes: pd.DataFrame, raw: pd.DataFrame, encoder: str, attribute: str) -> list[Finding]:
    """Claim 5 for one attribute: in every cell, and in the cell that is best on the validation split."""
    features, latents = probes[probes["attribute"] == attribute], raw[raw["attribute"] == attribute]
    tested_on = f"{encoder}, {attribute}"
    if features.empty or latents.empty:
        return [untestable(AS_RAW, tested_on, "One of the two probes is missing.")]
    latents = latents.iloc[0]
    changes = (features["accuracy"] - latents["accuracy"]).tolist()
    n_held = sum(change >= 0 for change in changes)
    how = (
        f"Test accuracy of the probe on SAE features less that of the same probe on raw latents "
        f"({latents['accuracy']:.3f}). Held in {n_held} of {len(changes)} cells."
    )
    verdict = HELD if n_held == len(changes) else DID_NOT_HOLD
    statistic = "median difference of accuracy"
    ends = (float(np.median(changes)), min(changes), max(changes))
    every = Finding(
        AS_RAW, f"{tested_on}, every cell", statistic, *ends, verdict, how, OVER_CELLS, n_held, len(changes)
    )
    return [every, _best_against_raw(features, latents, tested_on)]


def _best_against_raw(features: pd.DataFrame, latents: pd.Series, tested_on: str) -> Finding:
    """Claim 5 in the cell with the best validation accuracy, so that the test split chooses nothing."""
    best = features.sort_values(["validation_accuracy", "dim"], ascending=[False, True], kind="stable").iloc[0]
    value = float(best["accuracy"] - latents["accuracy"])
    # as if independent: both probes see the same clips, so that the true interval is narrower
    low = value - np.hypot(best["accuracy"] - best["accuracy_low"], latents["accuracy_high"] - latents["accuracy"])
    high = value + np.hypot(best["accuracy_high"] - best["accuracy"], latents["accuracy"] - latents["accuracy_low"])
    how = (
        f"The cell with the best validation accuracy (n_features {best['dim']}, λ {best['lam']:g}): test accuracy "
        f"{best['accuracy']:.3f} against {latents['accuracy']:.3f}. The interval takes the two as independent"
        + (" and contains zero: the run does not tell them apart." if low < 0 < high else ".")
    )
    verdict = HELD if value >= 0 else DID_NOT_HOLD
    statistic = "difference of accuracy"
    return Finding(
        AS_RAW, f"{tested_on}, best cell", statistic, value, float(low), float(high), verdict, how, BOOTSTRAP,
        int(value >= 0), 1,
    )  # fmt: skip


def order_of_attributes(probes: pd.DataFrame, encoder: str) -> Finding:
    """Claim 6: pitch > amplitude >= timbre, in every cell."""
    table = probes.pivot_table(index=["dim", "lam"], columns="attribute", values="accuracy")
    missing = [name for name in ("pitch", "amplitude", "timbre") if name not in table.columns]
    if missing:
        return untestable(ORDER, encoder, f"Not probed: {', '.join(missing)}.")
    margins = np.minimum(table["pitch"] - table["amplitude"], table["amplitude"] - table["timbre"])
    held = (table["pitch"] > table["amplitude"]) & (table["amplitude"] >= table["timbre"])
    n_held = int(held.sum())
    how = (
        "Test accuracy, pitch above amplitude and amplitude not below timbre; the smaller of the two margins. Numbers "
        f"of classes and of frames differ between attributes. Held in {n_held} of {len(held)} cells."
    )
    verdict = HELD if held.all() else DID_NOT_HOLD
    ends = (float(margins.median()), float(margins.min()), float(margins.max()))
    return Finding(
        ORDER, encoder, "median smaller margin", *ends, verdict, how, OVER_CELLS, n_held, len(held)
    )  # fmt: skip


def ranges_reached(cells: pd.DataFrame, probes: pd.DataFrame, encoder: str, module: str, quantity: str) -> Finding:
    """Whether some cell lies in the paper's range of `quantity`; no verdict for an encoder that is not in the paper."""
    tested_on = f"{encoder}, {quantity}" + ("" if quantity == "sparsity" else " accuracy")
    values = measured(cells, probes, encoder, quantity)
    if values.empty:
        return untestable(RANGES, tested_on, "Not measured.")
    entry = paper_encoder(module)
    low, high = entry.ranges[quantity] if entry else ranges_over_encoders(quantity)
    inside = values.between(low, high)
    where = f"the paper's range for {entry.name}" if entry else "the span of the paper's ranges over its encoders"
    how = f"{int(inside.sum())} of {len(values)} cells lie in {where}, {low:g} to {high:g}."
    if entry is None:
        how += " The paper has not measured this encoder, so this is for orientation only."
        verdict = NOT_TESTABLE
    else:
        verdict = HELD if inside.any() else DID_NOT_HOLD
    ends = (float(values.median()), float(values.min()), float(values.max()))
    n_held = int(inside.sum())
    return Finding(RANGES, tested_on, f"median {quantity}", *ends, verdict, how, OVER_CELLS, n_held, len(values))


def judge(
    cells: pd.DataFrame,
    probes: pd.DataFrame,
    modules: dict[str, str],
    of_steering: list[Finding] | None = None,
    of_generation: list[Finding] | None = None,
) -> pd.DataFrame:
    """All claims over all encoders: claims.csv.

    cells: schemas.CELLS, probes: schemas.PROBES, modules: {name of an encoder: its module}; of_steering: what
    steering_claims found, if anything is steered; of_generation: what generation_claims found, if it was asked
    """
    findings = []
    for encoder, module in modules.items():
        own = cells[cells["encoder"] == encoder]
        of_encoder = probes[probes["encoder"] == encoder]
        features, raw = of_encoder[of_encoder["dim"] > 0], of_encoder[of_encoder["dim"] == 0]
        findings += [
            sparsity_rises(own, encoder),
            larger_is_better(own, encoder),
            larger_is_better_at_matched_l0(own, encoder),
            pitch_is_stable(own, features, encoder),
            pitch_is_stable(own, features, encoder, "voiced_"),
            order_of_attributes(features, encoder),
        ]
        for attribute in dict.fromkeys(features["attribute"]):
            findings += as_good_as_raw(features, raw, encoder, attribute)
        for quantity in ("sparsity", "pitch", "amplitude", "timbre"):
            findings.append(ranges_reached(cells, probes, encoder, module, quantity))
    findings += of_steering or [untestable(STEERING, "all encoders", "This run steers nothing.")]
    findings += of_generation or []
    order = [
        SPARSER, LARGER, LARGER_MATCHED, STABLE, AS_RAW, ORDER, RANGES, STEERING, FURTHER, HITS, CLOSER, CLEANER,
        CONVERGES_IN_ORDER, CONVERGES, OWN_DOING, TRUE_LABELS, NEARER, ON_THE_WAY,
    ]  # fmt: skip
    table = pd.DataFrame(findings, columns=Finding._fields)
    return table.sort_values("claim", key=lambda claim: claim.map(order.index), kind="stable", ignore_index=True)
