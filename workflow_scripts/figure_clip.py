"""Draw one clip with every attribute over time."""

from typing import TYPE_CHECKING

from sonolens.figures import clip, style
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = clip.draw(snakemake.input.clips, snakemake.input.tracks)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
