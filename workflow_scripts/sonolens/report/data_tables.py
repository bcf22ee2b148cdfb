"""Tables of what went into the experiment: recordings, files not used, codec quality, the label check."""

import math
from pathlib import Path

import pandas as pd

from sonolens import tables
from sonolens.files import read_json

CODEC_METRICS = ["log_spectral_distance_db", "pitch_kept_share"]
LABEL_KEYS = ["dataset", "kind", "instrument", "frames", "n_clips", "n_frames", "n_frames_left_out"]
LABEL_METRICS = [
    "within_50_cents", "within_50_cents_low", "within_50_cents_high", "octave_error_share", "octave_error_share_low",
    "octave_error_share_high", "voicing_recall", "voicing_false_alarm", "median_abs_cents",
]  # fmt: skip
SPLITS = ["train", "validation", "test"]
LEFT_OUT, REJECTED = "left out", "rejected"


def recordings(manifest: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and split: clips, groups, hours; and how many files of each dataset are not used.

    manifest: tables.MANIFEST of all datasets; rejected: tables.REJECTED. What was left out on purpose and what cannot
    be used are counted apart. n_with_truth: clips that come with an f0 track.
    """
    rows = []
    for dataset, of_dataset in manifest.groupby("dataset", sort=True):
        for split, own in sorted(of_dataset.groupby("split"), key=lambda item: SPLITS.index(item[0])):
            hours, n_groups = own["duration_s"].sum() / 3600, own["group"].nunique()
            rows.append({"dataset": dataset, "split": split, "n_clips": len(own), "n_groups": n_groups})
            rows[-1] |= {"hours": hours, "n_with_truth": int((own["truth_f0_path"] != "").sum())}
        counts = rejected.loc[rejected["dataset"] == dataset, "counts"].astype(bool)
        for name, n_files in ((LEFT_OUT, (~counts).sum()), (REJECTED, counts.sum())):
            rows.append({"dataset": dataset, "split": name, "n_clips": int(n_files)})
    return pd.DataFrame(rows)


def chosen(manifest: pd.DataFrame) -> pd.DataFrame:
    """Every recording that is used, so that two people can compare what they took. manifest: of all datasets."""
    columns = ["dataset", "clip_id", "split", "group", "kind", "instrument", "duration_s", "sha256"]
    return manifest[columns].sort_values(["dataset", "clip_id"], ignore_index=True)


def rejected_files(paths: list[str]) -> pd.DataFrame:
    """All files that are not used, with the reason."""
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
    """Rows of results/labels/check.json: per dataset, kind, instrument and extent of frames, "all" over all of them.

    A dataset without a score has one row, which gives the reason.
    """
    return pd.DataFrame(read_json(path)["rows"], columns=[*LABEL_KEYS, *LABEL_METRICS, "reason"])
