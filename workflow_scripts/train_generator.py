"""Train one of the generators that the workflow itself trains, on the train split's latents."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    params = snakemake.params
    plugins.load("generators", params.module).train(
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        params.options,
        params.seed,
        str(torch_device(params.device)),
        resumption,
    )
