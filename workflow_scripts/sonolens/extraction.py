"""Recordings to latents on disk; apart from `latents.py`, so that an edit here trains nothing but what it changes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from sonolens import audio, tables
from sonolens.encoders.contract import Encoder, encode_batch
from sonolens.files import replacing
from sonolens.jobs.clip_journal import ClipJournal, group_by_group
from sonolens.jobs.resumption import Resumption

# Audio that is encoded together: enough to fill a GPU, and little beside a network's own memory
GROUP_SECONDS = 120


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

    Writes latents (n_frames, d_latent) of `dtype` and the table of frames; memory holds GROUP_SECONDS of clips, or one
    longer clip, at a time. Raises ValueError, naming the clip, if an encoder returns another shape or a value that is
    not finite in `dtype`.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = list(manifest[manifest["shard"] == shard].itertuples())

    def encode(group: list[NamedTuple]) -> list[list[np.ndarray]]:
        recordings = [audio.load(clip.path, encoder.sample_rate_hz, encoder.n_channels) for clip in group]
        encoded = encode_batch(encoder, recordings)
        return [
            [_checked(latents, encoder, clip, recording.shape[1], dtype)]
            for clip, recording, latents in zip(group, recordings, encoded, strict=True)
        ]

    with group_by_group(groups_of(clips), encode, resumption, f"encoding with {encoder.name}") as journal:
        frames = _write_latents(journal, latents_path, encoder.d_latent, dtype)
    tables.write(frames, frames_path, tables.LATENT_FRAMES)


def groups_of(clips: list[NamedTuple]) -> list[list[NamedTuple]]:
    """Neighbouring clips that are encoded together: the same groups at every attempt."""
    groups, seconds = [], 0.0
    for clip in clips:
        if not groups or seconds + clip.duration_s > GROUP_SECONDS:
            groups.append([])
            seconds = 0.0
        groups[-1].append(clip)
        seconds += clip.duration_s
    return groups


def _checked(latents: np.ndarray, encoder: Encoder, clip: NamedTuple, n_samples: int, dtype: str) -> np.ndarray:
    expected = (encoder.geometry.n_frames(n_samples), encoder.d_latent)
    if latents.shape != expected:
        raise ValueError(f"{encoder.name} gave latents of shape {latents.shape}, not {expected}, for {clip.clip_id}")
    with np.errstate(over="ignore"):
        stored = latents.astype(dtype)
    if not np.isfinite(stored).all():
        raise ValueError(f"{encoder.name} gave latents that are not finite in {dtype} for {clip.clip_id} ({clip.path})")
    return stored


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
