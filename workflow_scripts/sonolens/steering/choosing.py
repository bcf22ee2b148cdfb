"""Which cells are steered, and towards which classes."""

import shutil
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sonolens.cell_selection import best_of, path_of
from sonolens.files import read_json, replacing, write_json
from sonolens.labels.bins import Bins
from sonolens.steering.class_names import class_index

# A class is taken at each of some equally spaced quantiles of the train split's frames, between these two
QUANTILES = (0.1, 0.9)


def score_of(criterion: str, attribute: str) -> Callable[[dict], float]:
    """What is compared of a cell of `read_cells` under one of the config's criteria, all of the validation split."""

    def accuracy(cell: dict) -> float:
        (probe,) = [probe for probe in cell["probes"] if probe["attribute"] == attribute]
        return probe["validation_accuracy"]

    return {
        "validation_accuracy": accuracy,
        "mean_validation_accuracy": lambda cell: float(np.mean([one["validation_accuracy"] for one in cell["probes"]])),
        "validation_explained_variance": lambda cell: cell["sae"]["validation"]["explained_variance"],
    }[criterion]


def read_cells(sae_metrics: Sequence[str], probe_metrics: Sequence[str]) -> list[dict]:
    """Cells in the order of `sae_metrics`: {"dim", "lam", "sae": its metrics, "probes": those of all its probes}."""
    probes = [read_json(path) for path in probe_metrics]
    cells = []
    for path in sae_metrics:
        sae = read_json(path)
        own = [probe for probe in probes if (probe["dim"], probe["lam"]) == (sae["dim"], sae["lam"])]
        cells.append({"dim": sae["dim"], "lam": sae["lam"], "sae": sae, "probes": own})
    return cells


def choose(
    inputs: Mapping[str, list[str]],
    outputs: Mapping[str, str | list[str]],
    name: str,
    encoder: str,
    criterion: dict | None,
    loading: dict,
    attributes: dict[str, dict],
) -> None:
    """Put the chosen cell's model and probes, and what it takes to use them, into a folder of its own.

    What steers reads this folder only: another cell that is trained again changes none of it while the choice is the
    same. inputs: sae_metrics, probe_metrics, models, probes, of all candidates; outputs: cell, model, probes.
    criterion: arguments of `score_of`, None if the config names the cell; loading: how the encoder is loaded;
    attributes: {name: {module, options, bins}}.
    """
    cells = read_cells(inputs["sae_metrics"], inputs["probe_metrics"])
    reason = {"criterion": "named in the config"}
    if criterion is None:
        (chosen,) = cells
    else:
        score = score_of(**criterion)
        chosen = best_of(cells, score)
        reason = criterion | {"value": score(chosen)}
    _copy(path_of(chosen, inputs["models"]), outputs["model"])
    for attribute, target in zip(attributes, outputs["probes"], strict=True):
        _copy(path_of(chosen, inputs["probes"], f"/{attribute}/"), target)
    write_json(
        outputs["cell"],
        {"name": name, "encoder": encoder, "dim": chosen["dim"], "lam": chosen["lam"], "chosen_by": reason}
        | {"loading": loading, "attributes": attributes},
    )


def _copy(source: str, target: str) -> None:
    """A copy, no hard link: Snakemake touches a job's outputs, and would touch the cell's own files with them."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def class_indices(wanted: Sequence[str] | int, classes: Bins, n_frames: np.ndarray, attribute: str) -> list[int]:
    """Classes to steer to: those named (class_names.class_index), or so many that are spread over what occurs.

    n_frames (K,): frames of the train split in each class. Those that are spread lie at equally spaced quantiles of the
    frames, and never in the class of undefined frames. Raises ValueError naming the class if there is no such one, two
    names if they mean the same, or the attribute if there are fewer than wanted.
    """
    if isinstance(wanted, int):
        return _spread(wanted, classes, n_frames, attribute)
    indices = [class_index(str(one), classes, f"steering.classes.{attribute}") for one in wanted]
    if len(set(indices)) < len(indices):
        raise ValueError(f"steering.classes.{attribute}: {', '.join(map(str, wanted))} are not all different classes")
    return indices


def _spread(n_wanted: int, classes: Bins, n_frames: np.ndarray, attribute: str) -> list[int]:
    n_bins = len(classes.edges) - 1
    if n_wanted > n_bins:
        raise ValueError(f"steering.classes.{attribute}: {n_wanted} are wanted and there are {n_bins}")
    share = np.cumsum(n_frames[:n_bins]) / max(n_frames[:n_bins].sum(), 1)
    quantiles = np.linspace(*QUANTILES, n_wanted) if n_wanted > 1 else [QUANTILES[1]]
    chosen: list[int] = []
    for quantile in quantiles:
        nearest = int(min(np.searchsorted(share, quantile), n_bins - 1))
        free = [index for index in range(n_bins) if index not in chosen]
        # the nearest that is free; of those, one that occurs
        chosen.append(min(free, key=lambda index: (n_frames[index] == 0, abs(index - nearest), index)))
    return sorted(chosen)
