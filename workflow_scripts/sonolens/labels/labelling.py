"""Measuring an attribute on recordings, from files to files."""

from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import audio, tables


def label_shard(
    manifest_path: str, shard: int, attribute: ModuleType, options: dict, device: str, output_path: str
) -> None:
    """Measure one attribute on the clips of one shard of a dataset, in the order of the manifest.

    Each file is read as mono at its own rate; the attribute resamples. A shard without clips gives an empty table.
    Raises ValueError naming the clip.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = manifest[manifest["shard"] == shard]
    labelled = [tables.FINE_LABELS.empty_table().to_pandas()]
    for clip in tqdm(clips.itertuples(), total=len(clips), desc="labelling", mininterval=5):
        try:
            sound = audio.load(clip.path, clip.sample_rate_hz, 1)[0]
            track = attribute.measure(sound, clip.sample_rate_hz, options, device)
        except ValueError as error:
            raise ValueError(f"{clip.clip_id} ({clip.path}): {error}") from error
        frame_index = np.arange(len(track.value), dtype=np.int32)
        columns = {"clip_id": clip.clip_id, "frame_index": frame_index, "value": track.value, "weight": track.weight}
        labelled.append(pd.DataFrame(columns))
    tables.write(pd.concat(labelled, ignore_index=True), output_path, tables.FINE_LABELS)
