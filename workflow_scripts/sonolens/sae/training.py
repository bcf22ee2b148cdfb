"""Training of one sparse autoencoder: Adam on shuffled frames, a fixed number of steps, seeded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import trange

from sonolens.latents import ScaledFrames
from sonolens.sae.evaluation import evaluate
from sonolens.sae.gradients import ChunkedGradients
from sonolens.sae.model import SparseAutoencoder


@dataclass(frozen=True)
class Settings:
    """Everything that a training depends on, its data aside."""

    n_features: int
    lam: float  # weight of the L1 penalty, the paper's λ
    l1_on: str  # "normalised" (the code f) or "hidden" (h, before the norm)
    steps: int
    batch_frames: int
    learning_rate: float  # Adam's peak rate
    warmup_share: float  # of the steps: the rate rises linearly from 0
    decay_share: float  # of the steps: the rate falls linearly to 0
    history_rows: int
    seed: int


class Trained(NamedTuple):
    """A model, and how it came about."""

    model: SparseAutoencoder
    history: pd.DataFrame  # columns of tables.SAE_HISTORY
    train_seconds: float  # of the steps alone, without the validation passes


def learning_rate(step: int, settings: Settings) -> float:
    """Adam's rate at `step` (0 is the first): linear warm-up, constant, linear decay that ends just above 0."""
    warmup = settings.steps * settings.warmup_share
    decay = settings.steps * settings.decay_share
    rise = (step + 1) / warmup if step + 1 < warmup else 1.0
    fall = (settings.steps - step) / decay if settings.steps - step < decay else 1.0
    return settings.learning_rate * min(rise, fall)


def batches(n_frames: int, batch_frames: int, seed: int, steps: int) -> Iterator[np.ndarray]:
    """Positions (batch_frames,) of each step's frames: every epoch is a new permutation of all frames.

    What is left over at the end of an epoch is dropped, so that each batch has one size. Epoch e is drawn from
    (seed, e) alone: the batches of any step can be found again without the ones before it.
    """
    batch_frames = min(batch_frames, n_frames)
    per_epoch = n_frames // batch_frames
    for step in range(steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0:
            order = np.random.default_rng([seed, 2, epoch]).permutation(n_frames)
        yield order[position * batch_frames : (position + 1) * batch_frames]


def train(frames: ScaledFrames, validation: ScaledFrames, settings: Settings, device: torch.device) -> Trained:
    """Train on `frames`, measuring `validation` as it goes.

    Raises FloatingPointError if the loss is no longer finite.
    """
    model = SparseAutoencoder(frames.d_latent, settings.n_features)
    model.initialise(torch.Generator().manual_seed(settings.seed))
    model.to(device)
    gradients = ChunkedGradients(model, settings.lam, settings.l1_on)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    row_steps = set(np.linspace(0, settings.steps, settings.history_rows + 1).round().astype(int)[1:])
    rows, since_row, train_seconds = [], torch.zeros(3, dtype=torch.float64), 0.0
    n_since_row = 0
    order = batches(len(frames), settings.batch_frames, settings.seed, settings.steps)
    for step in trange(settings.steps, desc="training", mininterval=5):
        started = time.perf_counter()
        rate = learning_rate(step, settings)
        optimiser.param_groups[0]["lr"] = rate
        x = torch.from_numpy(frames[next(order)]).to(device)
        loss = gradients(x)
        optimiser.step()
        since_row += torch.stack(loss).double().cpu()
        n_since_row += 1
        train_seconds += time.perf_counter() - started
        if step + 1 in row_steps:
            means = (since_row / n_since_row).tolist()
            if not np.isfinite(means).all():
                raise FloatingPointError(
                    f"the loss is no longer finite at step {step + 1} (λ = {settings.lam:g}, rate {rate:g}); "
                    "lower sae.learning_rate"
                )
            rows.append(_history_row(step + 1, means, rate, model, validation))
            since_row.zero_()
            n_since_row = 0
    return Trained(model, pd.DataFrame(rows), train_seconds)


def _history_row(
    step: int, means: list[float], rate: float, model: SparseAutoencoder, validation: ScaledFrames
) -> dict:
    measured = evaluate(model, validation)
    return {
        "step": step,
        "loss": means[0],
        "mse": means[1],
        "l1": means[2],
        "learning_rate": rate,
        "validation_explained_variance": measured.explained_variance,
        "validation_sparsity": measured.sparsity,
        "validation_l0": measured.l0,
        "validation_hidden_norm": measured.hidden_norm,
        "dead_share": measured.dead_share,
    }
