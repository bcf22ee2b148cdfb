"""Aggregate synthetic results and draw figures from them, as the rules would."""

from pathlib import Path

from sonolens import tables
from sonolens.figures import (
    accuracy,
    accuracy_by_kind,
    activations,
    audio_quality,
    clip,
    confusion,
    contributions,
    dimension,
    labels,
    objective,
    reconstruction,
    style,
    training,
)
from sonolens.files import read_json
from sonolens.report import cells, histories, schemas
from synthetic_results import SyntheticResults


def aggregate(results: SyntheticResults) -> dict[str, str]:
    """Write the tables that figures and the report read; returns their paths by name."""
    grid = cells.gather_cells(results.cell_files("metrics.json"), results.cell_files("audio_metrics.json"))
    probe_paths = results.raw_probe_files("metrics.json") + results.probe_files("metrics.json")
    probes, subsets = cells.gather_probes(probe_paths, grid)
    metrics, objective_metrics = results.cell_files("metrics.json"), results.objective_files("metrics.json")
    gathered = {
        "cells": (grid, schemas.CELLS),
        "probes": (probes, schemas.PROBES),
        "subsets": (subsets, schemas.SUBSETS),
        "activations": (cells.gather_activations(metrics), schemas.ACTIVATIONS),
        "histories": (
            histories.gather_histories(metrics, results.cell_files("history.parquet")),
            schemas.HISTORIES,
        ),
        "codec_histories": (
            histories.gather_codec_histories(results.encoder_files("results/codecs/{encoder}/history.parquet")),
            schemas.CODEC_HISTORIES,
        ),
        "objective": (
            histories.gather_objective(objective_metrics, results.objective_files("probe_metrics.json")),
            schemas.OBJECTIVE,
        ),
        "objective_histories": (
            histories.gather_objective_histories(objective_metrics, results.objective_files("history.parquet")),
            schemas.OBJECTIVE_HISTORIES,
        ),
    }
    paths = {name: results.path(f"results/tables/{name}.parquet") for name in gathered}
    for name, (table, schema) in gathered.items():
        tables.write(table, paths[name], schema)
    return paths


def draw_all(results: SyntheticResults, folder: Path) -> Path:
    """Draw every figure into `folder`, which is returned."""
    paths = aggregate(results)
    read = {name: tables.read(paths[name], getattr(schemas, name.upper())) for name in paths}
    selected = results.encoder_files("results/selected/{encoder}.json")
    figures = {
        "reconstruction": lambda: reconstruction.draw(read["cells"]),
        "accuracy": lambda: accuracy.draw(read["cells"], read["probes"]),
        "accuracy_by_kind": lambda: accuracy_by_kind.draw([*map(read_json, selected)], read["subsets"]),
        "dimension": lambda: dimension.draw(read["cells"]),
        "confusion": lambda: confusion.draw(selected, results.bins_files(), results.probe_files("confusion.npy")),
        "contributions": lambda: contributions.draw(
            selected, results.bins_files(), results.probe_files("contributions.parquet")
        ),
        "clip": lambda: clip.draw(
            results.encoder_files("results/clips/{encoder}/clips.json"),
            results.encoder_files("results/clips/{encoder}/tracks.parquet"),
        ),
        "labels": lambda: labels.draw(results.path("results/labels/check.json")),
        "audio_quality": lambda: audio_quality.draw(
            results.encoder_files("results/codecs/{encoder}/quality.json"), read["cells"]
        ),
        "training": lambda: training.draw(read["histories"], read["codec_histories"]),
        "activations": lambda: activations.draw(read["cells"], read["activations"]),
        "objective": lambda: objective.draw(read["objective"], read["objective_histories"]),
    }
    assert list(figures) == FIGURES
    for name, draw in figures.items():
        style.save(draw(), folder / f"{name}.png", folder / f"{name}.svg")
    return folder


FIGURES = [
    "reconstruction", "accuracy", "accuracy_by_kind", "dimension", "confusion", "contributions", "clip", "labels",
    "audio_quality", "training", "activations", "objective",
]  # fmt: skip
