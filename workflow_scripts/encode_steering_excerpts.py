"""Take excerpts of test recordings, encode them, and measure every attribute on them."""

from typing import TYPE_CHECKING

from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job
from sonolens.steering import excerpts, tracking

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    excerpts.write(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.input.manifests,
        snakemake.output[0],
        tracking.labellers(snakemake.params.attributes, snakemake.params.device),
        n_clips=snakemake.params.clips,
        seconds=snakemake.params.seconds,
        seed=snakemake.params.seed,
    )
