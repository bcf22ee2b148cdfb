"""What of the evolution is the generator's doing: the same curve of paths that it did not take, and of a void probe."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.figures.generation import LABEL, MEAN, curve_with_band, nothing, rows_of, step_axis

# view, probe: what the line is of, and its look; the one that is judged comes last and lies in front
LINES = {
    ("x_t", "shuffled"): ("$X_t$, probe of shuffled labels", {"color": style.GREY, "linestyle": (0, (4, 2))}),
    ("data", "fitted"): (
        "straight line from the noise to a test recording",
        {"color": style.GREEN, "linestyle": (0, (1, 1.3))},
    ),
    ("straight", "fitted"): ("straight line between the path's own ends", {"color": style.ORANGE, "linestyle": "-."}),
    ("x_t", "fitted"): ("$X_t$, the path itself", {"color": style.BLUE, "lw": 2.2}),
}


def draw(generation: pd.DataFrame) -> Figure:
    """Rows are generators, columns attributes; each panel has s of the path over the steps, and of the controls.

    generation: generation_schemas.GENERATION
    """
    generators, attributes = (style.in_order(generation[name]) for name in ("generator", "attribute"))
    if not generators:
        return nothing()
    figure, panels = style.new_figure(len(generators), len(attributes), row_height_in=2.6, sharey=True)
    for generator, row in zip(generators, panels, strict=True):
        for attribute, axes in zip(attributes, row, strict=True):
            _panel(axes, rows_of(generation, generator=generator, attribute=attribute, form=MEAN))
            axes.set_title(attribute, loc="right")
        style.row_title(row[0], generator)
        row[0].set_ylabel(LABEL)
    keys = [style.key(label, **options) for label, options in reversed(LINES.values())]
    style.legend_above(figure, keys, "", n_columns=2)
    return figure


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    for (view, probe), (_, options) in LINES.items():
        found = rows_of(own, view=view, probe=probe)
        curve_with_band(axes, found["step"], found["s"], found["s_low"], found["s_high"], **options)
    step_axis(axes, int(own["step"].max()))
    axes.set_xlabel("step")
