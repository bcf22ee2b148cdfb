"""Fetch what is chosen of a released dataset, and write down what is there."""

from typing import TYPE_CHECKING

from sonolens.datasets import files
from sonolens.downloads.supply import Supply
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake, n_threads=1):
    files.fetch(
        snakemake.params.module,
        snakemake.output.files,
        snakemake.params.options,
        Supply.of(
            snakemake.params.module,
            snakemake.output.files,
            snakemake.resources.origin,
            snakemake.params.own_sums,
            seed=snakemake.params.seed,
            splits=snakemake.params.splits,
        ),
    )
