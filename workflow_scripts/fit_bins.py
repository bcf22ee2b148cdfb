"""Fit the classes of one attribute to the train split."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.jobs import job
from sonolens.labels import bin_fitting

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    bin_fitting.fit_bins(
        snakemake.input.labels,
        snakemake.input.manifests,
        snakemake.wildcards.attribute,
        plugins.load("labels", snakemake.params.module),
        snakemake.params.options,
        snakemake.output[0],
    )
