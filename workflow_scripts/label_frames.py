"""Measure one attribute on the clips of one shard of a dataset."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.jobs import job
from sonolens.labels import labelling

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    labelling.label_shard(
        snakemake.input.manifest,
        int(snakemake.wildcards.shard),
        plugins.load("labels", snakemake.params.module),
        snakemake.params.options,
        snakemake.params.device,
        snakemake.output[0],
        resumption,
    )
