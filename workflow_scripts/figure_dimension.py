"""Draw the effect of the dictionary's size."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import dimension, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = dimension.draw(tables.read(snakemake.input.cells, schemas.CELLS))
    style.save(figure, snakemake.output.png, snakemake.output.svg)
