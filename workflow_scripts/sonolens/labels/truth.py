"""Pitch labels scored against the f0 track that some recordings come with, dataset by dataset."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import tables
from sonolens.files import write_json
from sonolens.labels import agreement
from sonolens.labels.fine import fine_time_s

# What a note's attack and release hide from any tracker; "sustained" is the time between.
AFTER_ONSET_S = 0.05
BEFORE_OFFSET_S = 0.03
SUSTAINED, ALL = "sustained", "all"
KEYS = ["dataset", "kind", "instrument"]
# Why a dataset has no score
NO_TRUTH, NO_PITCH, NO_LABELS = "no truth", "drums: no pitch", "pitch was not labelled"
SEVERAL_SOUND, NOTHING_SOUNDS = "several notes sound throughout", "nothing sounds"


def truth_at(time_s: np.ndarray, truth: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """What the nearest point of a table of TRUTH_F0 says at each time (T,): real MIDI number, and how many sound.

    The number is NaN where none or several do. Beyond the table's ends, by more than the distance of its points,
    nothing is known to sound.
    """
    points_s = truth["time_s"].to_numpy()
    right = np.searchsorted(points_s, time_s).clip(1, len(points_s) - 1)
    nearest = np.where(time_s - points_s[right - 1] <= points_s[right] - time_s, right - 1, right)
    is_known = np.abs(points_s[nearest] - time_s) <= np.diff(points_s).max()
    n_sounding = np.where(is_known, truth["n_sounding"].to_numpy()[nearest], 0)
    midi = 69 + 12 * np.log2(truth["f0_hz"].to_numpy().astype(np.float64)[nearest] / 440)
    return np.where(n_sounding == 1, midi, np.nan), n_sounding


def is_sustained(time_s: np.ndarray, notes: pd.DataFrame) -> np.ndarray:
    """Which times (T,) lie well inside a note of a table of TRUTH_NOTES."""
    begins = np.searchsorted(time_s, notes["onset_s"].to_numpy() + AFTER_ONSET_S)
    ends = np.searchsorted(time_s, notes["offset_s"].to_numpy() - BEFORE_OFFSET_S)
    longer = ends > begins
    change = np.zeros(len(time_s) + 1, np.int64)
    np.add.at(change, begins[longer], 1)
    np.add.at(change, ends[longer], -1)
    return np.cumsum(change)[:-1] > 0


def check(labels_paths: list[str], manifest_paths: list[str], output_path: str, seed: int) -> None:
    """Score pitch labels per (dataset, kind, instrument), over the instruments of a kind, and over a dataset ("all").

    Writes {"rows": [...]}; `frames` of a row is "sustained" (50 ms after a note's onset to 30 ms before its end) or
    "all". A dataset without any score has one row, which gives the reason. Frames in which several notes sound are left
    out, and counted. Raises ValueError if a recording's f0 track is no track.
    """
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    counts, distances = _counted(labels_paths, manifest[manifest["truth_f0_path"] != ""].set_index("clip_id"))
    rows = []
    for dataset, own in manifest.groupby("dataset", sort=False):
        scored = counts[counts["dataset"] == dataset]
        if scored.empty:
            rows.append(_unscored(dataset, own))
        for extent in (SUSTAINED, ALL):
            for who, part in _parts(scored[scored["frames"] == extent]):
                found = sum(distances[key] for key in set(part[[*KEYS, "frames"]].itertuples(index=False, name=None)))
                figures = agreement.summary(part[list(agreement.Counts._fields)], found, seed)
                rows.append({"dataset": dataset, **who, "frames": extent, **figures, "reason": _reason(figures)})
    write_json(output_path, {"rows": rows})


def _counted(labels_paths: list[str], with_truth: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple, np.ndarray]]:
    """What is kept of the labels: one row of Counts per recording and extent of its frames, and distances per KEYS.

    Tables are read one after the other, so that memory is bounded by the largest. with_truth: the recordings that come
    with a truth, by clip_id.
    """
    rows, distances = [], {}
    for clip, label, truth, n_sounding, sustained in _compared(labels_paths, with_truth):
        for extent, frames in ((SUSTAINED, sustained), (ALL, slice(None))):
            counts, found = agreement.compare(label[frames], truth[frames], n_sounding[frames])
            if not sum(counts):
                continue
            key = (clip.dataset, clip.kind, clip.instrument, extent)
            rows.append((clip.name, *key, *counts))
            distances[key] = distances[key] + found if key in distances else found
    # by name: what the bootstrap draws must not depend on how recordings are spread over shards
    return pd.DataFrame(sorted(rows), columns=["clip_id", *KEYS, "frames", *agreement.Counts._fields]), distances


def _compared(labels_paths: list[str], with_truth: pd.DataFrame) -> Iterator[tuple]:
    """Of every recording with a truth: its row of the manifest; label, truth, n_sounding, is_sustained, all (T,)."""
    for path in tqdm(labels_paths, desc="comparing with the truth", mininterval=5):
        table = tables.read(path, tables.FINE_LABELS)
        table = table[table["clip_id"].isin(with_truth.index)]
        for clip_id, frames in table.groupby("clip_id", observed=True, sort=False):
            clip = with_truth.loc[clip_id]
            time_s = fine_time_s(frames["frame_index"].to_numpy())
            f0 = tables.read(clip.truth_f0_path, tables.TRUTH_F0)
            if len(f0) < 2:
                raise ValueError(f"{clip.truth_f0_path} has {len(f0)} points, which is no track of f0; delete it")
            sustained = np.zeros(len(time_s), bool)
            if clip.truth_notes_path:
                sustained = is_sustained(time_s, tables.read(clip.truth_notes_path, tables.TRUTH_NOTES))
            yield clip, frames["value"].to_numpy(np.float64), *truth_at(time_s, f0), sustained


def _parts(counts: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """What is scored by itself: all recordings of a dataset, those of each kind, and of each instrument in it."""
    if counts.empty:
        return
    yield {"kind": ALL, "instrument": ALL}, counts
    for kind, of_kind in counts.groupby("kind", sort=True):
        yield {"kind": kind, "instrument": ALL}, of_kind
        for instrument, own in of_kind.groupby("instrument", sort=True):
            yield {"kind": kind, "instrument": instrument}, own


def _unscored(dataset: str, manifest: pd.DataFrame) -> dict:
    """The row of a dataset of which nothing can be scored."""
    reason = NO_PITCH if (manifest["kind"] == "drums").all() else NO_TRUTH
    if (manifest["truth_f0_path"] != "").any():
        reason = NO_LABELS
    nothing = pd.DataFrame(0, index=[], columns=agreement.Counts._fields)
    figures = agreement.summary(nothing, np.zeros(agreement.N_DISTANCES, np.int64), seed=0)
    return {"dataset": dataset, "kind": ALL, "instrument": ALL, "frames": ALL, **figures, "reason": reason}


def _reason(figures: dict) -> str:
    """Why a row has no score; '' if it has one."""
    if figures["n_frames"]:
        return ""
    return SEVERAL_SOUND if figures["n_frames_left_out"] else NOTHING_SOUNDS
