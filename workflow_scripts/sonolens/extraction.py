"""Recordings to latents on disk; apart from `latents.py`, so that an edit here trains nothing but what it changes."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import audio, tables
from sonolens.encoders.contract import Encoder
from sonolens.files import replacing


def extract(encoder: Encoder, manifest_path: str, shard: int, latents_path: str, frames_path: str, dtype: str) -> None:
    """Encode the clips of one shard of a dataset, in the order of the manifest.

    Writes latents (n_frames, d_latent) of `dtype` and the table of frames. Raises ValueError, naming the clip, if an
    encoder returns another width or a value that is not finite.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = manifest[manifest["shard"] == shard]
    encoded, clip_ids, frame_indices = [np.zeros((0, encoder.d_latent), dtype)], [], []
    for clip in tqdm(clips.itertuples(), total=len(clips), desc=f"encoding with {encoder.name}", mininterval=5):
        latents = encoder.encode(audio.load(clip.path, encoder.sample_rate_hz, encoder.n_channels))
        if latents.ndim != 2 or latents.shape[1] != encoder.d_latent:
            raise ValueError(f"{encoder.name} gave latents of shape {latents.shape} for {clip.clip_id}")
        if not np.isfinite(latents).all():
            raise ValueError(f"{encoder.name} gave latents that are not finite for {clip.clip_id} ({clip.path})")
        encoded.append(latents.astype(dtype))
        clip_ids += [clip.clip_id] * len(latents)
        frame_indices.append(np.arange(len(latents), dtype=np.int32))
    with replacing(latents_path) as temporary:
        np.save(temporary, np.concatenate(encoded))
    frames = pd.DataFrame(
        {
            "clip_id": pd.Categorical(clip_ids),
            "frame_index": np.concatenate([np.zeros(0, np.int32), *frame_indices]),
        }
    )
    tables.write(frames, frames_path, tables.LATENT_FRAMES)
