"""Draw what the label check found."""

from typing import TYPE_CHECKING

from sonolens.figures import labels, style
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = labels.draw(snakemake.input.check)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
