"""Measuring an attribute on recordings, from files to files."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens import audio, tables
from sonolens.jobs.clip_journal import ClipJournal, clip_by_clip
from sonolens.jobs.resumption import Resumption
from sonolens.labels import fine


def label_shard(
    manifest_path: str,
    shard: int,
    attribute: ModuleType,
    options: dict,
    device: str,
    output_path: str,
    resumption: Resumption,
) -> None:
    """Measure one attribute on the clips of one shard of a dataset, in the order of the manifest, each once.

    Each file is read as mono at its own rate; the attribute resamples. Clips of the kinds that its options leave out
    are not read: their values are NaN, of no weight. A shard without clips gives an empty table. Raises ValueError
    naming the clip.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = list(manifest[manifest["shard"] == shard].itertuples())
    left_out = fine.left_out_kinds(options)

    def measure(clip: NamedTuple) -> list[np.ndarray]:
        if clip.kind in left_out:
            return _nothing(clip)
        try:
            sound = audio.load(clip.path, clip.sample_rate_hz, 1)[0]
            track = attribute.measure(sound, clip.sample_rate_hz, options, device)
        except ValueError as error:
            raise ValueError(f"{clip.clip_id} ({clip.path}): {error}") from error
        return [track.value, track.weight]

    with clip_by_clip(clips, measure, resumption, "labelling") as journal:
        tables.write(_joined(journal), output_path, tables.FINE_LABELS)


def _nothing(clip: NamedTuple) -> list[np.ndarray]:
    """Value and weight of a clip that is not measured, both (T,)."""
    n_samples = round(clip.duration_s * clip.sample_rate_hz)
    n_frames = fine.n_fine_frames(n_samples, clip.sample_rate_hz)
    return [np.full(n_frames, np.nan, np.float32), np.zeros(n_frames, np.float32)]


def _joined(journal: ClipJournal) -> pd.DataFrame:
    """Rows of tables.FINE_LABELS of all clips; names as codes, since text would take more memory than the labels."""
    values, weights = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for _, (value, weight) in journal.read():
        values.append(value)
        weights.append(weight)
    lengths = [len(value) for value in values[1:]]
    codes = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    frame_index = [np.arange(length, dtype=np.int32) for length in lengths]
    return pd.DataFrame(
        {
            "clip_id": pd.Categorical.from_codes(codes, journal.clip_ids),
            "frame_index": np.concatenate([np.zeros(0, np.int32), *frame_index]),
            "value": np.concatenate(values),
            "weight": np.concatenate(weights),
        }
    )
