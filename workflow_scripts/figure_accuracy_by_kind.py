"""Draw the selected cells' accuracy by kind of recording."""

from typing import TYPE_CHECKING

from sonolens import job, tables
from sonolens.figures import accuracy_by_kind, style
from sonolens.files import read_json
from sonolens.report import schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

job.log_to(snakemake.log[0])
job.use_threads(snakemake.threads)

figure = accuracy_by_kind.draw(
    [*map(read_json, snakemake.input.selected)],
    tables.read(snakemake.input.subsets, schemas.SUBSETS),
)
style.save(figure, snakemake.output.png, snakemake.output.svg)
