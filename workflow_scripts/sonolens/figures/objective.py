"""The two readings of the L1 term: of the normalised code f, or of the hidden activations h."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style

NAMES = {"normalised": "L1 of f (normalised)", "hidden": "L1 of h (hidden)"}
COLOURS = {"normalised": style.BLUE, "hidden": style.VERMILLION}


def draw(objective: pd.DataFrame, histories: pd.DataFrame) -> Figure:
    """Rows are encoders; sparsity, explained variance and probe accuracy against λ, and ‖h‖ over training.

    objective: schemas.OBJECTIVE, histories: schemas.OBJECTIVE_HISTORIES
    """
    encoders = style.in_order(objective["encoder"])
    figure, panels = style.new_figure(max(len(encoders), 1), 4)
    if not encoders:
        for axes in panels[0]:
            style.say(axes, "not compared in this experiment")
        return figure
    expansions = sorted(objective["expansion"].unique())
    markers = dict(zip(expansions, style.MARKERS * len(expansions), strict=False))
    for encoder, row in zip(encoders, panels, strict=True):
        own = objective[objective["encoder"] == encoder]
        for (l1_on, expansion), line in own.groupby(["l1_on", "expansion"]):
            _metrics(row, line.sort_values("lam"), COLOURS[l1_on], markers[expansion])
        for axes in row[:3]:
            style.value_ticks(axes, own["lam"])
            axes.set_xlabel("λ, weight of the L1 term")
        row[0].set_ylabel("sparsity")
        row[1].set_ylabel("explained variance")
        row[2].axhline(own["majority_share"].iloc[0], color=style.GREY, linestyle=(0, (4, 2)), lw=1.2)
        row[2].set_ylabel(f"{own['attribute'].iloc[0]} accuracy")
        _norms(row[3], histories[histories["encoder"] == encoder])
        style.row_title(row[0], encoder)
    keys = [style.key(NAMES[name], color=COLOURS[name]) for name in NAMES]
    keys += [style.key(f"{x:g}×", color=style.GREY, marker=markers[x], linestyle="none") for x in expansions]
    keys += [style.key("majority class", color=style.GREY, linestyle=(0, (4, 2)), lw=1.2)]
    style.legend_above(figure, keys, "")
    return figure


def _metrics(row, line: pd.DataFrame, colour: str, marker: str) -> None:
    look = {"color": colour, "marker": marker}
    row[0].plot(line["lam"], line["sparsity"], **look)
    for axes, name in ((row[1], "explained_variance"), (row[2], "accuracy")):
        value, low, high = (line[f"{name}{end}"] for end in ("", "_low", "_high"))
        style.points_with_intervals(axes, line["lam"], value, low, high, **look)


def _norms(axes: Axes, histories: pd.DataFrame) -> None:
    """Norm of h over training: thicker lines are larger λ."""
    lams = sorted(histories["lam"].unique())
    for (l1_on, _, lam), line in histories.groupby(["l1_on", "expansion", "lam"]):
        width = 0.8 + 1.2 * lams.index(lam) / max(len(lams) - 1, 1)
        shown = line[line["validation_hidden_norm"] > 0]
        axes.plot(shown["step"], shown["validation_hidden_norm"], color=COLOURS[l1_on], lw=width)
    axes.set_yscale("log")
    axes.set_ylabel("mean ‖h‖₂ (thicker: larger λ)")
    axes.set_xlabel("optimiser steps")
    axes.xaxis.set_major_locator(style.few_ticks())
