"""What the label check found."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.report.data_tables import label_check


def draw(check_path: str) -> Figure:
    """One panel per figure of the check, one line per dataset and kind of recording.

    check_path: results/labels/check.json
    """
    check = label_check(check_path)
    shares = [name for name in check.columns if name.endswith("_share") and check[name].notna().any()]
    if not shares:
        figure, panels = style.new_figure(1, 1, row_height_in=1.2)
        style.say(panels[0, 0], "no recording came with a score or an f0 track, so the labels could not be checked")
        return figure
    lines = [f"{row.dataset}, {row.kind}" for row in check.itertuples()]
    height = 0.7 + 0.3 * len(lines)
    figure, panels = style.new_figure(1, len(shares), row_height_in=height, sharey=True)
    for share, axes in zip(shares, panels[0], strict=True):
        _shares(axes, check, share, lines)
    return figure


def _shares(axes: Axes, check: pd.DataFrame, share: str, lines: list[str]) -> None:
    rows = range(len(lines))
    if f"{share}_low" in check:
        axes.hlines(rows, check[f"{share}_low"], check[f"{share}_high"], color=style.BLUE, lw=1.2)
    axes.plot(check[share], rows, "o", color=style.BLUE, markersize=5.5)
    for row, value in zip(rows, check[share], strict=True):
        if pd.notna(value):
            axes.annotate(f"{value:.3f}", (value, row), (0, 6), textcoords="offset points", ha="center", fontsize=7.5)
    axes.set_yticks(rows, lines)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xlabel(share.removesuffix("_share").replace("_", " ") + " (share of frames)")
