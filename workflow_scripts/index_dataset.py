"""Check every recording of one dataset, draw its splits, and list what the workflow uses and what it leaves out."""

from typing import TYPE_CHECKING

from sonolens.datasets import manifest
from sonolens.files import write_json
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
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
    write_json(snakemake.output.shards, manifest.summary(used, snakemake.params.shards))
