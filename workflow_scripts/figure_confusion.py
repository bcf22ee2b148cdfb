"""Draw the selected cells' confusion matrices."""

from typing import TYPE_CHECKING

from sonolens.figures import confusion, style
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = confusion.draw(
        snakemake.input.selected,
        snakemake.input.bins,
        snakemake.input.confusions,
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
