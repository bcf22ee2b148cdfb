"""Gather what steering did in all steered cells, and compare its methods."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.report.steering_tables import read_steered
from sonolens.report.write_steering import write_steering

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    write_steering(read_steered(dict(snakemake.input.items())), dict(snakemake.output.items()), snakemake.params.seed)
