"""The effect of the dictionary's size, at fixed λ and at matched L0."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.report.matched_sparsity import curve, explained_variance_at

N_LEVELS = 5


def draw(cells: pd.DataFrame) -> Figure:
    """Rows are encoders; explained variance against n_features at fixed λ and at matched L0, and L0 at fixed λ.

    cells: schemas.CELLS
    """
    encoders = style.in_order(cells["encoder"])
    figure, panels = style.new_figure(len(encoders), 3)
    colours = style.scale_colours(cells["lam"])
    for encoder, (fixed, matched, l0) in zip(encoders, panels, strict=True):
        own = cells[cells["encoder"] == encoder].sort_values("dim")
        for lam, line in own.groupby("lam", sort=True):
            look = {"color": colours[lam], "marker": "o"}
            value, low, high = (line[f"explained_variance{end}"] for end in ("", "_low", "_high"))
            style.points_with_intervals(fixed, line["dim"], value, low, high, **look)
            l0.plot(line["dim"], line["l0"].where(line["l0"] > 0), **look)
        is_drawn = _matched(matched, own)
        for axes in (fixed, l0, *([matched] if is_drawn else [])):
            style.value_ticks(axes, own["dim"], gap=0.15)
            axes.set_xlabel("n_features")
        style.log_axis(l0, "y")
        l0.set_ylabel("L0, active features per frame")
        fixed.set_ylabel("explained variance, λ fixed")
        style.row_title(fixed, encoder)
        if is_drawn:
            matched.set_ylabel("explained variance, L0 matched")
            matched.sharey(fixed)
    keys = [style.key(f"{lam:g}", color=colour, marker="o") for lam, colour in colours.items()]
    style.legend_above(figure, keys, "λ (left, right)")
    return figure


def levels(cells: pd.DataFrame) -> np.ndarray:
    """log10 of up to N_LEVELS values of L0 over the range that at least two dictionary sizes cover; may be empty."""
    ranges = [curve(size)[0] for _, size in cells.groupby("dim")]
    ends = [(x[0], x[-1]) for x in ranges if len(x) > 1]
    if len(ends) < 2:
        return np.empty(0)
    low, high = sorted(low for low, _ in ends)[1], sorted(high for _, high in ends)[-2]
    return np.linspace(low, high, N_LEVELS + 2)[1:-1] if high > low else np.empty(0)


def _matched(axes: Axes, cells: pd.DataFrame) -> bool:
    """Lines of equal L0 over n_features; whether there are any."""
    dims = sorted(cells["dim"].unique())
    at = levels(cells)
    values = np.array([explained_variance_at(cells[cells["dim"] == dim], at) for dim in dims]).reshape(len(dims), -1)
    drawn = [i for i in range(len(at)) if np.isfinite(values[:, i]).sum() > 1]
    if not drawn:
        style.say(axes, "no L0 is reached by two dictionary sizes,\nso nothing can be compared at matched L0")
        return False
    for i, marker in zip(drawn, style.MARKERS, strict=False):
        shade = 0.15 + 0.6 * i / max(len(at) - 1, 1)
        axes.plot(dims, values[:, i], marker=marker, color=str(shade), label=f"{10 ** at[i]:.3g}")
    handles, names = axes.get_legend_handles_labels()
    # largest on top, as the lines lie
    axes.legend(
        handles[::-1], names[::-1], title="L0", loc="upper left", bbox_to_anchor=(1, 1), fontsize=7.5, handlelength=1.2
    )
    return True
