"""Draw what was generated beside the recordings: labels and distances."""

from typing import TYPE_CHECKING

from sonolens import tables
from sonolens.figures import generation_samples, style
from sonolens.jobs import job
from sonolens.report import generation_schemas

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    samples = tables.read(snakemake.input.samples, generation_schemas.GENERATION_SAMPLES)
    distances = tables.read(snakemake.input.distances, generation_schemas.GENERATION_DISTANCES)
    figure = generation_samples.draw(samples, distances)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
