"""Put a released file of captions under resources/, verified as far as it is known."""

from typing import TYPE_CHECKING

from sonolens.downloads import fetching
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake, n_threads=1):
    wanted = {"source": snakemake.resources.source, **snakemake.params.released}
    fetching.fetch(wanted, snakemake.output[0], say=print)
