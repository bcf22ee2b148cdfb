"""Gather the training histories, and the comparison of the two readings of the L1 term."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.jobs import job
from sonolens.report import histories, schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    tables.write(
        histories.gather_histories(snakemake.input.metrics, snakemake.input.histories),
        snakemake.output.histories,
        schemas.HISTORIES,
    )
    tables.write(
        histories.gather_codec_histories(snakemake.input.codec_histories),
        snakemake.output.codec_histories,
        schemas.CODEC_HISTORIES,
    )
    tables.write(
        histories.gather_objective(snakemake.input.objective_metrics, snakemake.input.objective_probes),
        snakemake.output.objective,
        schemas.OBJECTIVE,
    )
    tables.write(
        histories.gather_objective_histories(snakemake.input.objective_metrics, snakemake.input.objective_histories),
        snakemake.output.objective_histories,
        schemas.OBJECTIVE_HISTORIES,
    )
