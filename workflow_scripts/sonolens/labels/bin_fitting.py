"""Fitting the classes of an attribute to the train split, from files to files."""

from types import ModuleType

import numpy as np
from tqdm import tqdm

from sonolens import tables
from sonolens.labels import bins


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
