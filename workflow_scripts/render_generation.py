"""Write what the page plays of a generator: some prompts on the way, as sound and spectrogram."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.labels import bins
from sonolens.steering import cell
from sonolens.tracing import prompts, strip
from sonolens.tracing.reading import Reader
from sonolens.tracing.schemas import PROBES

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    given, params = snakemake.input, snakemake.params
    where = torch_device(params.device)
    by_attribute = [dict(zip(params.attributes, paths, strict=True)) for paths in (given.probes, given.bins)]
    chosen = cell.load(given.model, *by_attribute, where)
    identity = read_json(given.cell)
    strip.write(
        strip.Strip(
            plugins.load("generators", params.generator).load(
                list(given.weights), params.generator_options, str(where)
            ),
            load_encoder(params.module, given.encoder_weights, params.options, params.device),
            Reader(chosen, {PROBES[0]: chosen.probes}),
            {name: bins.read(path) for name, path in by_attribute[1].items()},
            params.n_points,
            where,
        ),
        {"generator": snakemake.wildcards.generator, "encoder": identity["encoder"]}
        | {"cell": {key: identity[key] for key in ("name", "dim", "lam")}},
        prompts.read(given.prompts)[: params.n_prompts],
        params.steps,
        snakemake.output.strip,
    )
