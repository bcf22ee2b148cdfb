"""Write the report's tables: cells, probes, claims, the comparison with the paper, and what went in."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.report.write_tables import write_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    write_tables(dict(snakemake.input.items()), dict(snakemake.output.items()), snakemake.params.modules)
