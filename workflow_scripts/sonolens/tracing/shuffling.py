"""Labels that mean nothing, those of other frames: a probe fitted to them can only know how often each occurs."""

from collections.abc import Mapping

import numpy as np

from sonolens import tables
from sonolens.labels.bins import LEFT_OUT
from sonolens.latents import split_runs
from sonolens.probe_cell import read_labelled


def shuffle(inputs: Mapping[str, str | list[str]], output_path: str, seed: int) -> None:
    """Write aligned labels whose classes are permuted among the labelled frames of each split.

    inputs: frames, manifests, labels
    """
    runs, classes = read_labelled(inputs)
    labels = tables.read(inputs["labels"], tables.ALIGNED_LABELS)
    rng = np.random.default_rng([seed, 9])
    shuffled, values = classes.copy(), labels["value"].to_numpy().copy()
    for split in ("train", "validation", "test"):
        rows = split_runs(runs, split)[:]
        rows = rows[classes[rows] != LEFT_OUT]
        taken_from = rng.permutation(rows)
        shuffled[rows], values[rows] = classes[taken_from], labels["value"].to_numpy()[taken_from]
    tables.write(labels.assign(value=values, class_index=shuffled), output_path, tables.ALIGNED_LABELS)
