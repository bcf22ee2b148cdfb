"""Mean and scale of an encoder's latents over the train split."""

from typing import TYPE_CHECKING

from sonolens import job, latents

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

latents.measure_scaling(snakemake.input.latents, snakemake.input.frames, snakemake.input.manifests, snakemake.output[0])
