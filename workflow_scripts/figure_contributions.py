"""Draw which features speak for which classes in the selected cells."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.figures import contributions, style

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = contributions.draw(
    snakemake.input.selected,
    snakemake.input.bins,
    snakemake.input.contributions,
)
style.save(figure, snakemake.output.png, snakemake.output.svg)
