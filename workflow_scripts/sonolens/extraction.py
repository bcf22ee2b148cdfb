"""Recordings to latents on disk; apart from `latents.py`, so that an edit here trains nothing but what it changes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from sonolens import audio, tables
from sonolens.encoders.contract import Encoder
from sonolens.files import replacing
from sonolens.jobs.clip_journal import ClipJournal, clip_by_clip
from sonolens.jobs.resumption import Resumption


def extract(
    encoder: Encoder,
    manifest_path: str,
    shard: int,
    latents_path: str,
    frames_path: str,
    dtype: str,
    resumption: Resumption,
) -> None:
    """Encode the clips of one shard of a dataset, in the order of the manifest; what is encoded is not encoded again.

    Writes latents (n_frames, d_latent) of `dtype` and the table of frames; memory holds one clip at a time. Raises
    ValueError, naming the clip, if an encoder returns another width or a value that is not finite.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = list(manifest[manifest["shard"] == shard].itertuples())

    def encode(clip: NamedTuple) -> list[np.ndarray]:
        latents = encoder.encode(audio.load(clip.path, encoder.sample_rate_hz, encoder.n_channels))
        if latents.ndim != 2 or latents.shape[1] != encoder.d_latent:
            raise ValueError(f"{encoder.name} gave latents of shape {latents.shape} for {clip.clip_id}")
        if not np.isfinite(latents).all():
            raise ValueError(f"{encoder.name} gave latents that are not finite for {clip.clip_id} ({clip.path})")
        return [latents.astype(dtype)]

    with clip_by_clip(clips, encode, resumption, f"encoding with {encoder.name}") as journal:
        frames = _write_latents(journal, latents_path, encoder.d_latent, dtype)
    tables.write(frames, frames_path, tables.LATENT_FRAMES)


def _write_latents(journal: ClipJournal, path: str, d_latent: int, dtype: str) -> pd.DataFrame:
    """All clips' latents below each other in one file, clip by clip; the table of their frames."""
    lengths = {clip_id: len(latents) for clip_id, (latents,) in journal.read()}
    n_frames = np.array(list(lengths.values()), dtype=np.int64)
    with replacing(path) as temporary:
        if n_frames.sum():
            stored = open_memmap(temporary, "w+", dtype, (int(n_frames.sum()), d_latent))
            begin = 0
            for _, (latents,) in journal.read():
                stored[begin : begin + len(latents)] = latents
                begin += len(latents)
            stored.flush()
        else:  # what is empty cannot be mapped
            np.save(temporary, np.zeros((0, d_latent), dtype))
    return pd.DataFrame(
        {
            "clip_id": pd.Categorical.from_codes(np.repeat(np.arange(len(lengths)), n_frames), list(lengths)),
            "frame_index": np.concatenate([np.zeros(0, np.int32), *(np.arange(n, dtype=np.int32) for n in n_frames)]),
        }
    )
