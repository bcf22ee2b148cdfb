"""Confusion matrices of the selected cell."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from sonolens.cell_selection import path_of
from sonolens.figures import style
from sonolens.files import read_json

# the square root: a diffuse row would be black on a linear scale
SCALE = PowerNorm(0.5, 0, 1)


def draw(selected_paths: list[str], bins_paths: list[str], confusion_paths: list[str]) -> Figure:
    """Rows are encoders, columns attributes; each matrix (n_classes, n_classes) by shares of the true class.

    selected_paths: one per encoder; bins_paths: one per attribute; confusion_paths: of all cells and attributes
    """
    selected, bins = [read_json(path) for path in selected_paths], [read_json(path) for path in bins_paths]
    figure, panels = style.new_figure(len(selected), len(bins), row_height_in=3.3)
    for cell, row in zip(selected, panels, strict=True):
        for classes, axes in zip(bins, row, strict=True):
            of_panel = (f"/{cell['encoder']}/", f"/{classes['attribute']}/")
            counts = np.load(path_of(cell, confusion_paths, *of_panel))
            _matrix(axes, counts, classes)
            name = style.with_unit(classes["attribute"], classes["unit"])
            axes.set_xlabel(f"predicted {name}\naccuracy {np.trace(counts) / max(counts.sum(), 1):.3f}")
            axes.set_ylabel(f"true {name}")
        style.row_title(row[0], f"{cell['encoder']}: n_features {cell['dim']}, λ {cell['lam']:g}")
    bar = figure.colorbar(
        ScalarMappable(SCALE, "cividis"), ax=panels, shrink=0.5, aspect=24, pad=0.01, ticks=[0, 0.05, 0.2, 0.5, 1]
    )
    bar.set_label("share of the true class's frames")
    bar.outline.set_visible(False)
    return figure


def class_ticks(bins: dict, n_shown: int = 6) -> tuple[list[int], list[str]]:
    """Indices and short names of about `n_shown` classes, first and last among them; a bin's name is its centre.

    bins: content of results/labels/{attribute}/bins.json
    """
    names = bins["class_names"]
    at = np.unique(np.linspace(0, len(names) - 1, min(n_shown, len(names))).round().astype(int))
    short = [_short_name(names[i], bins["centres"][i]) for i in at]
    return at.tolist(), short


def _short_name(name: str, centre: float | None) -> str:
    return name if len(name) <= 8 or centre is None else f"{centre:.4g}".replace("-", "−")


def _matrix(axes: Axes, counts: np.ndarray, bins: dict) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    axes.set_facecolor(style.PALE)  # a true class without test frames
    axes.grid(False)
    axes.imshow(shares, cmap="cividis", norm=SCALE, origin="lower")
    at, texts = class_ticks(bins)
    axes.set_xticks(at, texts, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(at, texts)
