"""Draw the selected cells' confusion matrices."""

from typing import TYPE_CHECKING

from sonolens import job
from sonolens.figures import confusion, style

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = confusion.draw(
    snakemake.input.selected,
    snakemake.input.bins,
    snakemake.input.confusions,
)
style.save(figure, snakemake.output.png, snakemake.output.svg)
