"""Write the page that shows figures, tables, verdicts and sound."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.report.page import write_page

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    write_page(dict(snakemake.input.items()), dict(snakemake.output.items()), snakemake.params.experiment)
