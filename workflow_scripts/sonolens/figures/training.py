"""Training curves of all autoencoders, and of the codecs that the workflow trains."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style

SAE_PANELS = [
    ("loss", "training loss", True),
    ("validation_explained_variance", "explained variance\n(validation)", False),
    ("validation_sparsity", "sparsity\n(validation)", False),
    ("dead_share", "dead features (share)", False),
]
CODEC_PANELS = [("loss", "codec training loss"), ("reconstruction", "spectral part"), ("bottleneck", "bottleneck part")]


def draw(histories: pd.DataFrame, codec_histories: pd.DataFrame) -> Figure:
    """A row of panels per encoder's grid, and one for the codecs if any is trained here.

    histories: schemas.HISTORIES, codec_histories: schemas.CODEC_HISTORIES
    """
    encoders = style.in_order(histories["encoder"])
    has_codecs = len(codec_histories) > 0
    figure, panels = style.new_figure(len(encoders) + has_codecs, len(SAE_PANELS), row_height_in=2.2)
    colours = style.scale_colours(histories["expansion"])
    lams = sorted(histories["lam"].unique())
    widths = {lam: 0.6 + 1.4 * i / max(len(lams) - 1, 1) for i, lam in enumerate(lams)}
    for encoder, row in zip(encoders, panels, strict=False):
        own = histories[histories["encoder"] == encoder]
        for (column, label, is_log), axes in zip(SAE_PANELS, row, strict=True):
            for (expansion, lam), line in own.groupby(["expansion", "lam"]):
                axes.plot(line["step"], line[column], color=colours[expansion], lw=widths[lam], alpha=0.85)
            if is_log:
                style.log_axis(axes, "y")
            axes.set_ylabel(label)
            _steps(axes)
        style.row_title(row[0], encoder)
    if has_codecs:
        _codecs(panels[-1], codec_histories)
    lines = [style.key(f"λ {lam:g}", color=style.GREY, lw=widths[lam]) for lam in dict.fromkeys([lams[0], lams[-1]])]
    style.legend_above(figure, style.expansion_keys(colours) + lines, "n_features / d_latent")
    return figure


def _steps(axes: Axes) -> None:
    axes.set_xlabel("optimiser steps")
    axes.xaxis.set_major_locator(style.few_ticks())


def _codecs(row, histories: pd.DataFrame) -> None:
    """The codecs' own curves, one hue each."""
    hues = style.hues(style.in_order(histories["encoder"]))
    for (column, label), axes in zip(CODEC_PANELS, row, strict=False):
        for encoder, line in histories.groupby("encoder", sort=False):
            axes.plot(line["step"], line[column], color=hues[encoder], label=encoder)
        axes.set_ylabel(label)
        _steps(axes)
    style.row_title(row[0], "codecs")
    row[-1].legend(*row[0].get_legend_handles_labels(), loc="upper left")
    row[-1].set_axis_off()
