"""One probe, from files to files: of the codes of a cell, or of the raw latents."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save as as_bytes

from sonolens import probe_metrics, tables
from sonolens.device import torch_device
from sonolens.files import read_json, replacing, write_json
from sonolens.latents import LatentStore, ScaledFrames, Scaling, clip_and_split, split_rows
from sonolens.probes import (
    Fit,
    Inputs,
    LabelledInputs,
    Settings,
    class_mean_inputs,
    contributions,
    fit,
    predict_logits,
)
from sonolens.sae import weights
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import use_fast_exact_products

UNVOICED = "unvoiced"  # name of the class that is no pitch; it stands last


class _Data(NamedTuple):
    splits: dict[str, LabelledInputs]
    clip_codes: np.ndarray  # (N,) of the labelled test frames
    kinds: np.ndarray  # (N,) of the labelled test frames


def read_labelled(inputs: Mapping[str, str | list[str]]) -> tuple[pd.DataFrame, np.ndarray]:
    """All latent frames (latents.clip_and_split) and their classes (n_frames,), -1 where one is left out.

    inputs: frames, manifests, labels. Raises ValueError if the labels are of other frames.
    """
    frames = clip_and_split(inputs["frames"], inputs["manifests"])
    labels = tables.read(inputs["labels"], tables.ALIGNED_LABELS)
    same = (
        len(labels) == len(frames)
        and (labels["clip_id"].astype(str).to_numpy() == frames["clip_id"].astype(str).to_numpy()).all()
    )
    if not same:
        raise ValueError(f"{inputs['labels']} does not have the rows of the latents; align the labels again")
    return frames, labels["class_index"].to_numpy()


def _labelled_splits(
    inputs: Mapping[str, str | list[str]], model: SparseAutoencoder | None, device: torch.device
) -> _Data:
    store, scaling = LatentStore(inputs["latents"]), Scaling.read(inputs["scaling"])
    frames, classes = read_labelled(inputs)
    splits, rows = {}, {}
    for split in ("train", "validation", "test"):
        rows[split] = split_rows(frames, split)
        scaled = ScaledFrames(store, rows[split], scaling)
        splits[split] = LabelledInputs.of(Inputs(scaled, model, device), classes[rows[split]])
    test_rows = rows["test"][splits["test"].positions]
    return _Data(
        splits,
        frames["clip_id"].cat.codes.to_numpy()[test_rows],
        frames["kind"].to_numpy()[test_rows].astype(str),
    )


def fit_probe(
    inputs: Mapping[str, str | list[str]],
    outputs: Mapping[str, str],
    identity: dict,
    settings: Settings,
    contribution_rows: int,
    device: str,
) -> None:
    """Fit one probe on the train split and measure it on the test split.

    inputs: latents and frames (a path per shard), manifests, scaling, labels, bins, and `model` (a cell) unless the
    probe is of raw latents. outputs: probe, metrics, confusion, and `contributions` if there is a model. `identity`
    says which probe it is and stands in its metrics.
    """
    where = torch_device(device)
    print(use_fast_exact_products())
    model = weights.load(inputs["model"], where)[0] if "model" in inputs else None
    bins = read_json(inputs["bins"])
    data = _labelled_splits(inputs, model, where)
    fitted = fit(data.splits["train"], data.splits["validation"], bins["n_classes"], settings)
    _write_figures(fitted, data, bins, outputs, identity, settings.seed)
    with replacing(outputs["probe"]) as temporary:
        temporary.write_bytes(as_bytes({"weight": fitted.weight.cpu().contiguous(), "bias": fitted.bias.cpu()}))
    if "contributions" in outputs:
        mean = class_mean_inputs(data.splits["test"], bins["n_classes"])
        occurring = np.unique(data.splits["test"].classes)
        table = contribution_table(contributions(fitted.weight, mean).cpu().numpy(), occurring, contribution_rows)
        tables.write(table, outputs["contributions"], tables.CONTRIBUTIONS)


def _write_figures(fitted: Fit, data: _Data, bins: dict, outputs: Mapping[str, str], identity: dict, seed: int) -> None:
    test, validation = data.splits["test"], data.splits["validation"]
    logits = predict_logits(fitted.weight, fitted.bias, test.inputs, test.positions)
    validation_logits = predict_logits(fitted.weight, fitted.bias, validation.inputs, validation.positions)
    has_unvoiced = bins["class_names"][-1] == UNVOICED
    figures = probe_metrics.measure(
        logits,
        test.classes,
        data.splits["train"].classes,
        data.clip_codes,
        data.kinds,
        bins["n_classes"] - 1 if has_unvoiced else None,
        seed,
    )
    confusion = probe_metrics.confusion_matrix(test.classes, logits.argmax(axis=1), bins["n_classes"])
    with replacing(outputs["confusion"]) as temporary:
        np.save(temporary, confusion)
    fitting = {
        "n_train_frames": len(data.splits["train"].classes),
        "n_epochs": fitted.n_epochs,
        "best_epoch": fitted.best_epoch,
        "validation_loss": fitted.validation_loss,
        "validation_accuracy": float((validation_logits.argmax(axis=1) == validation.classes).mean()),
    }
    names = {"unit": bins["unit"], "class_names": bins["class_names"]}
    write_json(outputs["metrics"], figures | fitting | names | identity)


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
