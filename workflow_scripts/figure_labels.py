"""Draw what the label check found."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.figures import labels, style

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = labels.draw(snakemake.input.check)
style.save(figure, snakemake.output.png, snakemake.output.svg)
