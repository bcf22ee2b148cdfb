"""Generate the prompts of one shard, and read the class probabilities at every step."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.jobs import job
from sonolens.steering import cell
from sonolens.tracing import prompts, trace
from sonolens.tracing.reading import Reader
from sonolens.tracing.schemas import PROBES

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    given, params = snakemake.input, snakemake.params
    where = torch_device(params.device)
    bins = dict(zip(params.attributes, given.bins, strict=True))
    sets = [dict(zip(params.attributes, paths, strict=True)) for paths in (given.probes, given.shuffled)]
    loaded = [cell.load(given.model, of_set, bins, where) for of_set in sets]
    tracing = trace.Tracing(
        plugins.load("generators", params.module).load(list(given.weights), params.options, str(where)),
        Reader(loaded[0], {name: one.probes for name, one in zip(PROBES, loaded, strict=True)}),
        trace.Recordings(given.latents, given.frames, given.manifests),
        params.n_points,
        where,
    )
    trace.trace(
        tracing,
        prompts.read(given.prompts),
        int(snakemake.wildcards.shard),
        params.n_shards,
        params.batch_prompts,
        dict(snakemake.output.items()),
        resumption,
    )
