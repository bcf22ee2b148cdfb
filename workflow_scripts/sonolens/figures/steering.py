"""How far control vectors move their attribute, and how far it stands out from the others, against α."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.report.steering_tables import ALL, curve
from sonolens.steering.methods import PAPER

NOTHING = "This run steers nothing."
RANDOM = "random"
OTHERS_COLOUR = style.GREY


def cells_of(steering: pd.DataFrame) -> list[tuple[str, str]]:
    """(encoder, cell) of everything that is steered, in the order of the config."""
    return style.in_order(steering[["encoder", "cell"]].itertuples(index=False, name=None))


def nothing() -> Figure:
    """What is drawn where nothing is steered."""
    figure, panels = style.new_figure(1, 1, row_height_in=0.8)
    style.say(panels[0, 0], NOTHING)
    return figure


def cell_title(steering: pd.DataFrame, encoder: str, cell: str) -> str:
    """ "minivae, cell "selected": n_features 1024, λ 0.02" """
    own = steering[(steering["encoder"] == encoder) & (steering["cell"] == cell)].iloc[0]
    return f"{encoder}, cell “{cell}”: n_features {own['dim']}, λ {own['lam']:g}"


def is_measured(steering: pd.DataFrame, quantity: str) -> bool:
    """Whether a figure is defined anywhere; what compares with other attributes is not if there are none."""
    return bool(steering.loc[steering["quantity"] == quantity, "value"].notna().any())


def draw(steering: pd.DataFrame) -> Figure:
    """Two rows per steered cell, shift above isolation, which is left out if nothing has any; columns are attributes.

    steering: schemas.STEERING
    """
    cells, attributes = cells_of(steering), style.in_order(steering["attribute"])
    if not cells:
        return nothing()
    rows = [_shift, _isolation] if is_measured(steering, "isolation") else [_shift]
    heights = [1.25, 1][: len(rows)] * len(cells)
    figure, panels = style.new_figure(
        len(heights), len(attributes), row_height_in=2.2, sharex=True, height_ratios=heights
    )
    for position, (encoder, cell) in enumerate(cells):
        of_cell = panels[position * len(rows) : (position + 1) * len(rows)]
        own = steering[(steering["encoder"] == encoder) & (steering["cell"] == cell)]
        for draw_panel, row in zip(rows, of_cell, strict=True):
            for attribute, axes in zip(attributes, row, strict=True):
                draw_panel(axes, own[own["attribute"] == attribute], encoder, cell, attribute)
        style.row_title(of_cell[0][0], cell_title(steering, encoder, cell))
    for axes in panels[-1]:
        axes.set_xlabel("strength α")
    keys = [
        style.key("all classes", color=style.BLACK, marker="o", lw=2.2),
        style.key("one class, named in its panel", color=style.BLUE, marker="o", lw=1.2),
        style.key("random direction, as strong", color=OTHERS_COLOUR, marker="s", linestyle=(0, (4, 2))),
        style.key("isolation 1: the others move as far", color=style.BLACK, linestyle=(0, (1, 1.5)), lw=1.2),
    ]
    style.legend_above(figure, keys[: 2 + len(rows)], "")
    return figure


def class_colours(own: pd.DataFrame) -> dict[str, str]:
    """A hue for each class by its name, in the order of their indices."""
    classes = own[own["class_index"] >= 0].sort_values("class_index")
    return style.hues(style.in_order(classes["class"]))


def _shift(axes: Axes, own: pd.DataFrame, encoder: str, cell: str, attribute: str) -> None:
    """Towards the class, from 0 at α = 0 on; a line per class, all of them, and a random direction."""
    lines = _lines(own)
    axes.axhline(0, color=style.GREY, lw=0.7, zorder=1)
    for method, of_class, options in lines:
        found = curve(own, encoder, cell, attribute, method, "shift_towards", of_class)
        start = pd.DataFrame({"alpha": [0.0], "value": [0.0], "low": [0.0], "high": [0.0]})
        found = pd.concat([start, found.dropna(subset="value")])
        style.points_with_intervals(axes, *(found[name] for name in ("alpha", "value", "low", "high")), **options)
    unit = own["unit"].iloc[0] if len(own) else ""
    axes.set_ylabel(f"{style.with_unit(attribute, unit)}\nmoved towards the class")
    named = [style.key(name, color=hue, marker="o", markersize=3.2) for name, hue in class_colours(own).items()]
    if named:
        axes.legend(
            handles=named, loc="upper left", fontsize=7.5, handlelength=1.2, borderaxespad=0.1, labelspacing=0.3
        )
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.13 * len(named) * (high - low))  # room for the names


def _lines(own: pd.DataFrame) -> list[tuple[str, str, dict]]:
    """method, class and look of each line of a panel, those in front last."""
    lines = [(RANDOM, ALL, {"color": OTHERS_COLOUR, "marker": "s", "linestyle": (0, (4, 2)), "lw": 1.2, "zorder": 2})]
    for name, hue in class_colours(own).items():
        lines.append((PAPER.name, name, {"color": hue, "marker": "o", "markersize": 3.2, "lw": 1.2, "zorder": 3}))
    return [*lines, (PAPER.name, ALL, {"color": style.BLACK, "marker": "o", "lw": 2.2, "zorder": 4})]


def _isolation(axes: Axes, own: pd.DataFrame, encoder: str, cell: str, attribute: str) -> None:
    """Shift of the target over that of the others, on a logarithmic axis with 1 in it."""
    ends = [0.7, 1.5]
    for method, of_class, options in _lines(own):
        found = curve(own, encoder, cell, attribute, method, "isolation", of_class).dropna(subset="value")
        if found.empty:
            continue
        style.points_with_intervals(axes, *(found[name] for name in ("alpha", "value", "low", "high")), **options)
        ends += found[["value", "low", "high"]].to_numpy().ravel().tolist()
    positive = [end for end in ends if end > 0]  # NaN is not
    if len(positive) == 2:
        style.say(axes, "no other attribute\nwas measured")
        return
    axes.axhline(1, color=style.BLACK, linestyle=(0, (1, 1.5)), lw=1.2, zorder=1)
    axes.set_yscale("log")
    axes.set_ylim(min(positive) / 1.15, max(positive) * 1.15)
    style.log_axis(axes, "y")
    axes.set_ylabel(f"isolation of {attribute}\n(spreads / spreads)")
