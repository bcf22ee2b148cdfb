"""The report's tables as CSV: rows in a fixed order, numbers written in one way, so that equal runs give equal files.

Only cells.csv holds what differs from run to run: frames_per_s and train_seconds.
"""

import math
from numbers import Real
from pathlib import Path

import pandas as pd

from sonolens.files import replacing
from sonolens.report.schemas import AUDIO_COLUMNS, CELL_METRICS, PITCH_METRICS, PROBE_METRICS

CELL_FIRST = [
    "encoder", "dim", "expansion", "lam", "sparsity", "l0", "explained_variance", "mse", "dead_share", "frames_per_s",
    "train_seconds",
]  # fmt: skip


def text(value: object) -> str:
    """A value as it stands in every CSV: six significant digits, nothing for what is missing."""
    if value is None:
        return ""
    if isinstance(value, Real) and not isinstance(value, bool):
        if math.isnan(value):
            return ""
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{float(value):.6g}"
    return str(value)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write `frame` with one header line, its rows in the order given."""
    with replacing(path) as temporary:
        frame.map(text).to_csv(temporary, index=False, lineterminator="\n")


def wide_cells(cells: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: the columns that a user's script relies on first, then intervals, the audio domain, the rest.

    cells: schemas.CELLS, probes: schemas.PROBES
    """
    keys = ["encoder", "dim", "lam"]
    cells, later = cells.copy(), []
    for attribute in dict.fromkeys(probes["attribute"]):
        own = probes[probes["attribute"] == attribute]
        features, raw = own[own["dim"] > 0].set_index(keys), own[own["dim"] == 0].set_index("encoder")
        index = pd.MultiIndex.from_frame(cells[keys])
        for metric in ("accuracy", "majority_share", "macro_f1"):
            cells[f"{attribute}_{metric}"] = features[metric].reindex(index).to_numpy()
        cells[f"{attribute}_raw_latent_accuracy"] = raw["accuracy"].reindex(cells["encoder"]).to_numpy()
        for metric in ("accuracy_low", "accuracy_high", "within_one_accuracy", "validation_accuracy", *PITCH_METRICS):
            if features[metric].notna().any():
                values = features[metric].reindex(index).to_numpy()
                later.append(pd.Series(values, cells.index, name=f"{attribute}_{metric}"))
    fixed = [*CELL_FIRST, *(name for name in cells if name not in [*CELL_FIRST, *CELL_METRICS, *AUDIO_COLUMNS])]
    rest = [name for name in [*CELL_METRICS, *AUDIO_COLUMNS] if name not in fixed]
    return pd.concat([cells[fixed], cells[rest], *later], axis=1).sort_values(keys, ignore_index=True)


def sorted_probes(probes: pd.DataFrame) -> pd.DataFrame:
    """probes.csv: one row per probe; `source` says whether it reads SAE features or raw latents."""
    source = probes["dim"].gt(0).map({True: "features", False: "raw_latents"}).rename("source")
    named = pd.concat([probes[["encoder"]], source, probes.drop(columns="encoder")], axis=1)
    named[["dim", "expansion"]] = named[["dim", "expansion"]].where(named["dim"] > 0)
    columns = ["encoder", "source", "attribute", "unit", "dim", "expansion", "lam", *PROBE_METRICS, *PITCH_METRICS]
    keys = ["encoder", "source", "attribute", "dim", "lam"]
    return named[columns].sort_values(keys, ignore_index=True)
