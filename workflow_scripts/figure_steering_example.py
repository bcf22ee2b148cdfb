"""Draw one excerpt steered in every attribute."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import steering_example, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    steering = tables.read(snakemake.input.steering, schemas.STEERING)
    figure = steering_example.draw(snakemake.input.tracks, snakemake.input.classes, steering)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
