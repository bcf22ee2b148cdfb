"""Draw the evolution of a generation beside that of paths it did not take."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import generation_controls, style
from sonolens.jobs import job
from sonolens.report import generation_schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = generation_controls.draw(tables.read(snakemake.input.generation, generation_schemas.GENERATION))
    style.save(figure, snakemake.output.png, snakemake.output.svg)
