"""Choose a cell to steer, and put what it takes to use it into a folder of its own."""

from typing import TYPE_CHECKING

from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.steering import choosing

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    offset = {"frame_offset_frames": read_json(snakemake.input.frame_time)["used"]}
    choosing.choose(
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        name=snakemake.wildcards.steered,
        encoder=snakemake.wildcards.encoder,
        criterion=snakemake.params.criterion,
        loading={
            "module": snakemake.params.module,
            "options": snakemake.params.options,
            "weights": list(snakemake.params.weights),
            "geometry": snakemake.params.geometry | offset,
        },
        attributes={
            name: entry | {"bins": f"results/labels/{name}/bins.json"}
            for name, entry in snakemake.params.attributes.items()
        },
    )
