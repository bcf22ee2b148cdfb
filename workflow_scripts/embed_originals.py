"""Embed the test split, and keep the mean and covariance."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.steering import embedding, tracking

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    embedding.embed_originals(
        embedding.load(snakemake.params.embedder, snakemake.params.device),
        snakemake.input.manifests,
        snakemake.output[0],
        tracking.left_out_kinds(tracking.labellers(snakemake.params.attributes, snakemake.params.device)),
    )
