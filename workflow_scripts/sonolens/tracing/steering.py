"""A control vector added on the way of a generation, and what it did to the sound at its end.

What is added at a time point is what steering changes in the autoencoder's reconstruction of the state,

    Δ = SAE(X_t, f' = RMSNorm(f + α w_k)) − SAE(X_t)

so that the autoencoder's own error is not. Either once, at one step ("once"), or in equal parts at every step from one
on ("on"): the sum of what is added is one control vector, wherever it begins. At the last step both are steering as of
a recording. Each prompt keeps its noise, and is compared with itself without the control.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sonolens import tables
from sonolens.encoders.contract import Encoder
from sonolens.generators import flow
from sonolens.generators.contract import Generator
from sonolens.jobs.clip_journal import clip_by_clip
from sonolens.jobs.resumption import Resumption
from sonolens.steering import effects, strength
from sonolens.steering.cell import Cell
from sonolens.steering.methods import PAPER
from sonolens.steering.tracking import Labeller, clipped, mono, track_all
from sonolens.tracing import prompts as prompting
from sonolens.tracing.prompts import Prompt
from sonolens.tracing.reading import Reader
from sonolens.tracing.samples import UNKNOWN_KIND
from sonolens.tracing.schemas import GENERATION_EFFECTS, MODES

ON, ONCE = MODES


class Condition(NamedTuple):
    """One way in which all prompts are generated again."""

    class_index: int
    mode: str
    step: int

    @property
    def clip_id(self) -> str:
        """Its name in the job's journal."""
        return f"class {self.class_index}/{self.mode}/step {self.step}"


UNSTEERED = Condition(-1, "", 0)


def share(condition: Condition, step: int, n_points: int) -> float:
    """How much of the control vector is added at time point `step`."""
    if condition.mode == ONCE:
        return 1.0 if step == condition.step else 0.0
    return 1.0 / (n_points - condition.step) if step >= condition.step else 0.0


class GenerationSteering:
    """What all conditions of one job share."""

    def __init__(
        self,
        generator: Generator,
        encoder: Encoder,
        cell: Cell,
        attribute: str,
        prompts: Sequence[Prompt],
        labellers: dict[str, Labeller],
        *,
        alpha: float,
        n_points: int,
        batch_prompts: int,
    ):
        """cell: with the probe of `attribute`"""
        self.generator, self.encoder, self.cell, self.attribute = generator, encoder, cell, attribute
        self.prompts, self.labellers = list(prompts), labellers
        self.alpha, self.n_points, self.batch_prompts = alpha, n_points, batch_prompts
        self._reader = Reader(cell, {"fitted": {attribute: cell.probes[attribute]}})
        self._unsteered: tuple[list[dict], np.ndarray] | None = None

    def measure(self, condition: Condition) -> list[np.ndarray]:
        """Of every prompt and attribute effects.FIGURES (n_prompts, n_attributes, n_figures), and the probability of
        the class with and without the control (n_prompts, 2)."""
        if self._unsteered is None:
            self._unsteered = self._generated(UNSTEERED)
        before, probability_before = self._unsteered
        after, probability = self._generated(condition)
        target = {self.attribute: (condition.class_index, self.cell.probes[self.attribute].bins)}
        found = [
            [self._figures(before[i][name], after[i][name], target.get(name, ())) for name in self.labellers]
            for i in range(len(self.prompts))
        ]
        pair = np.stack([of[:, condition.class_index] for of in (probability, probability_before)], axis=1)
        return [np.array(found), pair]

    def spreads(self) -> dict[str, float]:
        """Standard deviation of each attribute over all unsteered sounds; NaN if it is nowhere defined."""
        if self._unsteered is None:
            self._unsteered = self._generated(UNSTEERED)
        found = {}
        for name in self.labellers:
            values = np.concatenate([tracks[name] for tracks in self._unsteered[0]])
            found[name] = float(np.nanstd(values)) if np.isfinite(values).any() else float("nan")
        return found

    @staticmethod
    def _figures(before: np.ndarray, after: np.ndarray, target: tuple) -> list[float]:
        found = effects.effect(before, after, *target)
        return [found[figure] for figure in effects.FIGURES]

    def _generated(self, condition: Condition) -> tuple[list[dict], np.ndarray]:
        """Tracks of every prompt's sound, {attribute: (T,)}, and its class probabilities (n_prompts, K)."""
        tracks, probabilities = [], []
        for group in prompting.groups(self.prompts, self.batch_prompts):
            noise, vectors = prompting.start(self.generator, group, self.cell.device)
            ends = self.generator.latents(
                flow.end(self.generator, noise, vectors, self.n_points, self._change(condition))
            )
            probabilities += self._reader.read(ends)
            for latents in ends:
                samples = mono(clipped(self.encoder.decode(latents))[0])
                tracks.append(track_all(samples, self.encoder.sample_rate_hz, UNKNOWN_KIND, self.labellers))
        return tracks, np.concatenate(probabilities)

    def _change(self, condition: Condition) -> Callable[[int, Tensor], Tensor] | None:
        if condition == UNSTEERED:
            return None
        direction = self.cell.probes[self.attribute].weight[condition.class_index]

        def change(step: int, x: Tensor) -> Tensor:
            part = share(condition, step, self.n_points)
            return x if part == 0 else x + part * self._added(x, direction)

        return change

    def _added(self, x: Tensor, direction: Tensor) -> Tensor:
        """Δ of a state x (B, N, D) in the generator's own scale."""
        latents = self.generator.latents(x)
        scaled = self.cell.scaled(latents.reshape(-1, latents.shape[-1]))
        moved = strength.steered(self.cell, PAPER, scaled, direction, self.alpha)
        change = moved - strength.reference(self.cell, PAPER.space, scaled)
        return (change * self.scale_ratio).reshape(x.shape).to(x.dtype)

    @property
    def scale_ratio(self) -> float:
        """What a step of the cell's scaled latents is in the generator's scale: both only shift and stretch."""
        zero, one = (self.generator.latents(torch.full((1, self.generator.d_latent), v)) for v in (0.0, 1.0))
        return float(self.cell.scaling.scale / np.mean(one - zero))


def steer_generation(
    steering: GenerationSteering,
    classes: Sequence[int],
    steps: Sequence[int],
    output_path: str,
    resumption: Resumption,
) -> None:
    """Measure every class, mode and step, going on where an earlier attempt was stopped; GENERATION_EFFECTS."""
    conditions = [Condition(k, mode, step) for k in classes for mode in MODES for step in steps]
    doing = f"steering {steering.attribute}"
    with clip_by_clip(conditions, steering.measure, resumption, doing, "conditions") as journal:
        spreads = steering.spreads()
        parts = [
            _rows(steering, condition, spreads, *arrays)
            for condition, (_, arrays) in zip(conditions, journal.read(), strict=True)
        ]
    tables.write(pd.concat(parts, ignore_index=True), output_path, GENERATION_EFFECTS)


def _rows(
    steering: GenerationSteering,
    condition: Condition,
    spreads: Mapping[str, float],
    found: np.ndarray,
    pair: np.ndarray,
) -> pd.DataFrame:
    """Rows of GENERATION_EFFECTS from figures (n_prompts, n_attributes, n_figures) and probabilities (n_prompts, 2)."""
    names = list(steering.labellers)
    figures = pd.DataFrame(found.reshape(-1, len(effects.FIGURES)), columns=effects.FIGURES)
    counts = [figure for figure in effects.FIGURES if figure.startswith("n_")]
    measured = np.tile(names, len(found))
    is_target = measured == steering.attribute
    with_and_without = np.where(is_target[:, None], np.repeat(pair, len(names), axis=0), np.nan)
    return figures.astype(dict.fromkeys(counts, "int32")).assign(
        prompt_id=np.repeat([prompt.clip_id for prompt in steering.prompts], len(names)),
        attribute=steering.attribute,
        class_index=condition.class_index,
        mode=condition.mode,
        step=condition.step,
        alpha=steering.alpha,
        measured=measured,
        spread=[spreads[name] for name in measured],
        probability=with_and_without[:, 0],
        probability_before=with_and_without[:, 1],
    )
