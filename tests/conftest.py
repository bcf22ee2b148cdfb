"""What all tests share: fixed seeds, few threads, small tables."""

import itertools
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from sonolens import tables
from sonolens.jobs.interruption import Interruption
from sonolens.jobs.lease import Lease
from sonolens.jobs.resumption import Resumption


@pytest.fixture(autouse=True)
def _seeded_single_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def resumption(tmp_path):
    """A function that makes what a job hands to a long computation: in a new folder, or in one of an earlier attempt.

    Signals are handled as in a job, as long as the test lasts; the lease is not acquired.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    told, numbers = [], itertools.count()

    def make(folder=None, interval_s: float = float("inf"), deadline: float | None = None) -> Resumption:
        folder = folder or tmp_path / f"saved~{next(numbers)}"
        made = Resumption(
            folder=folder,
            interval_s=interval_s,
            say=lambda event, detail: told.append((event, detail)),
            interruption=Interruption(),
            lease=Lease(folder, "key", {}),
            deadline=deadline,
        )
        made.told = told
        return made

    yield make
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def latent_files(tmp_path):
    """A function that lays out latents of two shards with a manifest, as extract_latents and index_dataset do."""

    def lay_out(latents: np.ndarray, n_clips: int = 10, classes: np.ndarray | None = None) -> dict:
        """latents (n_frames, D): cut into `n_clips` equal clips, 6:2:2 over train, validation, test, in two shards."""
        per_clip = len(latents) // n_clips
        splits = ["train"] * (n_clips * 6 // 10) + ["validation"] * (n_clips * 2 // 10)
        splits += ["test"] * (n_clips - len(splits))
        clip_ids = [f"toy/{number:03d}" for number in range(n_clips)]
        manifest = pd.DataFrame(
            {
                "clip_id": clip_ids,
                "dataset": "toy",
                "path": "none.wav",
                "group": clip_ids,
                "split": splits,
                "shard": [number % 2 for number in range(n_clips)],
                "duration_s": 1.0,
                "sample_rate_hz": 16000,
                "n_channels": 1,
                "kind": ["solo" if number % 2 else "mix" for number in range(n_clips)],
                "instrument": "",
                "truth_f0_path": "",
                "truth_notes_path": "",
                "sha256": "",
            }
        )
        files = {"manifests": [str(tmp_path / "manifest.parquet")], "latents": [], "frames": []}
        tables.write(manifest, files["manifests"][0], tables.MANIFEST)
        order = []
        for shard in range(2):
            numbers = [number for number in range(n_clips) if number % 2 == shard]
            rows = np.concatenate([np.arange(number * per_clip, (number + 1) * per_clip) for number in numbers])
            order.append(rows)
            folder = tmp_path / f"shard~{shard}"
            folder.mkdir()
            np.save(folder / "latents.npy", latents[rows].astype(np.float32))
            frames = pd.DataFrame(
                {
                    "clip_id": pd.Categorical(np.repeat([clip_ids[number] for number in numbers], per_clip)),
                    "frame_index": np.tile(np.arange(per_clip, dtype=np.int32), len(numbers)),
                }
            )
            tables.write(frames, folder / "frames.parquet", tables.LATENT_FRAMES)
            files["latents"].append(str(folder / "latents.npy"))
            files["frames"].append(str(folder / "frames.parquet"))
        files["order"] = np.concatenate(order)
        if classes is not None:
            joined = tables.read_all(files["frames"], tables.LATENT_FRAMES)
            joined["clip_id"] = joined["clip_id"].astype("category")
            joined["value"] = np.float32(0)
            joined["class_index"] = classes[files["order"]].astype(np.int16)
            files["labels"] = str(tmp_path / "labels.parquet")
            tables.write(joined, files["labels"], tables.ALIGNED_LABELS)
        return files

    return lay_out
