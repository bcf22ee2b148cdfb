"""Latents on disk, and the frames of a split as a trainer wants them.

A shard is `latents.npy`, (n_frames, d_latent), with `frames.parquet` naming the clip and frame index of each row. Rows
of all shards, in the order of the config, have one global index; every aligned table of labels has the same order.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.files import read_json, write_json


def clip_runs(frames_paths: list[str], manifest_paths: list[str]) -> pd.DataFrame:
    """Where each clip lies: clip_id, start, n_frames, split, kind; one row per run of a clip's frames, in global order.

    Memory grows with the number of clips and not of frames. Raises ValueError if no manifest lists a clip.
    """
    runs = pd.concat([tables.runs(path, tables.LATENT_FRAMES, "clip_id") for path in frames_paths], ignore_index=True)
    runs = runs.rename(columns={"value": "clip_id", "length": "n_frames"})
    manifest = tables.read_all(manifest_paths, tables.MANIFEST).set_index("clip_id")
    unknown = sorted(set(runs["clip_id"]) - set(manifest.index))
    if unknown:
        raise ValueError(f"latents of clips that no manifest lists: {unknown[:3]}; extract the latents again")
    of_clip = manifest.loc[runs["clip_id"]]
    starts = np.cumsum(runs["n_frames"]) - runs["n_frames"]
    return runs.assign(start=starts, split=of_clip["split"].to_numpy(), kind=of_clip["kind"].to_numpy())


def clip_and_split(frames_paths: list[str], manifest_paths: list[str]) -> pd.DataFrame:
    """One row per latent frame in global order: clip_id, frame_index, split, kind (all but the index categorical)."""
    runs = clip_runs(frames_paths, manifest_paths)
    frame_index = np.concatenate([tables.column(path, tables.LATENT_FRAMES, "frame_index") for path in frames_paths])
    frames = pd.DataFrame({"frame_index": frame_index})
    for column in ("clip_id", "split", "kind"):
        of_run = pd.Categorical(runs[column])
        codes = np.repeat(of_run.codes, runs["n_frames"])
        frames[column] = pd.Categorical.from_codes(codes, categories=of_run.categories)
    return frames


@dataclass(frozen=True)
class RowRuns:
    """Global rows, ascending, as runs of neighbours: many rows in little memory. R runs."""

    starts: np.ndarray  # (R,) the first row of each
    lengths: np.ndarray  # (R,)

    @staticmethod
    def of(rows: np.ndarray) -> "RowRuns":
        """rows (N,), ascending."""
        first = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        return RowRuns(rows[first], np.diff(first, append=len(rows)))

    @cached_property
    def ends(self) -> np.ndarray:
        """Positions (R,) at which each run ends."""
        return np.cumsum(self.lengths)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.lengths) else 0

    def __getitem__(self, positions: np.ndarray | slice) -> np.ndarray:
        """The rows at `positions` (B,)."""
        if isinstance(positions, slice):
            positions = np.arange(len(self))[positions] if positions.step else np.arange(*positions.indices(len(self)))
        run = np.searchsorted(self.ends, positions, side="right")
        return self.starts[run] + (positions - (self.ends[run] - self.lengths[run]))


class LatentStore:
    """All latents of one encoder as memory maps under one global row index."""

    def __init__(self, latents_paths: list[str]):
        self.shards = [np.load(path, mmap_mode="r") for path in latents_paths]
        self.starts = np.cumsum([0, *map(len, self.shards)])
        self.d_latent, self.dtype = self.shards[0].shape[1], self.shards[0].dtype

    def __len__(self) -> int:
        return int(self.starts[-1])

    def gather(self, rows: np.ndarray, dtype: np.dtype | type = np.float32) -> np.ndarray:
        """Frames at the global indices `rows` (B,), not scaled: (B, d_latent)."""
        gathered = np.empty((len(rows), self.d_latent), dtype)
        shard_of_row = np.searchsorted(self.starts, rows, side="right") - 1
        for shard in np.unique(shard_of_row):
            here = np.flatnonzero(shard_of_row == shard)
            here = here[np.argsort(rows[here], kind="stable")]  # in the order of the disk
            gathered[here] = self.shards[shard][rows[here] - self.starts[shard]]
        return gathered


@dataclass(frozen=True)
class Scaling:
    """x = (latent − mean) / scale, so that the mean over train frames of ‖x‖²/d_latent is 1."""

    mean: np.ndarray  # (d_latent,) float32
    scale: float

    def apply(self, latents: np.ndarray) -> np.ndarray:
        """latents (..., d_latent) -> scaled frames, float32."""
        return ((latents - self.mean) / np.float32(self.scale)).astype(np.float32)

    def invert(self, x: np.ndarray) -> np.ndarray:
        """Scaled frames (..., d_latent) -> latents, float32."""
        return (x * np.float32(self.scale) + self.mean).astype(np.float32)

    @staticmethod
    def read(path: str | Path) -> "Scaling":
        """From the file that `measure_scaling` wrote."""
        stored = read_json(path)
        return Scaling(np.asarray(stored["mean"], np.float32), stored["scale"])


def measure_scaling(
    latents_paths: list[str], frames_paths: list[str], manifest_paths: list[str], output_path: str
) -> None:
    """Mean per dimension and one scale over the frames of the train split, in float64, block by block."""
    store = LatentStore(latents_paths)
    rows = split_runs(clip_runs(frames_paths, manifest_paths), "train")
    total, total_square = np.zeros(store.d_latent), 0.0
    for start in range(0, len(rows), 100_000):
        latents = store.gather(rows[start : start + 100_000]).astype(np.float64)
        total += latents.sum(axis=0)
        total_square += (latents**2).sum()
    mean = total / len(rows)
    variance = (total_square / len(rows) - (mean**2).sum()) / store.d_latent
    if not variance > 0:
        raise ValueError(f"the latents of the train split do not vary ({latents_paths[0]} and others)")
    write_json(output_path, {"mean": mean.tolist(), "scale": float(np.sqrt(variance)), "n_frames": len(rows)})


def split_runs(runs: pd.DataFrame, split: str) -> RowRuns:
    """Rows of one split, from `clip_runs`. Raises ValueError if there are none."""
    of_split = runs[runs["split"] == split]
    if not of_split["n_frames"].sum():
        raise ValueError(f"no latent frame belongs to the split '{split}'; there are too few recordings or groups")
    return RowRuns(of_split["start"].to_numpy(), of_split["n_frames"].to_numpy())


def clip_codes(runs: pd.DataFrame, split: str) -> np.ndarray:
    """Of each frame of one split (N,), which of its clips it is of, from 0 on."""
    of_split = runs[runs["split"] == split]
    return np.repeat(pd.factorize(of_split["clip_id"])[0], of_split["n_frames"])


class ScaledFrames:
    """Scaled frames of some rows (N,), read from the memory maps as they are asked for; nothing of them is kept."""

    def __init__(self, store: LatentStore, rows: np.ndarray | RowRuns, scaling: Scaling):
        self.store, self.scaling = store, scaling
        self.rows = rows if isinstance(rows, RowRuns) else RowRuns.of(rows)
        self.d_latent = store.d_latent

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: np.ndarray | slice) -> np.ndarray:
        """Frames at `positions` within the rows: (B, d_latent) float32, scaled."""
        return self.scaling.apply(self.store.gather(self.rows[positions]))
