"""Sets of sounds as the moments of their embeddings: the test split's, which others are held against."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import soxr
from tqdm import tqdm

from sonolens import audio, plugins, tables
from sonolens.device import torch_device
from sonolens.embeddings.contract import Embedding
from sonolens.files import replacing
from sonolens.frechet import Moments


class EmbeddedReference(NamedTuple):
    """An embedding, and the moments of the original recordings in it."""

    name: str  # in the config
    embedding: Embedding
    moments: Moments

    def embed(self, samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Audio (n_samples,) at any rate: (n_windows, d_embedding)."""
        if sample_rate_hz != self.embedding.sample_rate_hz:
            samples = soxr.resample(samples, sample_rate_hz, self.embedding.sample_rate_hz, quality="HQ")
        return self.embedding.embed(samples)


def load(entry: dict, device: str) -> Embedding:
    """The embedding of {"module", "weights", "options"}, on the device of the config."""
    module = plugins.load("embeddings", entry["module"])
    return module.load(list(entry["weights"]), entry["options"], str(torch_device(device)))


def embed_originals(
    embedding: Embedding, manifest_paths: list[str], output_path: str, left_out_kinds: Collection[str]
) -> None:
    """Write the moments of all windows of the test split, recording by recording, of the kinds that are steered."""
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    test = manifest[manifest["split"] == "test"].sort_values("clip_id")
    is_of_use = ~test["kind"].isin(list(left_out_kinds))
    test = test[is_of_use] if is_of_use.any() else test
    moments = Moments(embedding.d_embedding)
    for clip in tqdm(test.itertuples(), "embedding", len(test), mininterval=5):
        moments.add(embedding.embed(audio.load(clip.path, embedding.sample_rate_hz, 1)[0]))
    with replacing(output_path) as temporary:
        np.savez(temporary, count=moments.count, mean=moments.mean, covariance=moments.covariance)


def read_originals(name: str, embedding: Embedding, path: str) -> EmbeddedReference:
    """What embed_originals wrote."""
    with np.load(path) as arrays:
        moments = Moments.known(int(arrays["count"]), arrays["mean"], arrays["covariance"])
    return EmbeddedReference(name, embedding, moments)
