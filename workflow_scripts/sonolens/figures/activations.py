"""How often features are active."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style


def draw(cells: pd.DataFrame, activations: pd.DataFrame) -> Figure:
    """Rows are encoders, columns dictionary sizes; a histogram per λ, dead features in a column of their own.

    cells: schemas.CELLS, activations: schemas.ACTIVATIONS
    """
    encoders, expansions = style.in_order(cells["encoder"]), sorted(cells["expansion"].unique())
    height = 2.3 if len(expansions) < 5 else 1.9
    figure, panels = style.new_figure(len(encoders), len(expansions), height, sharex=True, sharey=True)
    colours = style.scale_colours(cells["lam"])
    low, high = activations["log10_low"].min(), activations["log10_high"].max()
    for encoder, row in zip(encoders, panels, strict=True):
        for expansion, axes in zip(expansions, row, strict=True):
            own = cells[(cells["encoder"] == encoder) & (cells["expansion"] == expansion)]
            _histograms(axes, own, activations, colours, dead_at=low - 0.14 * (high - low))
            if len(own):
                title = f"{own['dim'].iloc[0]} ({expansion:g}×)"
                axes.set_title(title)
        style.row_title(row[0], f"{encoder}\n")  # a line above the titles of the panels
        row[0].set_ylabel("share of features\n(square-root scale)")
    for axes in panels.flat:
        # the square root: where most features are dead the others would lie on the axis
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        axes.set_ylim(0, 1.05)
        axes.set_yticks([0, 0.01, 0.05, 0.2, 0.5, 1], ["0", "0.01", "0.05", "0.2", "0.5", "1"])
    ticks = [tick for tick in range(-6, 1) if tick >= low]
    # at most some eighteen labels in a line of panels
    ticks = ticks[len(expansions) > 4 :: max(1, round(len(ticks) * len(expansions) / 18))]
    for axes in panels[-1]:
        axes.set_xticks([low - 0.14 * (high - low), *ticks], ["dead", *(f"$10^{{{tick}}}$" for tick in ticks)])
    figure.supxlabel("share of test frames in which a feature is active", fontsize=9)
    keys = [style.key(f"{lam:g}", color=colour) for lam, colour in colours.items()]
    style.legend_above(figure, keys, "λ")
    return figure


def _histograms(axes: Axes, cells: pd.DataFrame, activations: pd.DataFrame, colours: dict, dead_at: float) -> None:
    """A step line over the bins and a point for the dead, in shares of all features of the cell."""
    for cell in cells.sort_values("lam").itertuples():
        bins = activations[
            (activations["encoder"] == cell.encoder)
            & (activations["dim"] == cell.dim)
            & (activations["lam"] == cell.lam)
        ].sort_values("log10_low")
        edges = [*bins["log10_low"], bins["log10_high"].iloc[-1]]
        axes.stairs(bins["count"] / cell.dim, edges, color=colours[cell.lam], lw=1.3)
        axes.plot(dead_at, cell.dead_share, "o", color=colours[cell.lam], markersize=4.5, clip_on=False)
