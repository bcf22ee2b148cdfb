"""Say of every result whether the present config and code made it, and what it has cost."""

from typing import TYPE_CHECKING

import job_graph
from sonolens.jobs import job
from sonolens.report.audit_tables import write_audit_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    write_audit_tables(job_graph.of_config(snakemake.params.config), dict(snakemake.output.items()), snakemake.threads)
