"""How what probes hear in the latents grows from noise to the end of a generation, and when it stays there."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sonolens.figures import style
from sonolens.tracing.convergence import FORMS

NOTHING = "This run generates nothing."
MEAN, SUMS = FORMS
VIEWS = {"x_t": "$X_t$ as it is", "end_estimate": "running estimate of the end, $X_t + (1 − t)·v$"}
LABEL = "$s$: share of the way\nfrom noise to the end"
STRIP_HEIGHT = 0.26  # of the curves' below it
SUMS_LOOK = {"lw": 0.9, "linestyle": (0, (3, 2))}
TIMES = [0, 0.25, 0.5, 0.75, 1]
NEAR_COLOUR = style.PALEST


def nothing(text: str = NOTHING) -> Figure:
    """One line instead of a figure."""
    figure, panels = style.new_figure(1, 1, row_height_in=0.8)
    style.say(panels[0, 0], text)
    return figure


def rows_of(table: pd.DataFrame, **keys: str) -> pd.DataFrame:
    """Rows whose columns have the values of `keys`, in the order of their steps."""
    is_own = np.logical_and.reduce([table[name] == value for name, value in keys.items()])
    return table[is_own].sort_values("step", kind="stable")


def step_axis(axes: Axes, last_step: int) -> None:
    """An x axis from noise to the end with whole steps."""
    margin = 0.02 * last_step
    axes.set_xlim(-margin, last_step + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 4, 5, 10]))


def curve_with_band(axes: Axes, x, y, low, high, **options) -> None:
    """A line with its 95 % band. All (n,)."""
    axes.plot(x, y, **options)
    axes.fill_between(x, low, high, color=options["color"], alpha=0.18, lw=0)


def draw(generation: pd.DataFrame, convergence: pd.DataFrame, tolerance: float) -> Figure:
    """Per generator, X_t beside the end estimate: s of each attribute over the steps, and above it when it converged.

    generation, convergence: generation_schemas.GENERATION and CONVERGENCE; tolerance: share of the end within which a
    curve has converged
    """
    generators, attributes = (style.in_order(generation[name]) for name in ("generator", "attribute"))
    if not generators:
        return nothing()
    figure, panels = style.new_figure(
        2 * len(generators), len(VIEWS), row_height_in=1.75, height_ratios=[STRIP_HEIGHT, 1] * len(generators)
    )
    hues = style.hues(attributes)
    for position, generator in enumerate(generators):
        for (view, title), strip, axes in zip(VIEWS.items(), *panels[2 * position : 2 * position + 2], strict=True):
            keys = {"generator": generator, "view": view, "probe": "fitted"}
            curves = rows_of(generation, **keys)
            _curves(axes, curves, hues, tolerance)
            _convergence(strip, rows_of(convergence, **keys), hues, int(curves["step"].max()))
            _time_axis(strip, curves)
            strip.set_title(title, loc="right", fontsize=9)
        style.row_title(panels[2 * position, 0], f"{generator}, {curves['n_prompts'].max()} prompts")
        panels[2 * position + 1, 0].set_ylabel(LABEL)
    style.legend_above(figure, _keys(hues, tolerance), "", n_columns=3)
    return figure


def _curves(axes: Axes, own: pd.DataFrame, hues: dict[str, str], tolerance: float) -> None:
    """s over the steps of one view, the paper's form solid with its band, the ratio of sums thin and dashed."""
    # every curve ends at 1
    axes.axhspan(1 - tolerance, 1 + tolerance, color=NEAR_COLOUR, lw=0, zorder=0)
    for attribute, hue in hues.items():
        mean, sums = (rows_of(own, attribute=attribute, form=form) for form in (MEAN, SUMS))
        axes.plot(sums["step"], sums["s"], color=hue, **SUMS_LOOK)
        curve_with_band(axes, mean["step"], mean["s"], mean["s_low"], mean["s_high"], color=hue, lw=1.8)
    step_axis(axes, int(own["step"].max()))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 1.1))
    axes.set_xlabel("step")


def _convergence(axes: Axes, own: pd.DataFrame, hues: dict[str, str], last_step: int) -> None:
    """A line per attribute: the step from which s stays near its end, with its interval, and the paper's."""
    for y, (attribute, hue) in enumerate(hues.items()):
        for row in rows_of(own, attribute=attribute).itertuples():
            if row.form == SUMS:
                axes.plot(row.step, y, color=hue, marker="|", markersize=11, lw=0, clip_on=False, zorder=3)
                continue
            is_before_the_end = row.step < last_step
            axes.hlines(y, row.step_low, row.step_high, color=hue, lw=2.2, alpha=0.45)
            marker = {"marker": "o" if is_before_the_end else ">", "markersize": 5 if is_before_the_end else 7}
            axes.plot(row.step, y, color=hue, lw=0, **marker, clip_on=False, zorder=4)
            axes.plot(row.paper_step, y, color=hue, lw=0, **_paper_look(), clip_on=False, zorder=5)
    axes.set_yticks(range(len(hues)), list(hues))
    axes.set_ylim(len(hues) - 0.4, -0.6)
    step_axis(axes, last_step)
    axes.tick_params(axis="x", labelbottom=False, length=0)


def _paper_look() -> dict:
    return {"marker": "D", "markersize": 8, "markerfacecolor": "none", "markeredgewidth": 1.2}


def _time_axis(axes: Axes, own: pd.DataFrame) -> None:
    """t above the steps, each where it is reached."""
    times = own.drop_duplicates("step")
    above = axes.secondary_xaxis("top")
    above.set_xticks(np.interp(TIMES, times["t"], times["step"]), [f"{t:g}" for t in TIMES])
    above.set_xlabel("t", fontsize=7.5, labelpad=2)
    above.tick_params(labelsize=7.5, length=2)


def _keys(hues: dict[str, str], tolerance: float) -> list:
    """Entries of the legend, which fills its columns one after the other."""
    named = [style.key(name, color=hue, lw=2.2) for name, hue in hues.items()]
    forms = [
        style.key("mean of ratios, with 95 % band", color=style.BLACK, lw=1.8),
        style.key("ratio of sums; | its convergence", color=style.BLACK, **SUMS_LOOK),
        style.key(f"within {100 * tolerance:g} % of the end", color=style.PALE, lw=7),
    ]
    marks = [
        style.key("converged, with 95 % interval", color=style.BLACK, marker="o", lw=2.2),
        style.key("not before the end", color=style.BLACK, marker=">", markersize=7, lw=0),
        style.key("converged in the paper", color=style.BLACK, lw=0, **_paper_look()),
    ]
    return [*named, *forms, *marks]
