"""Steer generations in one attribute, at and from several steps, and measure what it did to their ends."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.steering import cell, tracking
from sonolens.tracing import prompts, steering

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    given, params, attribute = snakemake.input, snakemake.params, snakemake.wildcards.attribute
    where = torch_device(params.device)
    steering.steer_generation(
        steering.GenerationSteering(
            plugins.load("generators", params.generator).load(
                list(given.weights), params.generator_options, str(where)
            ),
            load_encoder(params.module, given.encoder_weights, params.options, params.device),
            cell.load(given.model, {attribute: given.probe}, {attribute: given.bins}, where),
            attribute,
            prompts.read(given.prompts)[: params.n_prompts],
            tracking.labellers(params.attributes, params.device),
            alpha=params.alpha,
            n_points=params.n_points,
            batch_prompts=params.batch_prompts,
        ),
        [one["index"] for one in read_json(given.classes)["classes"]],
        params.steps,
        snakemake.output[0],
        resumption,
    )
