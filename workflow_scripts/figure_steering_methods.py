"""Draw what a shift of the target costs under each way to steer."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import steering_methods, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = steering_methods.draw(tables.read(snakemake.input.steering, schemas.STEERING))
    style.save(figure, snakemake.output.png, snakemake.output.svg)
