"""Draw reconstruction and sparsity over the grid."""

from typing import TYPE_CHECKING

from sonolens import job, tables
from sonolens.figures import reconstruction, style
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = reconstruction.draw(tables.read(snakemake.input.cells, schemas.CELLS))
style.save(figure, snakemake.output.png, snakemake.output.svg)
