"""Draw reconstruction and sparsity over the grid."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import reconstruction, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = reconstruction.draw(tables.read(snakemake.input.cells, schemas.CELLS))
    style.save(figure, snakemake.output.png, snakemake.output.svg)
