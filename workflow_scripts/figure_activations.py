"""Draw how often features are active."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import activations, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = activations.draw(
        tables.read(snakemake.input.cells, schemas.CELLS),
        tables.read(snakemake.input.activations, schemas.ACTIVATIONS),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
