"""Choose the cell whose probe does best on the validation split."""

from typing import TYPE_CHECKING

from sonolens.cell_selection import select
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    select(snakemake.input.metrics, snakemake.output[0])
