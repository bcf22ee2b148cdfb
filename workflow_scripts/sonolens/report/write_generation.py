"""Write the tables of generation, for figures and claims as Parquet, for a user as CSV."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa

from sonolens import tables
from sonolens.labels import bins as binning
from sonolens.report import generation_schemas as schemas
from sonolens.report import generation_tables as gathering
from sonolens.report.csv_tables import write_csv
from sonolens.tracing.schemas import GENERATION_EFFECTS, LABEL_COUNTS, PROMPT_VECTORS, SAMPLE_DISTANCES


def write_generation(inputs: dict, outputs: dict, floor: float, tolerance: float, seed: int) -> None:
    """Write all of `outputs`: tables as Parquet, and generation, convergence, samples, distances, steering as CSV.

    inputs: paths by generator, {"traces": {name: [path, ...]}, "prompts": {name: path}, "counts": {name: path},
    "distances": {name: path}, "effects": {name: [path, ...]}}, and {"bins": {attribute: path}}; all of them empty in a
    run that generates nothing, whose tables have no rows
    outputs: generation_table, convergence_table, differences_table, example_table, samples_table, distances_table,
    steering_table, and the CSVs
    floor, tolerance: as in tracing/convergence.py
    """
    bins = {attribute: binning.read(path) for attribute, path in inputs["bins"].items()}
    generation, convergence, differences, example = [], [], [], []
    for name, paths in inputs["traces"].items():
        prompts = tables.read(inputs["prompts"][name], PROMPT_VECTORS)
        traced = gathering.read_traces(paths, prompts, bins, floor)
        means = gathering.mean_of_each(traced.curves, seed)
        generation.append(gathering.gather_curves(name, means))
        convergence.append(gathering.gather_convergence(name, means, tolerance))
        differences.append(gathering.gather_differences(name, means, tolerance))
        example.append(gathering.gather_example(name, traced.example, prompts, bins))
    of_steering = (
        gathering.gather_steering(name, tables.read_all(paths, GENERATION_EFFECTS), bins, seed)
        for name, paths in inputs["effects"].items()
    )
    of_samples = (
        gathering.gather_samples(name, tables.read(path, LABEL_COUNTS), bins, seed)
        for name, path in inputs["counts"].items()
    )
    of_distances = (
        gathering.gather_distances(name, tables.read(path, SAMPLE_DISTANCES))
        for name, path in inputs["distances"].items()
    )
    written = {
        "generation": _joined(generation, schemas.GENERATION),
        "convergence": _joined(convergence, schemas.CONVERGENCE),
        "differences": _joined(differences, schemas.CONVERGENCE_DIFFERENCES),
        "example": _joined(example, schemas.GENERATION_EXAMPLE),
        "samples": _joined(of_samples, schemas.GENERATION_SAMPLES),
        "distances": _joined(of_distances, schemas.GENERATION_DISTANCES),
        "steering": _joined(of_steering, schemas.GENERATION_STEERING),
    }
    for name, table in written.items():
        tables.write(table.to_pandas(), outputs[f"{name}_table"], table.schema)
    frames = {name: table.to_pandas() for name, table in written.items()}
    for name in ("convergence", "samples", "distances"):
        write_csv(frames[name], outputs[name])
    write_csv(frames["generation"][gathering.GENERATION_CSV], outputs["generation"])
    write_csv(gathering.wide_steering(frames["steering"]), outputs["steering"])


def _joined(parts: Iterable[pd.DataFrame], schema: pa.Schema) -> pa.Table:
    """Rows of all generators."""
    found = [pa.Table.from_pandas(part, schema, preserve_index=False) for part in parts]
    return pa.concat_tables([schema.empty_table(), *found])
