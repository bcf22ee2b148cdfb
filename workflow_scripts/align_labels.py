"""Pool and classify one attribute for every latent frame of one encoder."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.encoders.geometry import FrameGeometry
from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.labels import alignment

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    alignment.align(
        snakemake.input.labels,
        snakemake.input.frames,
        snakemake.input.manifests,
        snakemake.input.bins,
        FrameGeometry.of(snakemake.params.geometry).at(read_json(snakemake.input.frame_time)["used"]),
        plugins.load("labels", snakemake.params.module),
        snakemake.params.options,
        snakemake.output[0],
    )
