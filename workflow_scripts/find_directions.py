"""Find the classes to steer to, and the differences of class means that lead there."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.steering import directions

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    directions.measure(
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        attribute=snakemake.wildcards.attribute,
        wanted=snakemake.params.classes,
        device=snakemake.params.device,
    )
