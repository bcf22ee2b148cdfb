"""Draw what codecs and autoencoders do to sound."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import audio_quality, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = audio_quality.draw(
        snakemake.input.codecs,
        tables.read(snakemake.input.cells, schemas.CELLS),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
