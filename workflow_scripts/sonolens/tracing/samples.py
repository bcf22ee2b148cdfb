"""Whether what is generated is music: its labels and embeddings beside those of the test split.

Four sources: what was generated, the noise that it came from, excerpts of the test split through the codec alone, and
the test split itself. One sound is in memory at a time, of the embeddings their moments.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.encoders.contract import Encoder, decode
from sonolens.frechet import NestedMoments
from sonolens.generators import flow
from sonolens.generators.contract import Generator
from sonolens.jobs.clip_journal import clip_by_clip
from sonolens.jobs.resumption import Resumption
from sonolens.labels.bins import LEFT_OUT, Bins, classify
from sonolens.steering.embedding import EmbeddedReference
from sonolens.steering.evaluation import DISTANCE_FIGURES, distance_figures
from sonolens.steering.excerpts import Excerpts
from sonolens.steering.tracking import Labeller, clipped, left_out_kinds, mono, track_all
from sonolens.tracing.prompts import Prompt
from sonolens.tracing.schemas import LABEL_COUNTS, SAMPLE_DISTANCES

GENERATED, NOISE, CODEC, TEST = "generated", "noise", "codec", "test"
UNKNOWN_KIND = "unknown"


class Sound(NamedTuple):
    """One sound to be measured."""

    source: str
    clip_id: str
    kind: str
    latents: np.ndarray  # (N, D)
    side: np.ndarray  # (N, n_side)


class Ends:
    """Ends of all prompts (n_frames, d_latent), from the shards that trace wrote."""

    def __init__(self, paths: Sequence[str | Path]):
        """paths: in the order of the shards"""
        self._shards = [np.load(path, mmap_mode="r") for path in paths]

    def of(self, number: int) -> np.ndarray:
        """The end of prompt `number` among all prompts."""
        return np.asarray(self._shards[number % len(self._shards)][number // len(self._shards)])


class Measuring(NamedTuple):
    """What the sounds of a job share."""

    generator: Generator
    encoder: Encoder
    bins: Mapping[str, Bins]
    labellers: dict[str, Labeller]
    references: list[EmbeddedReference]

    def sounds(self, prompts: Sequence[Prompt], ends: Ends, excerpts: Excerpts) -> Iterator[Sound]:
        """What was generated, the noise behind it, and excerpts through the codec.

        A prompt that is nothing but a kind of recording which an attribute leaves out (drums) is passed over, as the
        recordings of that kind are.
        """
        generator, left_out = self.generator, left_out_kinds(self.labellers)
        for number, prompt in enumerate(prompts):
            if prompt.text in left_out:
                continue
            nothing = np.zeros((generator.n_frames, 0), np.float32)
            yield Sound(GENERATED, prompt.clip_id, UNKNOWN_KIND, ends.of(number), nothing)
            noise = flow.noise([prompt.seed], generator.n_frames, generator.d_latent)
            yield Sound(NOISE, prompt.clip_id, UNKNOWN_KIND, generator.latents(noise)[0], nothing)
        for position in range(len(excerpts)):
            source = excerpts.sound(position)
            yield Sound(CODEC, source.clip_id, source.kind, source.latents, source.side)

    def measure(self, sound: Sound) -> list[np.ndarray]:
        """Of each attribute frames by class, the last entry those without, (K + 1,); and of each embedding (n, d)."""
        samples = mono(clipped(decode(self.encoder, sound.latents, sound.side))[0])
        rate_hz = self.encoder.sample_rate_hz
        tracks = track_all(samples, rate_hz, sound.kind, self.labellers)
        counts = [_counted(tracks[name], self.bins[name]) for name in self.labellers]
        return [*counts, *(reference.embed(samples, rate_hz) for reference in self.references)]


def _counted(track: np.ndarray, bins: Bins) -> np.ndarray:
    """Frames of a track (T,) by class, (K + 1,); the last are those that have none."""
    classes = classify(track, bins)
    return np.bincount(np.where(classes == LEFT_OUT, bins.n_classes, classes), minlength=bins.n_classes + 1)


def measure_samples(
    measuring: Measuring,
    sounds: list[Sound],
    test: pd.DataFrame,
    outputs: Mapping[str, str],
    seed: int,
    resumption: Resumption,
) -> None:
    """Measure all sounds, going on where an earlier attempt was stopped, and write both tables.

    test: rows of LABEL_COUNTS of the test split; outputs: counts (LABEL_COUNTS), distances (SAMPLE_DISTANCES)
    """
    names = list(measuring.labellers)
    moments = {
        source: [NestedMoments(reference.embedding.d_embedding, seed) for reference in measuring.references]
        for source in (GENERATED, NOISE, CODEC)
    }
    rows, n_of_source = [], dict.fromkeys(moments, 0)
    with clip_by_clip(sounds, measuring.measure, resumption, "measuring", "sounds") as journal:
        for sound, (_, arrays) in zip(sounds, journal.read(), strict=True):
            for name, counts in zip(names, arrays, strict=False):
                rows += _count_rows(sound.source, sound.clip_id, name, counts)
            for nested, embedded in zip(moments[sound.source], arrays[len(names) :], strict=True):
                nested.add(embedded, n_of_source[sound.source])
            n_of_source[sound.source] += 1
    counted = pd.DataFrame(rows, columns=LABEL_COUNTS.names)
    tables.write(pd.concat([counted, test], ignore_index=True), outputs["counts"], LABEL_COUNTS)
    distances = [
        {"source": source, "embedding": reference.name}
        | dict(zip(DISTANCE_FIGURES, distance_figures(nested, reference), strict=True))
        for source, of_source in moments.items()
        for nested, reference in zip(of_source, measuring.references, strict=True)
    ]
    table = pd.DataFrame(distances, columns=SAMPLE_DISTANCES.names)
    tables.write(table, outputs["distances"], SAMPLE_DISTANCES)


def _count_rows(source: str, clip_id: str, attribute: str, counts: np.ndarray) -> list[tuple]:
    """Rows of LABEL_COUNTS, of classes that occur, from (K + 1,)."""
    classes = [*range(len(counts) - 1), LEFT_OUT]
    return [(source, clip_id, attribute, k, int(n)) for k, n in zip(classes, counts, strict=True) if n]


def count_test_labels(
    labels_paths: Mapping[str, Sequence[str]],
    bins: Mapping[str, Bins],
    manifest_paths: list[str],
    labellers: dict[str, Labeller],
) -> pd.DataFrame:
    """Rows of LABEL_COUNTS of the test split's recordings of the kinds that every attribute is measured on.

    labels_paths: of each attribute the fine labels of all shards; one shard is in memory at a time.
    """
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    test = manifest[manifest["split"] == "test"]
    measured = ~test["kind"].isin(left_out_kinds(labellers))
    wanted = set(test.loc[measured if measured.any() else slice(None), "clip_id"])
    rows = []
    for attribute, paths in labels_paths.items():
        for path in paths:
            labels = tables.read(path, tables.FINE_LABELS)
            labels = labels[labels["clip_id"].isin(wanted)]
            for clip_id, own in labels.groupby("clip_id", observed=True, sort=True):
                counts = _counted(own["value"].to_numpy(), bins[attribute])
                rows += _count_rows(TEST, str(clip_id), attribute, counts)
    return pd.DataFrame(rows, columns=LABEL_COUNTS.names)
