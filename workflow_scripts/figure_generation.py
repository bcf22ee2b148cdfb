"""Draw how what probes hear grows from noise to the end of a generation."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import generation, style
from sonolens.jobs import job
from sonolens.report import generation_schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    generation_table = tables.read(snakemake.input.generation, generation_schemas.GENERATION)
    convergence = tables.read(snakemake.input.convergence, generation_schemas.CONVERGENCE)
    figure = generation.draw(generation_table, convergence, snakemake.params.tolerance)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
