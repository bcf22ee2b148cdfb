"""Aggregate synthetic results and draw figures from them, as the rules would."""

from pathlib import Path

import synthetic_generation
import synthetic_steering
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
    generation,
    generation_classes,
    generation_controls,
    generation_samples,
    generation_steering,
    labels,
    objective,
    reconstruction,
    steering,
    steering_example,
    steering_methods,
    style,
    training,
)
from sonolens.files import read_json
from sonolens.report import cells, generation_schemas, histories, schemas
from sonolens.report.steering_tables import read_steered
from sonolens.report.write_generation import write_generation
from sonolens.report.write_steering import write_steering
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
    return paths | aggregate_steering(results)


def aggregate_steering(results: SyntheticResults) -> dict[str, str]:
    """Steer, and write what figures and the claims read of it, and the CSVs; returns the paths of the former by name.

    It takes seconds, so what was written before is taken as it is.
    """
    paths = {name: results.path(f"results/tables/{name}.parquet") for name in ("steering", "steering_methods")}
    if not Path(paths["steering_methods"]).is_file():
        outputs = {
            "steering": results.path("results/report/tables/steering.csv"),
            "methods": results.path("results/report/tables/steering_methods.csv"),
            "steering_table": paths["steering"],
            "methods_table": paths["steering_methods"],
        }
        write_steering(read_steered(synthetic_steering.inputs(synthetic_steering.write(results))), outputs, seed=0)
    return paths


def aggregate_generation(
    results: SyntheticResults, generators: tuple[str, ...] = synthetic_generation.GENERATORS
) -> dict[str, str]:
    """Generate, and write what figures read of it, and the CSVs; returns the paths of the former by schema.

    It takes seconds, so what was written before is taken as it is.
    """
    paths = {name: results.path(f"results/tables/{name}.parquet") for name in GENERATION_TABLES}
    if not Path(paths["generation_steering"]).is_file():
        inputs = synthetic_generation.inputs(synthetic_generation.write(results, generators), generators)
        outputs = {f"{name.removeprefix('generation_')}_table": path for name, path in paths.items()}
        outputs["differences_table"] = results.path("results/tables/convergence_differences.parquet")
        for csv_name in GENERATION_CSV_NAMES:
            outputs[csv_name.removeprefix("generation_")] = results.path(f"results/report/tables/{csv_name}.csv")
        write_generation(inputs, outputs, floor=0.005, tolerance=0.05, seed=0)
    return paths


def draw_all(results: SyntheticResults, folder: Path) -> Path:
    """Draw every figure into `folder`, which is returned."""
    paths = aggregate(results)
    read = {name: tables.read(paths[name], getattr(schemas, name.upper())) for name in paths}
    generated = {
        name: tables.read(path, getattr(generation_schemas, name.upper()))
        for name, path in aggregate_generation(results).items()
    }
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
        "steering": lambda: steering.draw(read["steering"]),
        "steering_methods": lambda: steering_methods.draw(read["steering"]),
        "steering_example": lambda: steering_example.draw(
            synthetic_steering.files(results, "sounds/tracks.json"),
            synthetic_steering.files(results, "classes.json"),
            read["steering"],
        ),
        "generation": lambda: generation.draw(generated["generation"], generated["convergence"], 0.05),
        "generation_controls": lambda: generation_controls.draw(generated["generation"]),
        "generation_classes": lambda: generation_classes.draw(generated["generation_example"]),
        "generation_samples": lambda: generation_samples.draw(
            generated["generation_samples"], generated["generation_distances"]
        ),
        "generation_steering": lambda: generation_steering.draw(generated["generation_steering"]),
    }
    assert list(figures) == FIGURES
    for name, draw in figures.items():
        style.save(draw(), folder / f"{name}.png", folder / f"{name}.svg")
    return folder


FIGURES = [
    "reconstruction", "accuracy", "accuracy_by_kind", "dimension", "confusion", "contributions", "clip", "labels",
    "audio_quality", "training", "activations", "objective", "steering", "steering_methods", "steering_example",
    "generation", "generation_controls", "generation_classes", "generation_samples", "generation_steering",
]  # fmt: skip
GENERATION_TABLES = [
    "generation", "convergence", "generation_example", "generation_samples", "generation_distances",
    "generation_steering",
]  # fmt: skip
GENERATION_CSV_NAMES = [
    "generation", "generation_convergence", "generation_samples", "generation_distances", "generation_steering",
]  # fmt: skip
