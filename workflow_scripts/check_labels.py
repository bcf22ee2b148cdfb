"""Score the pitch labels against the truth that some recordings come with."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.labels import truth

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    truth.check(snakemake.input.labels, snakemake.input.manifests, snakemake.output[0], snakemake.params.seed)
