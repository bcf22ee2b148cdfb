"""Draw what a control vector added on the way does to the sound at the end."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import generation_steering, style
from sonolens.jobs import job
from sonolens.report import generation_schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    steering = tables.read(snakemake.input.steering, generation_schemas.GENERATION_STEERING)
    figure = generation_steering.draw(steering)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
