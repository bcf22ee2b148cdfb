"""Whether what was generated sounds like the recordings: its labels beside theirs, and its Fréchet distance to them."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import class_axis, style
from sonolens.figures.generation import nothing

# In the order in which they are drawn and listed, what is judged in front
LOOKS = {
    "test": ("test recordings", {"color": style.BLACK, "lw": 1.2}),
    "codec": ("test recordings through the codec", {"color": style.GREEN, "lw": 1.2}),
    "noise": ("noise, decoded", {"color": style.ORANGE, "lw": 1.2, "linestyle": (0, (4, 1.5))}),
    "generated": ("generated", {"color": style.BLUE, "lw": 2.0}),
}
NO_CLASS = -1
# Its share stands below: beside it the others would be flat
UNDEFINED = "unvoiced"
AS_IS_LOOK = {"marker": "|", "markersize": 11, "markeredgewidth": 1.3, "lw": 0}


def draw(samples: pd.DataFrame, distances: pd.DataFrame) -> Figure:
    """A row per generator: shares of the classes of each attribute by source, then distances to the test recordings.

    samples, distances: generation_schemas.GENERATION_SAMPLES and GENERATION_DISTANCES
    """
    generators, attributes = (style.in_order(samples[name]) for name in ("generator", "attribute"))
    if not generators:
        return nothing()
    figure, panels = style.new_figure(
        len(generators), len(attributes) + 1, row_height_in=3.0, width_ratios=[1.15] * len(attributes) + [1]
    )
    for generator, row in zip(generators, panels, strict=True):
        own = samples[samples["generator"] == generator]
        for attribute, axes in zip(attributes, row, strict=False):
            _shares(axes, own[own["attribute"] == attribute])
        row[0].set_ylabel("share of the frames that have a class")
        style.row_title(row[0], generator)
        _distances(figure, row[-1], distances[distances["generator"] == generator])
    sources = [name for name in LOOKS if name in {*samples["source"], *distances["source"]}]
    keys = [style.key(LOOKS[name][0], **LOOKS[name][1]) for name in sources]
    keys.append(style.key("distance, had it not been extrapolated", color=style.BLACK, **AS_IS_LOOK))
    style.legend_above(figure, keys, "")
    return figure


def _shares(axes: Axes, own: pd.DataFrame) -> None:
    """A stepped line per source over the classes; below, what share of all frames has none, or is unvoiced."""
    drawn = (own["class_index"] != NO_CLASS) & (own["class"] != UNDEFINED)
    by_class = own[drawn].sort_values("class_index", kind="stable")
    names = by_class.drop_duplicates("class_index").set_index("class_index")["class"]
    for source, (_, options) in LOOKS.items():
        found = by_class[by_class["source"] == source]
        if len(found):
            axes.step(found["class_index"], found["share"], where="mid", **options)
            band = (found["class_index"], found["share_low"], found["share_high"])
            axes.fill_between(*band, step="mid", color=options["color"], alpha=0.18, lw=0)
    unit = own["unit"].iloc[0]
    at, texts = class_axis.few(list(names), unit, n_shown=4)
    axes.set_xticks(names.index[at], texts)
    axes.set_ylim(bottom=0)
    title = style.with_unit(own["attribute"].iloc[0], unit)
    is_undefined = own["class"] == UNDEFINED
    said = "not drawn, unvoiced" if is_undefined.any() else "of all frames without a class"
    apart = own[is_undefined if is_undefined.any() else own["class_index"] == NO_CLASS].set_index("source")["share"]
    listed = [f"{name} {100 * apart[name]:.0f} %" for name in LOOKS if name in apart]
    axes.set_xlabel(f"{title}\n{said}:\n{textwrap.fill(', '.join(listed), 40)}", fontsize=8)


def _distances(figure: Figure, place: Axes, own: pd.DataFrame) -> None:
    """Instead of `place` a panel per embedding, since distances of two have no scale in common: a bar per source."""
    embeddings = style.in_order(own["embedding"])
    if not embeddings:
        style.say(place, "no embedding\nis configured")
        return
    grid = place.get_subplotspec().subgridspec(len(embeddings), 1)
    place.remove()
    for embedding, cell in zip(embeddings, grid, strict=True):
        axes = figure.add_subplot(cell)
        of_embedding = own[own["embedding"] == embedding].set_index("source")
        sources = [name for name in reversed(LOOKS) if name in of_embedding.index]
        for y, source in enumerate(sources):
            _bar(axes, y, of_embedding.loc[source], LOOKS[source][1]["color"])
        counts = [f"{source}\n{of_embedding.loc[source, 'n_windows']:,} windows" for source in sources]
        axes.set_yticks(range(len(sources)), counts, fontsize=7.5)
        axes.set_ylim(len(sources) - 0.4, -0.6)
        axes.grid(False, axis="y")
        known = of_embedding[["distance", "distance_as_is"]].to_numpy()
        known = known[np.isfinite(known)]
        axes.set_xlim(known.min(initial=0.0), 1.45 * known.max(initial=1e-3))
        axes.set_xlabel(f"Fréchet distance\nby {embedding}", fontsize=8)


def _bar(axes: Axes, y: float, row: pd.Series, colour: str) -> None:
    """The distance as a bar with its number at the end, and a tick where it would lie had nothing been extrapolated.

    Of too few windows to extrapolate that place is all that is known: the distance is smaller.
    """
    as_is = row["distance_as_is"]
    if np.isnan(as_is):
        axes.text(0, y, " next to nothing sounds", va="center", fontsize=7.5, color=style.GREY)
        return
    end, text = as_is, f"< {as_is:.3g}"
    if not np.isnan(row["distance"]):
        axes.barh(y, row["distance"], 0.6, color=colour)
        end, text = max(row["distance"], as_is), f"{row['distance']:.3g}"
    axes.plot(as_is, y, color=style.BLACK, **AS_IS_LOOK)
    axes.annotate(text, (end, y), (5, 0), textcoords="offset points", va="center", fontsize=7.5)
