"""The probes of a cell, or of the raw latents, from files to files."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from safetensors.torch import save as as_bytes

from sonolens import probe_metrics, tables
from sonolens.device import torch_device
from sonolens.files import read_json, replacing, write_json
from sonolens.latents import LatentStore, RowRuns, ScaledFrames, Scaling, clip_codes, clip_runs, split_runs
from sonolens.probes import (
    Fit,
    Inputs,
    Labelled,
    Settings,
    class_mean_inputs,
    contributions,
    fit,
    predict_logits,
)
from sonolens.sae import weights
from sonolens.sae.products import use_fast_exact_products

UNVOICED = "unvoiced"  # name of the class that is no pitch; it stands last


SPLITS = ("train", "validation", "test")


class _Data(NamedTuple):
    """Frames of each split as a probe reads them; clip and kind (n_frames,) of those of the test split."""

    inputs: dict[str, Inputs]
    test_clip_codes: np.ndarray
    test_kinds: np.ndarray


class _Files(NamedTuple):
    """Of one attribute, what is read and written."""

    labels: str
    bins: str
    probe: str
    metrics: str
    confusion: str
    contributions: str | None


def read_labelled(inputs: Mapping[str, str | list[str]]) -> tuple[pd.DataFrame, np.ndarray]:
    """Where each clip's latents lie (latents.clip_runs), and the classes of all frames (n_frames,), -1 for none.

    inputs: frames, manifests, labels. Raises ValueError if the labels are of other frames.
    """
    runs = clip_runs(inputs["frames"], inputs["manifests"])
    return runs, _classes_of(inputs["labels"], runs)


def _classes_of(path: str, runs: pd.DataFrame) -> np.ndarray:
    labelled = tables.runs(path, tables.ALIGNED_LABELS, "clip_id")
    if not np.array_equal(labelled.to_numpy(), runs[["clip_id", "n_frames"]].to_numpy()):
        raise ValueError(f"{path} does not have the rows of the latents; align the labels again")
    return tables.column(path, tables.ALIGNED_LABELS, "class_index")


def fit_probes(
    inputs: Mapping[str, str | list[str]],
    outputs: Mapping[str, list[str]],
    attributes: Sequence[str],
    identity: dict,
    settings: Settings,
    contribution_rows: int,
    device: str,
) -> None:
    """Fit a probe of each attribute on the train split, on one pass, and measure it on the test split.

    inputs: latents and frames (a path per shard), manifests, scaling, labels and bins (a path per attribute), and
    `model` (a cell) unless the probes are of raw latents. outputs, a path per attribute: probe, metrics, confusion, and
    contributions if there is a model. `identity` says which cell it is and stands, with the attribute, in the metrics.
    Raises ValueError naming the attribute if a split has no frame with a class.
    """
    where = torch_device(device)
    print(use_fast_exact_products())
    model = weights.load(inputs["model"], where)[0] if "model" in inputs else None
    store, scaling = LatentStore(inputs["latents"]), Scaling.read(inputs["scaling"])
    runs = clip_runs(inputs["frames"], inputs["manifests"])
    rows = {split: split_runs(runs, split) for split in SPLITS}
    of_test = runs[runs["split"] == "test"]
    data = _Data(
        {split: Inputs(ScaledFrames(store, rows[split], scaling), model, where) for split in SPLITS},
        clip_codes(runs, "test"),
        np.repeat(of_test["kind"].to_numpy().astype(str), of_test["n_frames"]),
    )
    files = [
        _Files(*paths)
        for paths in zip(
            inputs["labels"], inputs["bins"], outputs["probe"], outputs["metrics"], outputs["confusion"],
            outputs.get("contributions", [None] * len(attributes)), strict=True,
        )
    ]  # fmt: skip
    bins = [read_json(of_attribute.bins) for of_attribute in files]
    labelled = [
        _labelled(attribute, _classes_of(of_attribute.labels, runs), rows, n_classes["n_classes"])
        for attribute, of_attribute, n_classes in zip(attributes, files, bins, strict=True)
    ]
    pairs = [(splits["train"], splits["validation"]) for splits in labelled]
    fits = fit(data.inputs["train"], data.inputs["validation"], pairs, settings)
    for attribute, *of_attribute in zip(attributes, fits, labelled, bins, files, strict=True):
        _measure_and_write(data, *of_attribute, identity | {"attribute": attribute}, settings.seed, contribution_rows)


def _labelled(attribute: str, classes: np.ndarray, rows: Mapping[str, RowRuns], n_classes: int) -> dict[str, Labelled]:
    try:
        return {split: Labelled.of(classes[rows[split][:]], n_classes) for split in SPLITS}
    except ValueError as error:
        raise ValueError(f"{attribute}: {error}") from None


def _measure_and_write(
    data: _Data,
    fitted: Fit,
    labelled: Mapping[str, Labelled],
    bins: dict,
    files: _Files,
    identity: dict,
    seed: int,
    contribution_rows: int,
) -> None:
    """Measure one fitted probe on the test split, and write all of it."""
    logits = {
        split: predict_logits(fitted.weight, fitted.bias, data.inputs[split], labelled[split].positions)
        for split in ("validation", "test")
    }
    positions = {split: labelled[split].positions for split in SPLITS}
    classes = {split: labelled[split].classes[positions[split]] for split in SPLITS}
    has_unvoiced = bins["class_names"][-1] == UNVOICED
    figures = probe_metrics.measure(
        logits["test"],
        classes["test"],
        classes["train"],
        data.test_clip_codes[positions["test"]],
        data.test_kinds[positions["test"]],
        bins["n_classes"] - 1 if has_unvoiced else None,
        seed,
    )
    fitting = {
        "n_train_frames": len(classes["train"]),
        "n_epochs": fitted.n_epochs,
        "best_epoch": fitted.best_epoch,
        "validation_loss": fitted.validation_loss,
        "validation_accuracy": float((logits["validation"].argmax(axis=1) == classes["validation"]).mean()),
    }
    names = {"unit": bins["unit"], "class_names": bins["class_names"]}
    confusion = probe_metrics.confusion_matrix(classes["test"], logits["test"].argmax(axis=1), bins["n_classes"])
    with replacing(files.confusion) as temporary:
        np.save(temporary, confusion)
    write_json(files.metrics, figures | fitting | names | identity)
    with replacing(files.probe) as temporary:
        temporary.write_bytes(as_bytes({"weight": fitted.weight.cpu().contiguous(), "bias": fitted.bias.cpu()}))
    if files.contributions:
        mean = class_mean_inputs(data.inputs["test"], labelled["test"])
        contribution = contributions(fitted.weight, mean).cpu().numpy()
        table = contribution_table(contribution, np.unique(classes["test"]), contribution_rows)
        tables.write(table, files.contributions, tables.CONTRIBUTIONS)


def contribution_table(contribution: np.ndarray, classes: np.ndarray, depth: int) -> pd.DataFrame:
    """Both ways at once: the top `depth` features of each class, and the top `depth` classes of each feature.

    contribution (K, F); `classes` are the classes that occur. Columns of tables.CONTRIBUTIONS, only positive
    contributions; a row may be there for either reason, the rank of the other is then 0.
    """
    by_class = _ranks(contribution[classes], depth)  # (K', F)
    by_feature = _ranks(contribution[classes].T, depth).T
    row, feature = np.nonzero(((by_class > 0) | (by_feature > 0)) & (contribution[classes] > 0))
    return pd.DataFrame(
        {
            "class_index": classes[row].astype(np.int16),
            "feature": feature.astype(np.int32),
            "contribution": contribution[classes[row], feature].astype(np.float32),
            "rank_in_class": by_class[row, feature],
            "rank_in_feature": by_feature[row, feature],
        }
    )


def _ranks(values: np.ndarray, depth: int) -> np.ndarray:
    """Rank of each value within its row, 1 is the largest, 0 from beyond `depth`. values (R, C) -> int32 (R, C)."""
    depth = min(depth, values.shape[1])
    ranks = np.zeros(values.shape, np.int32)
    largest = np.argpartition(-values, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(values, largest, axis=1), axis=1, kind="stable")
    largest = np.take_along_axis(largest, order, axis=1)
    np.put_along_axis(ranks, largest, np.arange(1, depth + 1, dtype=np.int32)[None, :], axis=1)
    return ranks
