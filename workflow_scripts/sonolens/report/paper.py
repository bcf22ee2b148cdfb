"""What Paek, Zang, Yang and Leistikow (arXiv 2510.23802) report, and the same quantities of this run beside it."""

from typing import NamedTuple

import pandas as pd


class PaperEncoder(NamedTuple):
    """An encoder of the paper, how modules for it are called here, and its ranges over the grid (low, high)."""

    name: str
    module_prefix: str
    ranges: dict[str, tuple[float, float]]


PAPER = [
    PaperEncoder(
        "DiffRhythm-VAE",
        "diffrhythm",
        {"sparsity": (0.65, 0.98), "pitch": (0.75, 0.87), "amplitude": (0.17, 0.40), "timbre": (0.17, 0.35)},
    ),
    PaperEncoder(
        "WavTokenizer",
        "wavtokenizer",
        {"sparsity": (0.993, 0.999), "pitch": (0.75, 0.82), "amplitude": (0.17, 0.30), "timbre": (0.17, 0.25)},
    ),
    PaperEncoder(
        "EnCodec",
        "encodec",
        {"sparsity": (0.55, 0.95), "pitch": (0.78, 0.87), "amplitude": (0.56, 0.63), "timbre": (0.30, 0.46)},
    ),
]
QUANTITIES = ["sparsity", "pitch", "amplitude", "timbre"]


def paper_encoder(module: str) -> PaperEncoder | None:
    """The encoder of the paper that `module` implements, or None."""
    return next((entry for entry in PAPER if module.lower().startswith(entry.module_prefix)), None)


def ranges_over_encoders(quantity: str) -> tuple[float, float]:
    """The paper's lowest and highest value of `quantity` over its three encoders."""
    lows, highs = zip(*(entry.ranges[quantity] for entry in PAPER), strict=True)
    return min(lows), max(highs)


def measured(cells: pd.DataFrame, probes: pd.DataFrame, encoder: str, quantity: str) -> pd.Series:
    """Sparsity of one encoder's cells, or the accuracy of their probes of one attribute; may be empty."""
    if quantity == "sparsity":
        return cells.loc[cells["encoder"] == encoder, "sparsity"]
    own = (probes["encoder"] == encoder) & (probes["dim"] > 0) & (probes["attribute"] == quantity)
    return probes.loc[own, "accuracy"]


def compare(cells: pd.DataFrame, probes: pd.DataFrame, modules: dict[str, str]) -> pd.DataFrame:
    """One row per encoder and quantity: the paper's range, the measured one, and what makes an accuracy readable.

    The paper's encoders that were not run have no measured range, those run here that it lacks no paper's range.
    cells: schemas.CELLS, probes: schemas.PROBES, modules: {name of an encoder: its module}
    """
    rows = []
    for entry in PAPER:
        names = [name for name, module in modules.items() if paper_encoder(module) == entry]
        for name in names or [None]:
            rows += [_row(entry, name, quantity, cells, probes) for quantity in QUANTITIES]
    for name, module in modules.items():
        if paper_encoder(module) is None:
            rows += [_row(None, name, quantity, cells, probes) for quantity in QUANTITIES]
    return pd.DataFrame(rows)


def _row(entry: PaperEncoder | None, name: str | None, quantity: str, cells: pd.DataFrame, probes: pd.DataFrame):
    row = {"encoder": name or entry.name, "quantity": quantity if quantity == "sparsity" else f"{quantity}_accuracy"}
    row["paper_low"], row["paper_high"] = entry.ranges[quantity] if entry else (None, None)
    values = measured(cells, probes, name, quantity) if name else pd.Series(dtype=float)
    row |= {"measured_low": values.min(), "measured_high": values.max(), "n_cells": len(values)}
    baselines = probes[(probes["encoder"] == name) & (probes["attribute"] == quantity) & (probes["dim"] == 0)]
    has_baseline = len(baselines) > 0
    row["majority_share"] = baselines["majority_share"].iloc[0] if has_baseline else None
    row["raw_latent_accuracy"] = baselines["accuracy"].iloc[0] if has_baseline else None
    return row
