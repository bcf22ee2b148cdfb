"""Render one dataset under resources/, or list the user's own, and write down what is there."""

from typing import TYPE_CHECKING

from sonolens.datasets import files
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake, n_threads=1):  # of a process: there are as many processes as the job has threads
    files.fetch(
        snakemake.params.module,
        snakemake.output.files,
        snakemake.params.options,
        files.Making(snakemake.params.seed, n_workers=snakemake.threads),
    )
