"""Decode the test split, and measure what is left of spectrum and pitch."""

from typing import TYPE_CHECKING

from sonolens.codec_evaluation import evaluate_codec
from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    evaluate_codec(
        snakemake.wildcards.encoder,
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        snakemake.input.manifests,
        snakemake.input.pitch,
        snakemake.output[0],
        snakemake.params.pitch,
        snakemake.params.seed,
        str(torch_device(snakemake.params.device)),
    )
