"""Probe accuracy against sparsity, per attribute and encoder, between its two baselines."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style


def draw(cells: pd.DataFrame, probes: pd.DataFrame) -> Figure:
    """Rows are encoders, columns attributes, and pitch once more without its unvoiced frames.

    cells: schemas.CELLS, probes: schemas.PROBES
    """
    encoders = style.in_order(cells["encoder"])
    columns = [(attribute, prefix) for attribute in style.in_order(probes["attribute"]) for prefix in ("", "voiced_")]
    columns = [
        (attribute, prefix)
        for attribute, prefix in columns
        if not prefix or probes.loc[probes["attribute"] == attribute, "voiced_accuracy"].notna().any()
    ]
    figure, panels = style.new_figure(len(encoders), len(columns), sharey="col")
    colours = style.scale_colours(cells["expansion"])
    keys = ["encoder", "dim", "lam"]
    for encoder, row in zip(encoders, panels, strict=True):
        own = cells.loc[cells["encoder"] == encoder, [*keys, "sparsity"]]
        for (attribute, prefix), axes in zip(columns, row, strict=True):
            of_panel = probes[(probes["encoder"] == encoder) & (probes["attribute"] == attribute)]
            _baselines(axes, of_panel, prefix)
            joined = of_panel[of_panel["dim"] > 0].merge(own, on=keys).sort_values("sparsity")
            for expansion, size in joined.groupby("expansion", sort=True):
                line = {"color": colours[expansion], "marker": "o"}
                value, low, high = (size[f"{prefix}accuracy{end}"] for end in ("", "_low", "_high"))
                style.points_with_intervals(axes, size["sparsity"], value, low, high, **line)
            style.sparsity_axis(axes, own["sparsity"], gap=0.06 * len(columns))
            axes.set_ylabel(f"{attribute} accuracy" + (" (voiced)" if prefix else ""))
        style.row_title(row[0], encoder)
    extra = [
        style.key("probe on raw latents", color=style.BLACK, lw=1.3),
        style.key("majority class", color=style.VERMILLION, linestyle=(0, (4, 2)), lw=1.3),
    ]
    style.legend_above(figure, style.expansion_keys(colours) + extra, "n_features / d_latent")
    return figure


def _baselines(axes: Axes, of_panel: pd.DataFrame, prefix: str) -> None:
    """The raw-latent probe with its 95 % interval as a band, and the majority class's share."""
    majority = of_panel[f"{prefix}majority_share"].dropna()
    if len(majority):
        axes.axhline(majority.iloc[0], color=style.VERMILLION, linestyle=(0, (4, 2)), lw=1.3, zorder=1)
    raw = of_panel[of_panel["dim"] == 0]
    if len(raw):
        axes.axhline(raw[f"{prefix}accuracy"].iloc[0], color=style.BLACK, lw=1.3, zorder=1)
        low, high = (raw[f"{prefix}accuracy_{end}"].iloc[0] for end in ("low", "high"))
        axes.axhspan(low, high, color=style.BLACK, alpha=0.08, lw=0, zorder=0)
