"""Tables of what went into the experiment: recordings, rejected files, codec quality, the label check."""

import math
from pathlib import Path

import pandas as pd

from sonolens import tables
from sonolens.files import read_json

CODEC_METRICS = ["log_spectral_distance_db", "pitch_kept_share"]
LABEL_KEYS = ["dataset", "kind", "instrument", "frames", "n_clips", "n_frames"]
LABEL_METRICS = [
    "within_50_cents", "octave_error_share", "voicing_recall", "voicing_false_alarm", "median_abs_cents",
]  # fmt: skip
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
    """One row per encoder and kind of recording, "all" first, with 95 % intervals over clips, from quality.json."""
    rows = []
    for path in paths:
        quality = read_json(path)
        for kind, part in [("all", quality["all"]), *sorted(quality["by_kind"].items())]:
            row = {"encoder": quality["encoder"], "kind": kind, "n_clips": part["n_clips"]}
            for metric in CODEC_METRICS:
                # null where no clip of the kind has a pitch
                interval = part[metric] or {"mean": math.nan, "low": math.nan, "high": math.nan}
                row |= {metric: interval["mean"], f"{metric}_low": interval["low"], f"{metric}_high": interval["high"]}
            rows.append(row)
    return pd.DataFrame(rows)


def frame_times(paths: list[str]) -> pd.DataFrame:
    """One row per encoder: the moment that its frames stand for, declared and measured, from frame_time.json.

    Offsets are in frames from the start of a frame's hop. `deviation_ms` is what was measured less what labels are
    aligned by; more than half a hop of it is worth a `frame_offset_frames` in the config.
    """
    rows = []
    for path in paths:
        found = read_json(path)
        known = {name: math.nan if value is None else value for name, value in found.items()}
        deviation_ms = round((known["measured"] - known["used"]) * known["hop_ms"], 3)
        rows.append({"encoder": Path(path).parent.name} | known | {"deviation_ms": deviation_ms})
    return pd.DataFrame(rows)[["encoder", "hop_ms", "declared", "measured", "standard_error", "used", "deviation_ms"]]


def label_check(path: str) -> pd.DataFrame:
    """Rows of results/labels/check.json: per dataset, kind, instrument and extent of frames; none without a truth."""
    return pd.DataFrame(read_json(path)["rows"], columns=[*LABEL_KEYS, *LABEL_METRICS])
