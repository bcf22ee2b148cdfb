"""Encode the clips of one shard of a dataset."""

from typing import TYPE_CHECKING

from sonolens import extraction
from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    extraction.extract(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.input.manifest,
        int(snakemake.wildcards.shard),
        snakemake.output.latents,
        snakemake.output.frames,
        snakemake.params.dtype,
        resumption,
    )
