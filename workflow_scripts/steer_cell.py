"""Steer one attribute with one cell, every class, α and method, and measure what was done to the sound."""

from typing import TYPE_CHECKING

from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job
from sonolens.steering import cell, embedding, evaluation, tracking
from sonolens.steering.directions import Directions
from sonolens.steering.excerpts import Excerpts

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    given, params, attribute = snakemake.input, snakemake.params, snakemake.wildcards.attribute
    where = torch_device(params.device)
    steered = cell.load(given.model, {attribute: given.probe}, {attribute: given.bins}, where)
    raw = cell.read_probe(given.raw_probe, given.bins, where)
    steering = evaluation.Steering(
        load_encoder(params.module, given.weights, params.options, params.device),
        steered,
        attribute,
        Directions(steered.probes[attribute].weight, raw.weight, given.directions, given.classes, seed=params.seed),
        Excerpts(given.excerpts),
        tracking.labellers(params.attributes, params.device),
        [
            embedding.read_originals(name, embedding.load(entry, params.device), path)
            for (name, entry), path in zip(params.embeddings.items(), given.originals, strict=True)
        ],
        seed=params.seed,
    )
    evaluation.evaluate(steering, params.alphas, dict(snakemake.output.items()), resumption)
