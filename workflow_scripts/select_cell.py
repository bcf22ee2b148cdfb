"""Choose the cell whose probe does best on the validation split."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.cell_selection import select

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])

select(snakemake.input.metrics, snakemake.output[0])
