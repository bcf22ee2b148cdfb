"""Draw one clip with every attribute over time."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.figures import clip, style

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = clip.draw(snakemake.input.clips, snakemake.input.tracks)
style.save(figure, snakemake.output.png, snakemake.output.svg)
