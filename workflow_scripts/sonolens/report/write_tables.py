"""Write every CSV of the report."""

import pandas as pd

from sonolens import tables
from sonolens.report import claims, data_tables, generation_claims, paper, steering_claims
from sonolens.report.csv_tables import sorted_probes, wide_cells, write_csv
from sonolens.report.generation_schemas import (
    CONVERGENCE,
    CONVERGENCE_DIFFERENCES,
    GENERATION,
    GENERATION_DISTANCES,
    GENERATION_STEERING,
)
from sonolens.report.schemas import CELLS, OBJECTIVE, PROBES, STEERING, STEERING_METHODS


def objective_rows(objective: pd.DataFrame) -> pd.DataFrame:
    """objective.csv, without what differs from run to run."""
    table = objective.drop(columns=["frames_per_s", "train_seconds"])
    return table.sort_values(["encoder", "dim", "lam", "l1_on"], ignore_index=True)


def steering_findings(inputs: dict) -> list[claims.Finding]:
    """Findings on steering, none if nothing is steered. inputs: paths, steering and steering_methods perhaps."""
    if "steering" not in inputs:
        return []
    steering = tables.read(inputs["steering"], STEERING)
    return steering_claims.judge(steering, tables.read(inputs["steering_methods"], STEERING_METHODS))


def generation_findings(inputs: dict) -> list[claims.Finding]:
    """Findings on generation, none if its tables are not there.

    inputs: paths; generation, convergence, convergence_differences, generation_steering, generation_distances perhaps
    """
    if "generation" not in inputs:
        return []
    return generation_claims.judge(
        tables.read(inputs["convergence"], CONVERGENCE),
        tables.read(inputs["generation"], GENERATION),
        tables.read(inputs["convergence_differences"], CONVERGENCE_DIFFERENCES),
        tables.read(inputs["generation_steering"], GENERATION_STEERING),
        tables.read(inputs["generation_distances"], GENERATION_DISTANCES),
    )


def write_tables(inputs: dict, outputs: dict, modules: dict[str, str]) -> None:
    """Write results/report/tables/*.csv.

    inputs: paths of the gathered tables (cells, probes, objective), and of codecs, frame_times,
    manifests, rejected, labels; steering and steering_methods too if anything is steered, and what generation_findings
        reads if the run has these tables
    outputs: path of each CSV by its name
    modules: {name of an encoder in the config: its module}
    """
    cells, probes = tables.read(inputs["cells"], CELLS), tables.read(inputs["probes"], PROBES)
    manifest = tables.read_all(inputs["manifests"], tables.MANIFEST)
    rejected = data_tables.rejected_files(inputs["rejected"])
    written = {
        "cells": wide_cells(cells, probes),
        "probes": sorted_probes(probes),
        "paper_comparison": paper.compare(cells, probes, modules),
        "claims": claims.judge(cells, probes, modules, steering_findings(inputs), generation_findings(inputs)),
        "objective": objective_rows(tables.read(inputs["objective"], OBJECTIVE)),
        "codecs": data_tables.codec_quality(inputs["codecs"]),
        "frame_times": data_tables.frame_times(inputs["frame_times"]),
        "labels": data_tables.label_check(inputs["labels"]),
        "recordings": data_tables.recordings(manifest, rejected),
        "chosen": data_tables.chosen(manifest),
        "rejected": rejected,
    }
    for name, frame in written.items():
        write_csv(frame, outputs[name])
