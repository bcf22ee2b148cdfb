"""Permute the classes of one attribute among the frames of each split."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.tracing.shuffling import shuffle

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    shuffle(dict(snakemake.input.items()), snakemake.output[0], snakemake.params.seed)
