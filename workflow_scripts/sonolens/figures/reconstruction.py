"""Reconstruction and sparsity over the grid."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style


def draw(cells: pd.DataFrame) -> Figure:
    """Rows are encoders; explained variance and sparsity against λ, and the one against the other.

    cells: schemas.CELLS
    """
    encoders = style.in_order(cells["encoder"])
    figure, panels = style.new_figure(len(encoders), 3)
    colours = style.scale_colours(cells["expansion"])
    for encoder, (by_lam, sparsity_by_lam, frontier) in zip(encoders, panels, strict=True):
        own = cells[cells["encoder"] == encoder]
        for expansion, size in own.groupby("expansion", sort=True):
            line = {"color": colours[expansion], "marker": "o", "label": f"{expansion:g}×"}
            size = size.sort_values("lam")
            _with_interval(by_lam, "lam", size, line)
            sparsity_by_lam.plot(size["lam"], size["sparsity"], **line)
            _with_interval(frontier, "l0", size[size["l0"] > 0].sort_values("l0"), line)
        style.row_title(by_lam, encoder)
        by_lam.set_ylabel("explained variance")
        frontier.set_ylabel("explained variance")
        sparsity_by_lam.set_ylabel("sparsity")
        for axes in (by_lam, sparsity_by_lam):
            style.value_ticks(axes, own["lam"])
            axes.set_xlabel("λ, weight of the L1 term")
        style.log_axis(frontier)
        frontier.set_xlabel("L0, active features per frame")
    style.legend_above(figure, style.expansion_keys(colours), "n_features / d_latent")
    return figure


def _with_interval(axes: Axes, x: str, size: pd.DataFrame, line: dict) -> None:
    value, low, high = (size[f"explained_variance{end}"] for end in ("", "_low", "_high"))
    style.points_with_intervals(axes, size[x], value, low, high, **line)
