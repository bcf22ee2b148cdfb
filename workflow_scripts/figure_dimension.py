"""Draw the effect of the dictionary's size."""

from typing import TYPE_CHECKING

from sonolens import job, tables
from sonolens.figures import dimension, style
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = dimension.draw(tables.read(snakemake.input.cells, schemas.CELLS))
style.save(figure, snakemake.output.png, snakemake.output.svg)
