"""What codecs and autoencoders do to sound."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.report.data_tables import codec_quality

MEASURES = {
    "log_spectral_distance_db": "log-spectral distance to the original (dB)",
    "pitch_kept_share": "share of pitch kept within 50 cents",
}


def draw(codec_paths: list[str], cells: pd.DataFrame) -> Figure:
    """Codecs alone by kind of recording, then one row per encoder: through the autoencoder, against sparsity.

    codec_paths: results/codecs/{encoder}/quality.json; cells: schemas.CELLS
    """
    codecs = codec_quality(codec_paths)
    encoders = style.in_order(cells["encoder"])
    kinds = style.in_order(codecs["kind"])
    top = (0.6 + 0.26 * len(kinds)) / 2.5
    figure, panels = style.new_figure(1 + len(encoders), 2, height_ratios=[top] + [1] * len(encoders))
    hues = style.hues(encoders)
    colours = style.scale_colours(cells["expansion"])
    for column, (measure, label) in enumerate(MEASURES.items()):
        _by_kind(panels[0, column], codecs, measure, kinds, hues)
        panels[0, column].set_xlabel(label)
        for encoder, axes in zip(encoders, panels[1:, column], strict=True):
            own = cells[cells["encoder"] == encoder]
            baseline = own[f"codec_{measure}"].mean()
            axes.axhline(baseline, color=style.BLACK, lw=1.3, zorder=1)
            for expansion, size in own.sort_values("sparsity").groupby("expansion", sort=True):
                axes.plot(size["sparsity"], size[f"sae_{measure}"], color=colours[expansion], marker="o")
            style.sparsity_axis(axes, own["sparsity"])
            axes.set_ylabel(label.replace(" to the", "\nto the").replace(" kept", " kept\n"))
    style.row_title(panels[0, 0], "codecs alone, by kind of recording")
    for encoder, axes in zip(encoders, panels[1:, 0], strict=True):
        style.row_title(axes, f"{encoder} through the autoencoder")
    names = [style.key(name, color=hue, marker="o", linestyle="none") for name, hue in hues.items()]
    panels[0, 1].legend(handles=names, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names))
    keys = [*style.expansion_keys(colours), style.key("codec alone, same excerpts", color=style.BLACK, lw=1.3)]
    style.legend_above(figure, keys, "n_features / d_latent")
    return figure


def _by_kind(axes: Axes, codecs: pd.DataFrame, measure: str, kinds: list[str], hues: dict[str, str]) -> None:
    """A point with its 95 % interval over clips per encoder and kind, encoders beside each other."""
    for i, (encoder, hue) in enumerate(hues.items()):
        own = codecs[(codecs["encoder"] == encoder) & codecs[measure].notna()]
        offset = (i - (len(hues) - 1) / 2) * 0.5 / len(hues)
        rows = [kinds.index(kind) + offset for kind in own["kind"]]
        axes.hlines(rows, own[f"{measure}_low"], own[f"{measure}_high"], color=hue, lw=1.2)
        axes.plot(own[measure], rows, "o", color=hue)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
