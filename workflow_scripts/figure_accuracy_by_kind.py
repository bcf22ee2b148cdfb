"""Draw the selected cells' accuracy by kind of recording."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import accuracy_by_kind, style
from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    figure = accuracy_by_kind.draw(
        [*map(read_json, snakemake.input.selected)],
        tables.read(snakemake.input.subsets, schemas.SUBSETS),
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
