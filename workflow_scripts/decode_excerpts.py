"""Excerpts of test clips: the original, its latents, what the codec alone makes of them, and both pitch tracks."""

from typing import TYPE_CHECKING

from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job
from sonolens.sae import audio_evaluation

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    audio_evaluation.decode_excerpts(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.input.manifests,
        snakemake.output[0],
        n_clips=snakemake.params.clips,
        seconds=snakemake.params.seconds,
        pitch_options=snakemake.params.pitch,
        seed=snakemake.params.seed,
    )
