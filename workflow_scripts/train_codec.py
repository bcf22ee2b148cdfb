"""Train one of the encoders that the workflow itself trains, on the train split."""

from typing import TYPE_CHECKING

from sonolens.codec_fitting import fit_codec
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    fit_codec(
        snakemake.params.module,
        snakemake.input.manifests,
        dict(snakemake.output.items()),
        snakemake.params.options,
        snakemake.params.seed,
        snakemake.params.device,
        resumption,
    )
