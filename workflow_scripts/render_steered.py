"""Make what the page plays of one steered cell: one excerpt, every attribute, class and α."""

from typing import TYPE_CHECKING

from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.files import read_json
from sonolens.jobs import job
from sonolens.steering import cell, player, tracking
from sonolens.steering.excerpts import Excerpts

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    given, params = snakemake.input, snakemake.params
    by_attribute = [dict(zip(params.attributes, paths, strict=True)) for paths in (given.probes, given.bins)]
    classes = zip(params.attributes, map(read_json, given.classes), strict=True)
    player.render_cell(
        load_encoder(params.module, given.weights, params.options, params.device),
        cell.load(given.model, *by_attribute, torch_device(params.device)),
        read_json(given.cell),
        Excerpts(given.excerpts).sound(0),
        {attribute: stored["classes"] for attribute, stored in classes},
        params.alphas,
        tracking.labellers(params.attributes, params.device),
        snakemake.output.tracks,
    )
