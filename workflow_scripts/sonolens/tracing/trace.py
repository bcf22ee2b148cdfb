"""Class probabilities along the path of a generation, computed as it is walked.

The paper (arXiv 2510.23802, section 5) reads the state X_t of every step through autoencoder and probes. Beside it are
read: where the model at that step thinks the path ends, the straight line between this path's own ends, and a straight
line from its noise to a test recording; and all of them with probes of shuffled labels. What the four have in common is
not the generator's doing.

In memory at a time: of one batch of prompts three states, and of the codes one block. On disk: of each prompt its
probabilities and its end, n_frames · d_latent · 4 bytes (0.5 MB for DiffRhythm's 95 s); never a trajectory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from sonolens import tables
from sonolens.files import replacing
from sonolens.generators import flow
from sonolens.generators.contract import Generator
from sonolens.jobs.clip_journal import group_by_group
from sonolens.jobs.resumption import Resumption
from sonolens.latents import LatentStore, clip_and_split
from sonolens.tracing import prompts as prompting
from sonolens.tracing.prompts import Prompt
from sonolens.tracing.reading import Reader
from sonolens.tracing.schemas import TRACES, VIEWS


class Recordings:
    """Latents of the test split's recordings, from memory maps."""

    def __init__(self, latents_paths: list[str], frames_paths: list[str], manifest_paths: list[str]):
        self.store = LatentStore(latents_paths)
        frames = clip_and_split(frames_paths, manifest_paths)
        rows = np.flatnonzero(frames["split"].to_numpy() == "test")
        codes = frames["clip_id"].cat.codes.to_numpy()[rows]
        self._rows = np.split(rows, np.flatnonzero(codes[1:] != codes[:-1]) + 1)

    def latents(self, position: int, n_frames: int) -> np.ndarray:
        """The first frames, up to n_frames, of a recording, (n, d_latent); after the last comes the first again."""
        return self.store.gather(self._rows[position % len(self._rows)][:n_frames])


class Tracing(NamedTuple):
    """What all prompts of a job share."""

    generator: Generator
    reader: Reader
    recordings: Recordings
    n_points: int
    device: torch.device

    def measure(self, group: Sequence[tuple[int, Prompt]]) -> list[list[np.ndarray]]:
        """For each prompt its end (N, D), and for each of reader.names probabilities (n_views, n_points, K)."""
        prompts = [prompt for _, prompt in group]
        noise, condition = prompting.start(self.generator, prompts, self.device)
        found = {view: [] for view in VIEWS}
        for point in flow.walk(self.generator, noise, condition, self.n_points):
            found["x_t"].append(self._read(point.x))
            found["end_estimate"].append(self._read(point.end_estimate))
        end = point.x
        latents, ends = self.generator.latents(noise), self.generator.latents(end)
        heard = [self.recordings.latents(position, self.generator.n_frames) for position, _ in group]
        for t in flow.times(self.n_points).tolist():
            found["straight"].append(self.reader.read(_between(latents, ends, t)))
            mixed = [_between(own[None, : len(data)], data[None], t) for own, data in zip(latents, heard, strict=True)]
            read = [self.reader.read(one) for one in mixed]
            found["data"].append([np.concatenate(of_name) for of_name in zip(*read, strict=True)])
        ends = ends.astype(np.float32)
        return [[ends[i], *self._of_prompt(found, i)] for i in range(len(prompts))]

    def _read(self, x: torch.Tensor) -> list[np.ndarray]:
        return self.reader.read(self.generator.latents(x))

    def _of_prompt(self, found: dict[str, list[list[np.ndarray]]], position: int) -> list[np.ndarray]:
        """(n_views, n_points, K) of each of reader.names."""
        return [
            np.stack([[at_point[name][position] for at_point in found[view]] for view in VIEWS])
            for name in range(len(self.reader.names))
        ]


def _between(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    return (np.float32(1 - t) * start + np.float32(t) * end).astype(np.float32)


class _Numbered(NamedTuple):
    """A prompt with its number, as the journal of a job takes it."""

    number: int
    prompt: Prompt

    @property
    def clip_id(self) -> str:
        return self.prompt.clip_id


def trace(
    tracing: Tracing,
    prompts: list[Prompt],
    shard: int,
    n_shards: int,
    batch_prompts: int,
    outputs: dict[str, str],
    resumption: Resumption,
) -> None:
    """Trace the prompts of a shard, going on where an earlier attempt was stopped.

    outputs: trace (tracing/schemas.TRACES), ends (n_prompts, N, D) float32, in the order of the shard. What a
    prompt gives depends on its batch by rounding alone.
    """
    numbered = [_Numbered(number, prompt) for number, prompt in enumerate(prompts)][shard::n_shards]
    groups = prompting.groups(numbered, batch_prompts)
    with group_by_group(groups, tracing.measure, resumption, "generating", "prompts") as journal:
        ends, parts = [], []
        for prompt_id, (end, *found) in journal.read():
            ends.append(end)
            for (probe, attribute), probabilities in zip(tracing.reader.names, found, strict=True):
                parts.append(_rows(prompt_id, probe, attribute, probabilities))
    shape = (len(ends), tracing.generator.n_frames, tracing.generator.d_latent)
    with replacing(outputs["ends"]) as temporary:
        np.save(temporary, np.array(ends, np.float32).reshape(shape))
    table = pd.concat(parts, ignore_index=True) if parts else TRACES.empty_table().to_pandas()
    tables.write(table, outputs["trace"], TRACES)


def _rows(prompt_id: str, probe: str, attribute: str, probabilities: np.ndarray) -> pd.DataFrame:
    """Rows of TRACES from (n_views, n_points, K)."""
    n_views, n_points, _ = probabilities.shape
    return pd.DataFrame(
        {
            "prompt_id": prompt_id,
            "view": np.repeat(VIEWS, n_points),
            "probe": probe,
            "attribute": attribute,
            "step": np.tile(np.arange(n_points), n_views),
            "probabilities": list(probabilities.reshape(n_views * n_points, -1)),
        }
    )
