"""Class probabilities of one prompt over the steps, as the latents come out of noise."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from sonolens.figures import class_axis, style
from sonolens.figures.generation import VIEWS, nothing, step_axis

# A class that never gets so probable is left out, unless it lies near one that does
NOTICEABLE = 0.02
N_BESIDE = 2


def draw(example: pd.DataFrame) -> Figure:
    """Two rows per generator, X_t above the end estimate, of its first prompt; columns are attributes.

    example: generation_schemas.GENERATION_EXAMPLE
    """
    generators, attributes = (style.in_order(example[name]) for name in ("generator", "attribute"))
    if not generators:
        return nothing()
    # the square root: what is spread over many classes would be black on a linear scale
    norm = PowerNorm(0.5, 0, float(example["probability"].max()))
    figure, panels = style.new_figure(len(VIEWS) * len(generators), len(attributes), row_height_in=2.4)
    for position, generator in enumerate(generators):
        rows = panels[len(VIEWS) * position : len(VIEWS) * (position + 1)]
        of_prompt = _first_prompt(example[example["generator"] == generator])
        for column, attribute in zip(rows.T, attributes, strict=True):
            own = of_prompt[of_prompt["attribute"] == attribute]
            kept = shown_classes(own)
            for view, axes in zip(VIEWS, column, strict=True):
                _map(axes, own[own["view"] == view], kept, norm)
                axes.set_ylabel(style.with_unit(attribute, own["unit"].iloc[0]))
            column[-1].set_xlabel("step")
        for title, (first, *_) in zip(VIEWS.values(), rows, strict=True):
            style.row_title(first, title)
        style.row_title(rows[0][0], f"{_prompt(of_prompt)}\n{VIEWS['x_t']}")
    bar = figure.colorbar(ScalarMappable(norm, "cividis"), ax=panels, shrink=0.5, aspect=24, pad=0.01)
    bar.set_label("probability, mean over frames")
    bar.outline.set_visible(False)
    return figure


def _first_prompt(own: pd.DataFrame) -> pd.DataFrame:
    return own[own["prompt_id"] == own["prompt_id"].iloc[0]]


def _prompt(of_prompt: pd.DataFrame) -> str:
    """Whose it is, in at most three lines as wide as a panel."""
    first = of_prompt.iloc[0]
    text = textwrap.shorten(f"{first['generator']}: “{first['text']}”", 130, placeholder=" …”")
    return textwrap.fill(text, 46)


def shown_classes(own: pd.DataFrame) -> list[int]:
    """Indices of the classes of one attribute that are noticeable in any view and step, with N_BESIDE around each."""
    highest = own.groupby("class_index")["probability"].max()
    noticeable = highest.index[highest >= min(NOTICEABLE, highest.max())].to_numpy()
    return [index for index in highest.index if np.abs(noticeable - index).min() <= N_BESIDE]


def _map(axes: Axes, own: pd.DataFrame, kept: list[int], norm: PowerNorm) -> None:
    """A cell per class of `kept` and step; a white line where classes are left out in between."""
    shown = own[own["class_index"].isin(kept)]
    grid = shown.pivot(index="class_index", columns="step", values="probability")
    steps = grid.columns.to_numpy(float)
    axes.grid(False)
    axes.pcolormesh(steps, np.arange(len(kept)), grid.to_numpy(), cmap="cividis", norm=norm, rasterized=True)
    for row in np.flatnonzero(np.diff(kept) > 1):
        axes.axhline(row + 0.5, color="white", lw=2.5)
    names = shown.drop_duplicates("class_index").set_index("class_index")["class"]
    axes.set_yticks(*class_axis.few([names[index] for index in kept], own["unit"].iloc[0], n_shown=7))
    step_axis(axes, int(steps[-1]))
    axes.set_xlim(-0.5, steps[-1] + 0.5)
