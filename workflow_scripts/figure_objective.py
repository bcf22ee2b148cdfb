"""Draw the comparison of the two readings of the L1 term."""

from typing import TYPE_CHECKING

from sonolens import job, tables
from sonolens.figures import objective, style
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = objective.draw(
    tables.read(snakemake.input.objective, schemas.OBJECTIVE),
    tables.read(snakemake.input.histories, schemas.OBJECTIVE_HISTORIES),
)
style.save(figure, snakemake.output.png, snakemake.output.svg)
