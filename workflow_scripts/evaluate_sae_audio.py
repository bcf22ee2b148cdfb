"""Reconstruction of one cell as sound: the decoder's output from x̂ beside its output from x."""

from typing import TYPE_CHECKING

from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job
from sonolens.sae import audio_evaluation

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    audio_evaluation.evaluate_cell(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.input.excerpts,
        snakemake.input.model,
        snakemake.output[0],
        pitch_options=snakemake.params.pitch,
    )
