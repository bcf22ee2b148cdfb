"""Training of one sparse autoencoder: Adam on shuffled frames, a fixed number of steps, seeded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from sonolens.jobs import torch_state
from sonolens.jobs.checkpoints import Checkpoints
from sonolens.jobs.resumption import Resumption
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


def batches(n_frames: int, batch_frames: int, seed: int, steps: int, first: int = 0) -> Iterator[np.ndarray]:
    """Positions (batch_frames,) of each step's frames from step `first` on: an epoch is a permutation of all frames.

    What is left over at the end of an epoch is dropped, so that each batch has one size. Epoch e is drawn from
    (seed, e) alone: the batches of any step can be found again without the ones before it.
    """
    batch_frames = min(batch_frames, n_frames)
    per_epoch = n_frames // batch_frames
    for step in range(first, steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or step == first:
            order = np.random.default_rng([seed, 2, epoch]).permutation(n_frames)
        yield order[position * batch_frames : (position + 1) * batch_frames]


class _Training:
    """All that changes from step to step, and can be saved: weights, optimiser, history, position in the data."""

    def __init__(self, d_latent: int, settings: Settings, device: torch.device):
        self.model = SparseAutoencoder(d_latent, settings.n_features)
        self.model.initialise(torch.Generator().manual_seed(settings.seed))
        self.model.to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, fused=True)
        self.done = 0
        self.rows: list[dict] = []
        self.since_row = torch.zeros(3, dtype=torch.float64)
        self.n_since_row = 0
        self.train_seconds = 0.0

    def state(self) -> bytes:
        return torch_state.pack(
            vars(self) | {name: getattr(self, name).state_dict() for name in ("model", "optimiser")}
        )

    def restore(self, packed: bytes) -> None:
        state = torch_state.unpack(packed)
        for name in ("model", "optimiser"):
            getattr(self, name).load_state_dict(state.pop(name))
        vars(self).update(state)


def train(
    frames: ScaledFrames,
    validation: ScaledFrames,
    settings: Settings,
    device: torch.device,
    resumption: Resumption | None = None,
) -> Trained:
    """Train on `frames`, measuring `validation` as it goes.

    With a `resumption` it goes on where an attempt before it has stopped, and ends with the same bits as in one go.
    Raises FloatingPointError if the loss is no longer finite, Interrupted if the job has to leave.
    """
    now = _Training(frames.d_latent, settings, device)
    checkpoints = Checkpoints(resumption.folder, resumption.say) if resumption else None
    if checkpoints and (state := checkpoints.latest()):
        now.restore(state)
        resumption.say("resumed", f"at step {now.done} of {settings.steps}")
    gradients = ChunkedGradients(now.model, settings.lam, settings.l1_on)
    row_steps = set(np.linspace(0, settings.steps, settings.history_rows + 1).round().astype(int)[1:])
    order = batches(len(frames), settings.batch_frames, settings.seed, settings.steps, now.done)
    steps = range(now.done, settings.steps)
    for step in tqdm(steps, total=settings.steps, initial=now.done, desc="training", mininterval=5):
        started = time.perf_counter()
        rate = learning_rate(step, settings)
        now.optimiser.param_groups[0]["lr"] = rate
        x = torch.from_numpy(frames[next(order)]).to(device)
        loss = gradients(x)
        now.optimiser.step()
        now.since_row += torch.stack(loss).double().cpu()
        now.n_since_row += 1
        now.done += 1
        now.train_seconds += time.perf_counter() - started
        if now.done in row_steps:
            means = (now.since_row / now.n_since_row).tolist()
            if not np.isfinite(means).all():
                raise FloatingPointError(
                    f"the loss is no longer finite at step {now.done} (λ = {settings.lam:g}, rate {rate:g}); "
                    "lower sae.learning_rate"
                )
            now.rows.append(_history_row(now.done, means, rate, now.model, validation))
            now.since_row.zero_()
            now.n_since_row = 0
        if resumption:
            resumption.after(now.done, settings.steps, "steps", lambda: checkpoints.save(now.done, now.state()))
    return Trained(now.model, pd.DataFrame(now.rows), now.train_seconds)


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
