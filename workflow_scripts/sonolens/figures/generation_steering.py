"""What a control vector added on the way does to the sound at the end, against the step at which it is added."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.figures.generation import nothing, step_axis
from sonolens.report.steering_tables import ALL

NOTHING = "This run steers no generation."
MODES = {"on": ("from this step on", style.BLUE), "once": ("at this step alone", style.VERMILLION)}
MARKERS = ["o", "s", "D", "^", "v"]  # of each strength
WITHOUT_LOOK = {"linestyle": (0, (3, 2)), "lw": 1.2, "marker": ""}


def draw(steering: pd.DataFrame) -> Figure:
    """Two rows per generator, shift above the probe's probability; columns are attributes, all classes together.

    steering: generation_schemas.GENERATION_STEERING
    """
    steering = steering[steering["class"] == ALL]
    generators, attributes = (style.in_order(steering[name]) for name in ("generator", "attribute"))
    if not generators:
        return nothing(NOTHING)
    alphas = sorted(set(steering["alpha"]))
    figure, panels = style.new_figure(
        2 * len(generators), len(attributes), row_height_in=2.2, height_ratios=[1.2, 1] * len(generators)
    )
    for position, generator in enumerate(generators):
        above, below = panels[2 * position : 2 * position + 2]
        of_generator = steering[steering["generator"] == generator]
        for attribute, shift, probability in zip(attributes, above, below, strict=True):
            own = of_generator[of_generator["attribute"] == attribute]
            _shift(shift, own, alphas)
            _probability(probability, own, alphas)
            for axes in (shift, probability):
                step_axis(axes, int(own["step"].max()))
            shift.tick_params(labelbottom=False)
            probability.set_xlabel("step at which it is added")
        style.row_title(above[0], f"{generator}, {of_generator['n_prompts'].max()} prompts")
    style.legend_above(figure, _keys(alphas), "", n_columns=3)
    return figure


def _look(mode: str, alpha: float, alphas: list[float]) -> dict:
    """Hue by mode; a marker by strength, and the stronger the broader."""
    rank = alphas.index(alpha)
    return {"color": MODES[mode][1], "marker": MARKERS[rank % len(MARKERS)], "lw": 1.2 + 0.5 * rank}


def _curves(axes: Axes, own: pd.DataFrame, quantity: str, alphas: list[float], **options) -> None:
    """A line per mode and strength over the steps, with 95 % intervals."""
    found = own[own["quantity"] == quantity]
    for (mode, alpha), line in found.groupby(["mode", "alpha"], sort=False):
        line = line.sort_values("step")
        look = _look(mode, alpha, alphas) | options
        style.points_with_intervals(axes, *(line[name] for name in ("step", "value", "low", "high")), **look)


def _shift(axes: Axes, own: pd.DataFrame, alphas: list[float]) -> None:
    axes.axhline(0, color=style.GREY, lw=0.7, zorder=1)
    _curves(axes, own, "shift_towards", alphas)
    found = own[own["quantity"] == "shift_towards"]
    axes.set_ylabel(f"{style.with_unit(own['attribute'].iloc[0], found['unit'].iloc[0])}\nmoved towards the class")


def _probability(axes: Axes, own: pd.DataFrame, alphas: list[float]) -> None:
    _curves(axes, own, "probability", alphas)
    # without the control nothing depends on the mode or the strength
    first = own[(own["mode"] == own["mode"].iloc[0]) & (own["alpha"] == own["alpha"].iloc[0])]
    before = first[first["quantity"] == "probability_before"].sort_values("step")
    axes.plot(before["step"], before["value"], color=style.BLACK, **WITHOUT_LOOK)
    axes.fill_between(before["step"], before["low"], before["high"], color=style.BLACK, alpha=0.12, lw=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("probability of the class\nat the end")


def _keys(alphas: list[float]) -> list:
    modes = [style.key(f"added {label}", color=colour, lw=2.2) for label, colour in MODES.values()]
    strengths = [style.key(f"α {alpha:g}", **_look("on", alpha, alphas) | {"color": style.GREY}) for alpha in alphas]
    return [*modes, *strengths, style.key("without it", color=style.BLACK, **WITHOUT_LOOK)]
