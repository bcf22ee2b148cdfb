"""Accuracy of the selected cell by kind of recording, beside its baselines."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style

# columns of schemas.SUBSETS (measure, its majority share), and what to call it
MEASURES = [("accuracy", "majority_share", ""), ("voiced_accuracy", "voiced_majority_share", " (voiced)")]


def draw(selected: list[dict], subsets: pd.DataFrame) -> Figure:
    """Rows are encoders, columns attributes; within a panel one line per kind of recording.

    selected: one per encoder, from results/selected; subsets: schemas.SUBSETS
    """
    columns = [
        (attribute, measure, majority, note)
        for attribute in style.in_order(subsets["attribute"])
        for measure, majority, note in MEASURES
        if subsets.loc[subsets["attribute"] == attribute, measure].notna().any()
    ]
    kinds = style.in_order(subsets["kind"])
    height = 0.75 + 0.24 * len(kinds)
    figure, panels = style.new_figure(len(selected), len(columns), row_height_in=height, sharey=True)
    for cell, row in zip(selected, panels, strict=True):
        own = subsets[subsets["encoder"] == cell["encoder"]]
        features = own[(own["dim"] == cell["dim"]) & np.isclose(own["lam"], cell["lam"])]
        for (attribute, measure, majority, note), axes in zip(columns, row, strict=True):
            _kinds(axes, kinds, measure, features[features["attribute"] == attribute], style.BLUE, "o", -0.14)
            raw = own[(own["dim"] == 0) & (own["attribute"] == attribute)]
            _kinds(axes, kinds, measure, raw, style.BLACK, "o", 0.14)
            _kinds(axes, kinds, majority, raw, style.VERMILLION, "|")
            axes.set_xlabel(f"{attribute} accuracy{note}")
            axes.set_ylim(len(kinds) - 0.5, -0.5)
            axes.set_xlim(-0.02, 1.02)
        style.row_title(row[0], f"{cell['encoder']}: n_features {cell['dim']}, λ {cell['lam']:g}")
    keys = [
        style.key("SAE features", color=style.BLUE, marker="o", linestyle="none"),
        style.key("raw latents", color=style.BLACK, marker="o", linestyle="none", markerfacecolor="none"),
        style.key("majority class", color=style.VERMILLION, marker="|", linestyle="none", markersize=11, mew=2),
    ]
    style.legend_above(figure, keys, "")
    return figure


def _kinds(axes: Axes, kinds: list[str], measure: str, own: pd.DataFrame, colour: str, marker: str, shift=0.0):
    """One marker per kind of recording, `shift` lines below it; kinds without frames stay empty."""
    shown = own.dropna(subset=[measure])
    rows = [kinds.index(kind) + shift for kind in shown["kind"]]
    size = 13 if marker == "|" else 6.5
    face = "white" if shift > 0 else colour
    axes.plot(
        shown[measure], rows, marker, color=colour, markersize=size, markerfacecolor=face, mew=2 if size > 10 else 1.3
    )
    axes.set_yticks(range(len(kinds)), kinds)
