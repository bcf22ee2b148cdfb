"""Draw the comparison of the two readings of the L1 term."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import objective, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = objective.draw(
        tables.read(snakemake.input.objective, schemas.OBJECTIVE),
        tables.read(snakemake.input.histories, schemas.OBJECTIVE_HISTORIES),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
