"""A few test clips through the selected cell: labels and predictions over time, and the sound at each stage."""

from typing import TYPE_CHECKING

from sonolens.clip_tracks import trace_clips
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.loading import load_encoder
from sonolens.files import read_json
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    trace_clips(
        load_encoder(
            snakemake.params.module, snakemake.input.weights, snakemake.params.options, snakemake.params.device
        ),
        FrameGeometry.of(snakemake.params.geometry).at(read_json(snakemake.input.frame_time)["used"]),
        inputs=dict(snakemake.input.items()),
        outputs=dict(snakemake.output.items()),
        attributes=snakemake.params.attributes,
        n_clips=snakemake.params.clips,
        seconds=snakemake.params.seconds,
        seed=snakemake.params.seed,
    )
