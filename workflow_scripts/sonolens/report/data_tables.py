"""Tables of what went into the experiment: recordings, rejected files, codec quality, the label check."""

from pathlib import Path

import pandas as pd

from sonolens import tables
from sonolens.files import read_json

CODEC_COLUMNS = ["encoder", "kind", "n_clips", "log_spectral_distance_db", "pitch_kept_share"]
SPLITS = ["train", "validation", "test"]


def recordings(manifest_paths: list[str], rejected: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and split: clips, groups, hours; and the files of each dataset that were left out."""
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    rows = []
    for (dataset, split), own in manifest.groupby(["dataset", "split"], sort=True):
        hours = own["duration_s"].sum() / 3600
        rows.append({"dataset": dataset, "split": split, "n_clips": len(own), "n_groups": own["group"].nunique()})
        rows[-1]["hours"] = hours
    for dataset in sorted(manifest["dataset"].unique()):
        n_rejected = int((rejected["dataset"] == dataset).sum())
        rows.append({"dataset": dataset, "split": "rejected", "n_clips": n_rejected})
    table = pd.DataFrame(rows)
    order = [*SPLITS, "rejected"]
    return table.sort_values(["dataset", "split"], key=lambda c: c.map(order.index) if c.name == "split" else c)


def rejected_files(paths: list[str]) -> pd.DataFrame:
    """All files that were left out, with the reason."""
    return tables.read_all(paths, tables.REJECTED).sort_values(["dataset", "path"], ignore_index=True)


def codec_quality(paths: list[str]) -> pd.DataFrame:
    """One row per encoder and kind of recording, "all" first, from results/codecs/{encoder}/quality.json."""
    rows = []
    for path in paths:
        quality = read_json(path)
        parts = [("all", quality["overall"]), *sorted(quality["kinds"].items())]
        rows += [{"encoder": Path(path).parent.name, "kind": kind} | part for kind, part in parts]
    return pd.DataFrame(rows)[CODEC_COLUMNS]


def label_check(path: str) -> pd.DataFrame:
    """One row per attribute, dataset, kind of recording and figure, from results/labels/check.json."""
    return pd.DataFrame(read_json(path)["rows"])
