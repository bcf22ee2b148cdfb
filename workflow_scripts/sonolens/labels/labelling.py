"""Measuring an attribute on recordings, from files to files."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens import audio, tables
from sonolens.jobs.clip_journal import clip_by_clip
from sonolens.jobs.resumption import Resumption


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

    Each file is read as mono at its own rate; the attribute resamples. A shard without clips gives an empty table.
    Raises ValueError naming the clip.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = list(manifest[manifest["shard"] == shard].itertuples())

    def measure(clip: NamedTuple) -> list[np.ndarray]:
        try:
            sound = audio.load(clip.path, clip.sample_rate_hz, 1)[0]
            track = attribute.measure(sound, clip.sample_rate_hz, options, device)
        except ValueError as error:
            raise ValueError(f"{clip.clip_id} ({clip.path}): {error}") from error
        return [track.value, track.weight]

    with clip_by_clip(clips, measure, resumption, "labelling") as journal:
        labelled = [tables.FINE_LABELS.empty_table().to_pandas()]
        labelled += [_labels(clip_id, value, weight) for clip_id, (value, weight) in journal.read()]
    tables.write(pd.concat(labelled, ignore_index=True), output_path, tables.FINE_LABELS)


def _labels(clip_id: str, value: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
    """Rows of tables.FINE_LABELS of one clip; value and weight (T,)."""
    frame_index = np.arange(len(value), dtype=np.int32)
    return pd.DataFrame({"clip_id": clip_id, "frame_index": frame_index, "value": value, "weight": weight})
