"""Draw which features speak for which classes in the selected cells."""

from typing import TYPE_CHECKING

from sonolens.figures import contributions, style
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = contributions.draw(
        snakemake.input.selected,
        snakemake.input.bins,
        snakemake.input.contributions,
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
