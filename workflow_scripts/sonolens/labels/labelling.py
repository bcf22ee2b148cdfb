"""Measuring an attribute on recordings, from files to files, and fitting its classes."""

from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import audio, tables
from sonolens.labels import bins


def label_shard(
    manifest_path: str, shard: int, attribute: ModuleType, options: dict, device: str, output_path: str
) -> None:
    """Measure one attribute on the clips of one shard of a dataset, in the order of the manifest.

    Each file is read as mono at its own rate; the attribute resamples. A shard without clips gives an empty table.
    Raises ValueError naming the clip.
    """
    manifest = tables.read(manifest_path, tables.MANIFEST)
    clips = manifest[manifest["shard"] == shard]
    labelled = [pd.DataFrame({"clip_id": [], "frame_index": [], "value": [], "weight": []})]
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


def fit_bins(
    labels_paths: list[str],
    manifest_paths: list[str],
    attribute_name: str,
    attribute: ModuleType,
    options: dict,
    output_path: str,
) -> None:
    """Fit an attribute's classes to the fine labels of the train split and store them."""
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    train_clips = set(manifest["clip_id"][manifest["split"] == "train"])
    values = [np.zeros(0, np.float32)]
    for path in tqdm(labels_paths, desc="reading labels", mininterval=5):
        table = tables.read(path, tables.FINE_LABELS)
        values.append(table["value"].to_numpy()[table["clip_id"].isin(train_clips).to_numpy()])
    try:
        fitted = attribute.fit_bins(np.concatenate(values), options)
    except ValueError as error:
        raise ValueError(f"attribute {attribute_name}: {error}") from error
    bins.write(fitted, attribute_name, output_path)
