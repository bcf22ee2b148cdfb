"""Gather the metrics of all cells and probes."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.jobs import job
from sonolens.report import cells, schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    grid = cells.gather_cells(snakemake.input.metrics, snakemake.input.audio_metrics)
    probes, subsets = cells.gather_probes([*snakemake.input.raw_probes, *snakemake.input.probes], grid)
    tables.write(grid, snakemake.output.cells, schemas.CELLS)
    tables.write(probes, snakemake.output.probes, schemas.PROBES)
    tables.write(subsets, snakemake.output.subsets, schemas.SUBSETS)
    tables.write(cells.gather_activations(snakemake.input.metrics), snakemake.output.activations, schemas.ACTIVATIONS)
