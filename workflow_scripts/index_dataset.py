"""Check every recording of one dataset, draw its splits, and list what the workflow uses and what it leaves out."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.datasets import manifest

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

used, rejected = manifest.build(
    snakemake.params.module,
    snakemake.wildcards.dataset,
    snakemake.input.files,
    snakemake.params.options,
    seed=snakemake.params.seed,
    splits=snakemake.params.splits,
    shards=snakemake.params.shards,
    max_rejected_share=snakemake.params.max_rejected_share,
    min_clip_seconds=snakemake.params.min_clip_seconds,
)
manifest.write(used, rejected, snakemake.output.manifest, snakemake.output.rejected)
