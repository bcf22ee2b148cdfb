"""Measure the sound of what was generated beside that of the test split."""

from typing import TYPE_CHECKING

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.encoders.loading import load_encoder
from sonolens.jobs import job
from sonolens.labels import bins
from sonolens.steering import embedding, tracking
from sonolens.steering.excerpts import Excerpts
from sonolens.tracing import prompts, samples

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    given, params = snakemake.input, snakemake.params
    where = str(torch_device(params.device))
    labellers = tracking.labellers(params.attributes, params.device)
    classes = {name: bins.read(path) for name, path in zip(labellers, given.bins, strict=True)}
    measuring = samples.Measuring(
        plugins.load("generators", params.generator).load(list(given.weights), params.generator_options, where),
        load_encoder(params.module, given.encoder_weights, params.options, params.device),
        classes,
        labellers,
        [
            embedding.read_originals(name, embedding.load(entry, params.device), path)
            for (name, entry), path in zip(params.embeddings.items(), given.originals, strict=True)
        ],
    )
    asked = prompts.read(given.prompts)[: params.n_prompts]
    labels_of = {name: given[f"labels_{name}"] for name in labellers}
    samples.measure_samples(
        measuring,
        list(measuring.sounds(asked, samples.Ends(given.ends), Excerpts(given.excerpts))),
        samples.count_test_labels(labels_of, classes, given.manifests, labellers),
        dict(snakemake.output.items()),
        params.seed,
        resumption,
    )
