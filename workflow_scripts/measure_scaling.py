"""Mean and scale of an encoder's latents over the train split."""

from typing import TYPE_CHECKING

from sonolens import latents
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    latents.measure_scaling(
        snakemake.input.latents, snakemake.input.frames, snakemake.input.manifests, snakemake.output[0]
    )
