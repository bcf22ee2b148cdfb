"""Draw probe accuracy against sparsity, with both baselines."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import accuracy, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = accuracy.draw(
        tables.read(snakemake.input.cells, schemas.CELLS),
        tables.read(snakemake.input.probes, schemas.PROBES),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
