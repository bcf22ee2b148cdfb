"""Draw how far control vectors move their attribute, and how far it stands out, against α."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import steering, style
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = steering.draw(tables.read(snakemake.input.steering, schemas.STEERING))
    style.save(figure, snakemake.output.png, snakemake.output.svg)
