"""Write the page that shows figures, tables, verdicts and sound."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.report.page import write_page

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

write_page(dict(snakemake.input.items()), dict(snakemake.output.items()), snakemake.params.experiment)
