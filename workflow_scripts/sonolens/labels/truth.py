"""Pitch labels scored against the f0 track that some recordings come with."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import tables
from sonolens.files import write_json
from sonolens.labels.fine import fine_time_s

# What a note's attack and release hide from any tracker; "sustained" is the time between.
AFTER_ONSET_S = 0.05
BEFORE_OFFSET_S = 0.03
ALL = "all"


def truth_at(time_s: np.ndarray, truth: pd.DataFrame) -> np.ndarray:
    """Real MIDI number of the nearest point of a table of TRUTH_F0 at each time (T,); NaN where nothing sounds.

    Beyond the table's ends, by more than the distance of its points, nothing is known to sound.
    """
    points_s = truth["time_s"].to_numpy()
    right = np.searchsorted(points_s, time_s).clip(1, len(points_s) - 1)
    nearest = np.where(time_s - points_s[right - 1] <= points_s[right] - time_s, right - 1, right)
    midi = 69 + 12 * np.log2(truth["f0_hz"].to_numpy().astype(np.float64)[nearest] / 440)
    return np.where(np.abs(points_s[nearest] - time_s) <= np.diff(points_s).max(), midi, np.nan)


def is_sustained(time_s: np.ndarray, notes: pd.DataFrame) -> np.ndarray:
    """Which times (T,) lie well inside a note of a table of TRUTH_NOTES."""
    begins = np.searchsorted(time_s, notes["onset_s"].to_numpy() + AFTER_ONSET_S)
    ends = np.searchsorted(time_s, notes["offset_s"].to_numpy() - BEFORE_OFFSET_S)
    longer = ends > begins
    change = np.zeros(len(time_s) + 1, np.int64)
    np.add.at(change, begins[longer], 1)
    np.add.at(change, ends[longer], -1)
    return np.cumsum(change)[:-1] > 0


def score(label_midi: np.ndarray, truth_midi: np.ndarray) -> dict:
    """How labels (N,) agree with the truth (N,), both real MIDI numbers, NaN where unvoiced.

    within_50_cents and octave_error_share (whole octaves off, to 50 cents) are shares of the frames that the truth
    calls voiced, so a voiced frame labelled unvoiced counts as missed; median_abs_cents is over those that both call
    voiced. voicing_false_alarm is a share of the frames where nothing sounds. None where there is no such frame.
    """
    is_true, is_labelled = np.isfinite(truth_midi), np.isfinite(label_midi)
    error = (label_midi - truth_midi)[is_true & is_labelled].astype(np.float64)
    octaves = np.round(error / 12)
    is_octave = (octaves != 0) & (np.abs(error - 12 * octaves) <= 0.5)
    n_true, n_silent = int(is_true.sum()), int((~is_true).sum())
    return {
        "n_frames": n_true,
        "within_50_cents": float((np.abs(error) <= 0.5).sum() / n_true) if n_true else None,
        "octave_error_share": float(is_octave.sum() / n_true) if n_true else None,
        "voicing_recall": float(len(error) / n_true) if n_true else None,
        "voicing_false_alarm": float((is_labelled & ~is_true).sum() / n_silent) if n_silent else None,
        "median_abs_cents": float(100 * np.median(np.abs(error))) if len(error) else None,
    }


def _compared(labels_paths: list[str], manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per fine frame of every clip that comes with a truth: who plays, label and truth as MIDI numbers."""
    with_truth = manifest[manifest["truth_f0_path"] != ""].set_index("clip_id")
    columns = ["clip_id", "dataset", "kind", "instrument", "label", "truth", "sustained"]
    compared = [pd.DataFrame({name: [] for name in columns})]
    for path in tqdm(labels_paths, desc="comparing with the truth", mininterval=5):
        table = tables.read(path, tables.FINE_LABELS)
        table = table[table["clip_id"].isin(with_truth.index)]
        for clip_id, frames in table.groupby(table["clip_id"].astype(str)):
            clip = with_truth.loc[clip_id]
            time_s = fine_time_s(frames["frame_index"].to_numpy())
            sustained = np.zeros(len(frames), bool)
            if clip.truth_notes_path:
                sustained = is_sustained(time_s, tables.read(clip.truth_notes_path, tables.TRUTH_NOTES))
            truth = truth_at(time_s, tables.read(clip.truth_f0_path, tables.TRUTH_F0))
            who = {"clip_id": clip_id, "dataset": clip.dataset, "kind": clip.kind, "instrument": clip.instrument}
            compared.append(pd.DataFrame(who | {"label": frames["value"], "truth": truth, "sustained": sustained}))
    return pd.concat(compared, ignore_index=True)


def check(labels_paths: list[str], manifest_paths: list[str], output_path: str) -> None:
    """Score pitch labels per (dataset, kind, instrument), and over all instruments of a kind ("all").

    Writes {"rows": [...]}; `frames` of a row is "sustained" (50 ms after a note's onset to 30 ms before its end) or
    "all". Without any recording that has a truth there are no rows.
    """
    compared = _compared(labels_paths, tables.read_all(manifest_paths, tables.MANIFEST))
    keys = ["dataset", "kind", "instrument"]
    rows = []
    for extent in ("sustained", ALL):
        part = compared if extent == ALL else compared[compared["sustained"].astype(bool)]
        for frames in (part, part.assign(instrument=ALL)):
            for names, group in frames.groupby(keys, sort=True):
                figures = score(group["label"].to_numpy(np.float64), group["truth"].to_numpy(np.float64))
                who = dict(zip(keys, names, strict=True))
                rows.append({**who, "frames": extent, "n_clips": int(group["clip_id"].nunique()), **figures})
    write_json(output_path, {"rows": rows})
