"""Fit one probe, on the codes of a cell or on raw latents, and measure it."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.probe_cell import fit_probe
from sonolens.probes import Settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    fit_probe(
        inputs=dict(snakemake.input.items()),
        outputs=dict(snakemake.output.items()),
        identity=snakemake.params.identity,
        settings=Settings(**snakemake.params.fitting),
        contribution_rows=snakemake.params.contribution_rows,
        device=snakemake.params.device,
    )
