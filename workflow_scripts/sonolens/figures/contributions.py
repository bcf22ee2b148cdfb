"""Which features speak for which classes in the selected cell."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sonolens import tables
from sonolens.cell_selection import path_of
from sonolens.figures import style
from sonolens.figures.confusion import class_ticks
from sonolens.files import read_json

PER_CLASS = 3
SCALE = Normalize(0, 1)


def draw(selected_paths: list[str], bins_paths: list[str], contribution_paths: list[str]) -> Figure:
    """Rows are encoders, columns attributes; contribution of the top features (x) to each class (y).

    selected_paths: one per encoder; bins_paths: one per attribute; contribution_paths: of all cells and attributes
    """
    selected, bins = [read_json(path) for path in selected_paths], [read_json(path) for path in bins_paths]
    figure, panels = style.new_figure(len(selected), len(bins), row_height_in=3.0)
    for cell, row in zip(selected, panels, strict=True):
        for classes, axes in zip(bins, row, strict=True):
            of_panel = (f"/{cell['encoder']}/", f"/{classes['attribute']}/")
            table = tables.read(path_of(cell, contribution_paths, *of_panel), tables.CONTRIBUTIONS)
            _map(axes, table, classes)
            axes.set_ylabel(style.with_unit(classes["attribute"], classes["unit"]))
        style.row_title(row[0], f"{cell['encoder']}: n_features {cell['dim']}, λ {cell['lam']:g}")
    bar = figure.colorbar(ScalarMappable(SCALE, "cividis"), ax=panels, shrink=0.5, aspect=30, pad=0.01)
    bar.set_label("contribution, share of the class's largest")
    bar.outline.set_visible(False)
    return figure


def top_features(table: pd.DataFrame, n_classes: int, per_class: int = PER_CLASS) -> tuple[np.ndarray, list[int]]:
    """Contributions (n_classes, n_shown), NaN where the table holds none, and the n_shown features.

    Shown are the first `per_class` features of each class, in the order of the classes that they speak most for.
    table: tables.CONTRIBUTIONS
    """
    first = table[(table["rank_in_class"] > 0) & (table["rank_in_class"] <= per_class)]
    pairs = table[table["feature"].isin(first["feature"])]
    matrix = pairs.pivot_table(index="class_index", columns="feature", values="contribution", aggfunc="first")
    matrix = matrix.reindex(range(n_classes))
    values = matrix.fillna(-np.inf).to_numpy()
    order = np.lexsort((-values.max(axis=0), values.argmax(axis=0))) if values.size else np.empty(0, int)
    return matrix.to_numpy(float)[:, order], [int(feature) for feature in matrix.columns[order]]


def _map(axes: Axes, table: pd.DataFrame, bins: dict) -> None:
    values, features = top_features(table, bins["n_classes"])
    if not features:
        style.say(axes, "no feature contributes to any class")
        return
    strongest = np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=1, keepdims=True, initial=0)
    shares = np.divide(values, strongest, out=np.full(values.shape, np.nan), where=strongest > 0)
    axes.set_facecolor(style.PALEST)  # pairs beyond the table's depth, classes without test frames
    axes.grid(False)
    axes.imshow(shares, cmap="cividis", norm=SCALE, origin="lower", aspect="auto")
    at, texts = class_ticks(bins)
    axes.set_yticks(at, texts)
    axes.xaxis.set_major_locator(style.few_ticks())
    axes.set_xlabel(f"{len(features)} features, top {PER_CLASS} of each class")
