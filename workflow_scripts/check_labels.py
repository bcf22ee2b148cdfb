"""Score the pitch labels against the truth that some recordings come with."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.labels import truth

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

truth.check(snakemake.input.labels, snakemake.input.manifests, snakemake.output[0])
