"""Prompts as a job takes them up: rows of tracing/schemas.PROMPT_VECTORS, some of them a shard."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sonolens import tables
from sonolens.generators import flow
from sonolens.generators.contract import Generator
from sonolens.tracing.schemas import PROMPT_VECTORS


class Prompt(NamedTuple):
    """What is to be generated, and from which noise."""

    clip_id: str  # its prompt_id, under the name that a journal knows
    text: str
    seed: int
    vector: np.ndarray  # (d_condition,)


def read(path: str | Path) -> list[Prompt]:
    """All prompts, in the order of the file."""
    rows = tables.read(path, PROMPT_VECTORS)
    columns = (rows["prompt_id"], rows["text"], rows["seed"], rows["vector"])
    return [Prompt(*row) for row in zip(*columns, strict=True)]


def groups(prompts: list, size: int) -> list[list]:
    """Prompts that are generated side by side, up to `size` each."""
    return [prompts[first : first + size] for first in range(0, len(prompts), size)]


def start(generator: Generator, prompts: Sequence[Prompt], device: torch.device) -> tuple[Tensor, Tensor]:
    """Noise (B, N, D) and conditions (B, d_condition) of some prompts. Raises ValueError if the latter do not fit."""
    vectors = np.stack([prompt.vector for prompt in prompts]).astype(np.float32)
    if vectors.shape[1] != generator.d_condition:
        raise ValueError(
            f"prompts of {vectors.shape[1]} numbers were given to {generator.name}, which takes "
            f"{generator.d_condition}: delete the table of prompts and run again"
        )
    noise = flow.noise([prompt.seed for prompt in prompts], generator.n_frames, generator.d_latent)
    return noise.to(device), torch.from_numpy(vectors).to(device)
