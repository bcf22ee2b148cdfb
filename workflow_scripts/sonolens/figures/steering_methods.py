"""What a shift of the target costs under each way to steer: how far the others move, and how far the sound goes off."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.figures.steering import cell_title, cells_of, is_measured, nothing
from sonolens.report.method_names import LABELS
from sonolens.report.steering_matching import REFERENCE_OF
from sonolens.report.steering_tables import curve
from sonolens.steering.methods import METHODS, PAPER, Method

COLOURS = {"probe": style.BLUE, "class_mean": style.VERMILLION, "random": style.GREY}
WITHOUT_NORM = style.ORANGE
ROWS = [("others_shift_spreads", "others' shift (spreads)"), ("lsd_original_db", "distance to the original (dB)")]


def is_bare(method: Method) -> bool:
    """Whether it steers codes and leaves their norm as it comes."""
    return method.space == "code" and not method.renormalises


def look(method: Method) -> dict:
    """Hue by direction; features solid and filled, raw latents dashed and hollow; the paper's method broad."""
    is_latent = method.space == "latent"
    return {
        "color": WITHOUT_NORM if is_bare(method) else COLOURS[method.direction],
        "marker": "s" if is_latent else "D" if is_bare(method) else "o",
        "linestyle": (0, (4, 1.5)) if is_latent else "-",
        "markerfacecolor": "white" if is_latent else None,
        "lw": 2.4 if method == PAPER else 1.3,
        "markersize": 4.6 if method == PAPER else 3.8,
        "zorder": 4 if method == PAPER else 3,
    }


def draw(steering: pd.DataFrame) -> Figure:
    """Two rows per steered cell, side effect above distance; columns are attributes, the shift of the target along x.

    steering: schemas.STEERING
    """
    cells, attributes = cells_of(steering), style.in_order(steering["attribute"])
    if not cells:
        return nothing()
    shown = [(quantity, label) for quantity, label in ROWS if is_measured(steering, quantity)]
    figure, panels = style.new_figure(len(shown) * len(cells), len(attributes), row_height_in=2.3)
    methods = [method for method in METHODS if method.name in set(steering["method"])]
    for position, (encoder, cell) in enumerate(cells):
        rows = panels[position * len(shown) : (position + 1) * len(shown)]
        for (quantity, label), row in zip(shown, rows, strict=True):
            for attribute, axes in zip(attributes, row, strict=True):
                _panel(axes, steering, (encoder, cell, attribute), quantity, label, methods)
        style.row_title(rows[0][0], cell_title(steering, encoder, cell))
    # features above latents in each column, what has no partner last
    by_direction = sorted(methods, key=lambda method: (is_bare(method), [*COLOURS].index(method.direction)))
    keys = [style.key(LABELS[method.name], **look(method)) for method in by_direction]
    style.legend_above(figure, keys, "", n_columns=4)
    return figure


def _panel(
    axes: Axes, steering: pd.DataFrame, where: tuple[str, str, str], quantity: str, label: str, methods: list[Method]
) -> None:
    """One curve per method; where: encoder, cell, attribute."""
    found = [(method, points(steering, where, method, quantity)) for method in methods]
    if all(line["y"].isna().all() for _, line in found):
        style.say(axes, "not measured")
        return
    axes.axvline(0, color=style.GREY, lw=0.7, zorder=1)
    for method, line in found:
        _curve(axes, line.dropna(subset=["x", "y"]), look(method))
    own = steering[steering["attribute"] == where[2]]
    axes.set_xlabel(f"{where[2]} moved towards the class ({own['unit'].iloc[0]})")
    axes.set_ylabel(label)
    axes.annotate(
        "better", (0.985, 0.03), (0.86, 0.17), "axes fraction", "axes fraction", color=style.GREY, fontsize=7.5,
        ha="right", va="bottom", arrowprops={"arrowstyle": "->", "color": style.GREY, "lw": 0.8},
    )  # fmt: skip


def points(steering: pd.DataFrame, where: tuple[str, str, str], method: Method, quantity: str) -> pd.DataFrame:
    """x, y and the ends of their intervals along α, from α = 0 on.

    quantity: a column of steering.csv; at α = 0 it is 0, or for a distance that of the sound that is steered.
    """
    x = curve(steering, *where, method.name, "shift_towards")
    y = curve(steering, *where, method.name, quantity)
    joined = x.merge(y, on="alpha", suffixes=("", "_y")).rename(
        columns={"value": "x", "low": "x_low", "high": "x_high", "value_y": "y", "low_y": "y_low", "high_y": "y_high"}
    )
    start = dict.fromkeys(joined.columns, 0.0)
    if quantity != "others_shift_spreads":
        reference = curve(steering, *where, REFERENCE_OF[method.space], quantity, of_class="")
        if reference.empty:
            return joined
        value, low, high = reference.iloc[0][["value", "low", "high"]]
        start |= {"y": value, "y_low": low, "y_high": high}
    elif joined["y"].isna().all():
        return joined
    return pd.concat([pd.DataFrame([start]), joined], ignore_index=True)


def _curve(axes: Axes, line: pd.DataFrame, options: dict) -> None:
    """Points along α joined by a line, with both intervals as thin bars."""
    errors = [
        [(line[name] - line[f"{name}_low"]).clip(lower=0), (line[f"{name}_high"] - line[name]).clip(lower=0)]
        for name in ("x", "y")
    ]
    axes.errorbar(line["x"], line["y"], xerr=errors[0], yerr=errors[1], elinewidth=0.7, **options)
