"""Classes of an attribute: bins of its values, fitted to the train split once and stored."""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sonolens.files import read_json, write_json

LEFT_OUT = -1


class Bins(NamedTuple):
    """Class k holds the values in [edges[k], edges[k + 1]); the last edge belongs to the last bin.

    There may be one class more, for frames where the attribute is undefined (unvoiced); its centre is NaN.
    """

    unit: str
    edges: np.ndarray  # (n_bins + 1,) ascending, in the unit
    class_names: list[str]  # (n_classes,)
    centres: np.ndarray  # (n_classes,) in the unit
    undefined_class: int  # class of a value that is NaN; LEFT_OUT if there is none
    clips_beyond: bool  # values beyond the outer edges belong to the end bins, or else are left out

    @property
    def n_classes(self) -> int:
        """Classes, the one of undefined frames included."""
        return len(self.class_names)


def classify(value: np.ndarray, bins: Bins) -> np.ndarray:
    """Class of each value (N,), int16; LEFT_OUT where it has none."""
    value = np.asarray(value, np.float64)
    n_bins = len(bins.edges) - 1
    index = np.searchsorted(bins.edges, value, side="right") - 1
    index[value == bins.edges[-1]] = n_bins - 1
    if bins.clips_beyond:
        index = np.clip(index, 0, n_bins - 1)
    else:
        index[(index < 0) | (index >= n_bins)] = LEFT_OUT
    index[np.isnan(value)] = bins.undefined_class
    return index.astype(np.int16)


def equal_bins(values: np.ndarray, options: dict, unit: str) -> Bins:
    """Equally spaced bins between two percentiles of `values` (N,); what lies beyond belongs to the end bins.

    options: n_classes, low_percentile, high_percentile. NaN is ignored. Raises ValueError if the values do not vary.
    """
    defined = values[np.isfinite(values)].astype(np.float64)
    if not len(defined):
        raise ValueError("there is no labelled frame in the train split to fit bins to")
    low, high = np.percentile(defined, [options["low_percentile"], options["high_percentile"]])
    if not high > low:
        raise ValueError(
            f"the values of the train split do not vary: both percentiles are {low:g} {unit}; "
            "widen low_percentile and high_percentile, or give more varied recordings"
        )
    edges = np.linspace(low, high, options["n_classes"] + 1)
    # Two significant digits of a bin's width: enough to tell neighbours apart.
    decimals = max(0, 1 - math.floor(math.log10(edges[1] - edges[0])))
    names = [f"{a:.{decimals}f} to {b:.{decimals}f} {unit}" for a, b in itertools.pairwise(edges)]
    return Bins(unit, edges, names, (edges[:-1] + edges[1:]) / 2, LEFT_OUT, clips_beyond=True)


def write(bins: Bins, attribute: str, path: str | Path) -> None:
    """Store the bins; a centre that is NaN becomes null."""
    write_json(
        path,
        {
            "attribute": attribute,
            "unit": bins.unit,
            "n_classes": bins.n_classes,
            "edges": [float(edge) for edge in bins.edges],
            "class_names": bins.class_names,
            "centres": [None if math.isnan(centre) else float(centre) for centre in bins.centres],
            "undefined_class": bins.undefined_class,
            "clips_beyond": bins.clips_beyond,
        },
    )


def read(path: str | Path) -> Bins:
    """Bins as stored by `write`."""
    stored = read_json(path)
    centres = np.array([math.nan if centre is None else centre for centre in stored["centres"]])
    return Bins(
        stored["unit"],
        np.array(stored["edges"]),
        stored["class_names"],
        centres,
        stored["undefined_class"],
        stored["clips_beyond"],
    )
