"""Choose prompts from the released captions, by the seed."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.prompts import choosing

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake, n_threads=1):
    choosing.choose_from_file(
        snakemake.params.module,
        snakemake.input.captions,
        snakemake.output[0],
        n_prompts=snakemake.params.n,
        seed=snakemake.params.seed,
        say=print,
    )
