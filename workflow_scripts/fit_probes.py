"""Fit the probes of all attributes, on the codes of a cell or on raw latents, and measure them."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.probe_cell import fit_probes
from sonolens.probes import Settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def listed(files) -> list[str]:
    """A list of one file is that file to Snakemake."""
    return [files] if isinstance(files, str) else list(files)


with job.running(snakemake):
    inputs = dict(snakemake.input.items())
    fit_probes(
        inputs=inputs | {name: listed(inputs[name]) for name in ("labels", "bins")},
        outputs={name: listed(files) for name, files in snakemake.output.items()},
        attributes=snakemake.params.attributes,
        identity=snakemake.params.identity,
        settings=Settings(**snakemake.params.fitting),
        contribution_rows=snakemake.params.contribution_rows,
        device=snakemake.params.device,
    )
