"""Draw the class probabilities of one prompt over the steps."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import generation_classes, style
from sonolens.jobs import job
from sonolens.report import generation_schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    example = tables.read(snakemake.input.example, generation_schemas.GENERATION_EXAMPLE)
    figure = generation_classes.draw(example)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
