"""Measure which moment the latent frames of one encoder speak of."""

from typing import TYPE_CHECKING

from sonolens.encoders.frame_time import decide_frame_time
from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    decide_frame_time(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.params.declared_offset_frames,
        snakemake.output[0],
        snakemake.params.seed,
    )
