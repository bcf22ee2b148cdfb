"""Train one of the encoders that the workflow itself trains, on the train split."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.codec_fitting import fit_codec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

fit_codec(
    snakemake.params.module,
    snakemake.input.manifests,
    dict(snakemake.output.items()),
    snakemake.params.options,
    snakemake.params.seed,
    snakemake.params.device,
)
