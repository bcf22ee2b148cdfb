"""Latents on disk, and the frames of a split as a trainer wants them.

A shard is `latents.npy`, (n_frames, d_latent), with `frames.parquet` naming the clip and frame index of each row. Rows
of all shards, in the order of the config, have one global index; every aligned table of labels has the same order.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.files import read_json, write_json

# Frames of a split that take less than this are held in memory, others are read from disk batch by batch.
MEMORY_BUDGET_BYTES = 4 << 30


def clip_and_split(frames_paths: list[str], manifest_paths: list[str]) -> pd.DataFrame:
    """One row per latent frame in global order: clip_id, frame_index, split, kind (the last two categorical)."""
    frames = tables.read_all(frames_paths, tables.LATENT_FRAMES)
    frames["clip_id"] = frames["clip_id"].astype("category")
    manifest = tables.read_all(manifest_paths, tables.MANIFEST).set_index("clip_id")
    unknown = sorted(set(frames["clip_id"].cat.categories) - set(manifest.index))
    if unknown:
        raise ValueError(f"latents of clips that no manifest lists: {unknown[:3]}; extract the latents again")
    of_clip = manifest.loc[frames["clip_id"].cat.categories]
    for column in ("split", "kind"):
        of_category = pd.Categorical(of_clip[column])
        frames[column] = pd.Categorical.from_codes(
            of_category.codes[frames["clip_id"].cat.codes], categories=of_category.categories
        )
    return frames


class LatentStore:
    """All latents of one encoder as memory maps under one global row index."""

    def __init__(self, latents_paths: list[str]):
        self.shards = [np.load(path, mmap_mode="r") for path in latents_paths]
        self.starts = np.cumsum([0, *map(len, self.shards)])
        self.d_latent = self.shards[0].shape[1]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Frames at the global indices `rows` (B,), as stored: (B, d_latent) float32."""
        gathered = np.empty((len(rows), self.d_latent), np.float32)
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
    rows = split_rows(clip_and_split(frames_paths, manifest_paths), "train")
    total, total_square = np.zeros(store.d_latent), 0.0
    for block in np.array_split(rows, max(1, len(rows) // 100_000)):
        latents = store.gather(block).astype(np.float64)
        total += latents.sum(axis=0)
        total_square += (latents**2).sum()
    mean = total / len(rows)
    variance = (total_square / len(rows) - (mean**2).sum()) / store.d_latent
    if not variance > 0:
        raise ValueError(f"the latents of the train split do not vary ({latents_paths[0]} and others)")
    write_json(output_path, {"mean": mean.tolist(), "scale": float(np.sqrt(variance)), "n_frames": len(rows)})


def split_rows(frames: pd.DataFrame, split: str) -> np.ndarray:
    """Global rows of one split, ascending. Raises ValueError if there are none."""
    rows = np.flatnonzero(frames["split"].to_numpy() == split)
    if not len(rows):
        raise ValueError(f"no latent frame belongs to the split '{split}'; there are too few recordings or groups")
    return rows


class ScaledFrames:
    """Scaled frames of some rows: in memory if they fit the budget, else read as they are asked for."""

    def __init__(self, store: LatentStore, rows: np.ndarray, scaling: Scaling):
        self.store, self.rows, self.scaling = store, rows, scaling
        self.d_latent = store.d_latent
        fits = len(rows) * store.d_latent * 4 <= MEMORY_BUDGET_BYTES
        self._in_memory = scaling.apply(store.gather(rows)) if fits else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: np.ndarray | slice) -> np.ndarray:
        """Frames at `positions` within the rows: (B, d_latent) float32, scaled."""
        if self._in_memory is not None:
            return self._in_memory[positions]
        return self.scaling.apply(self.store.gather(self.rows[positions]))
