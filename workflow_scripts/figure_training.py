"""Draw the training curves."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import style, training
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = training.draw(
        tables.read(snakemake.input.histories, schemas.HISTORIES),
        tables.read(snakemake.input.codec_histories, schemas.CODEC_HISTORIES),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
