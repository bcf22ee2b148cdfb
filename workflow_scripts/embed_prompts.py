"""Write what a generator is asked for: its prompts, each as a vector and with a noise of its own."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.jobs import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    given, params = snakemake.input, snakemake.params
    plugins.load("generators", params.module).write_prompts(
        given.prompts[0] if given.prompts else None,
        list(given.weights),
        params.options,
        snakemake.output[0],
        str(torch_device(params.device)),
    )
