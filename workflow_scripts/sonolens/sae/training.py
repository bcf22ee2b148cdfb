"""Training of one sparse autoencoder: Adam on shuffled frames, a fixed number of steps, seeded."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sonolens.adam import Adam
from sonolens.device import torch_threads
from sonolens.jobs import torch_state
from sonolens.jobs.resumption import Resumption
from sonolens.latents import ScaledFrames
from sonolens.sae import dictionary
from sonolens.sae.evaluation import evaluate
from sonolens.sae.gradients import COUNTED_FRAMES, ChunkedGradients
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import Products, products_for_training
from sonolens.shuffling import ShuffledFrames

# Of the random numbers under a seed: the order of the frames, and what dead features begin anew from
STREAM, RESAMPLING_STREAM = 2, 10


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
    lam_warmup_share: float = 0.0  # of the steps: λ rises linearly from 0
    max_gradient_norm: float | None = None  # of all parameters together; a longer gradient is shortened to it
    unit_norm_decoder: bool = False  # columns of the decoder keep one norm (dictionary.column_norm)
    resample_steps: int | None = None  # so often, features without a gradient since are begun anew
    precision: str = "fp32"  # of the products of matrices: fp32, tf32 or bf16, where the device has it


class Trained(NamedTuple):
    """A model, and how it came about."""

    model: SparseAutoencoder
    history: pd.DataFrame  # columns of tables.SAE_HISTORY
    train_seconds: float  # of the steps alone, without the validation passes
    products: Products  # how its matrices were multiplied


def _rising(step: int, n_steps: float) -> float:
    """From just above 0 to 1 in the first `n_steps`."""
    return (step + 1) / n_steps if step + 1 < n_steps else 1.0


def learning_rate(step: int, settings: Settings) -> float:
    """Adam's rate at `step` (0 is the first): linear warm-up, constant, linear decay that ends just above 0."""
    left, decay = settings.steps - step, settings.steps * settings.decay_share
    fall = left / decay if left < decay else 1.0
    return settings.learning_rate * min(_rising(step, settings.steps * settings.warmup_share), fall)


def lam_at(step: int, settings: Settings) -> float:
    """λ at `step`: it rises linearly, then stays."""
    return settings.lam * _rising(step, settings.steps * settings.lam_warmup_share)


class _Training(torch_state.Training):
    """Weights, optimiser, what is summed for the next row of the history, and when each feature last learned."""

    def __init__(self, d_latent: int, settings: Settings, device: torch.device):
        self.model = SparseAutoencoder(d_latent, settings.n_features)
        self.model.initialise(torch.Generator().manual_seed(settings.seed))
        self.model.to(device)
        if settings.unit_norm_decoder:
            dictionary.set_column_norms(self.model)
        self.optimiser = Adam(self.model.parameters(), settings.learning_rate)
        self.done = 0
        self.rows: list[dict] = []
        self.done_at_row = 0
        self.loss_sum = torch.zeros(3, dtype=torch.float64, device=device)
        self.n_active = torch.zeros(settings.n_features, dtype=torch.int64, device=device)
        self.last_learned = torch.zeros(settings.n_features, dtype=torch.int64, device=device)
        self.train_seconds = 0.0

    def unlearned_since(self, step: int) -> Tensor:
        """(F,) features that no step after `step` gave a gradient: none of its frames activated them."""
        return self.last_learned <= step


def train(
    frames: ScaledFrames,
    validation: ScaledFrames,
    settings: Settings,
    device: torch.device,
    resumption: Resumption | None = None,
) -> Trained:
    """Train on `frames`, measuring `validation` as it goes.

    With a `resumption` it goes on where an attempt before it has stopped, and ends with the same bits as in one go.
    Memory: weights, gradients, Adam's moments and two blocks of codes, whatever the number of frames, and what
    `shuffling` holds of these, which has a bound. Raises FloatingPointError if the loss is no longer finite,
    Interrupted if the job has to leave.
    """
    now = _Training(frames.d_latent, settings, device)
    after_step = now.resume(resumption, settings.steps)
    products = products_for_training(settings.precision, device)
    print(products)
    gradients = ChunkedGradients(now.model, settings.l1_on, now.n_active, products.dtype)
    shuffled = ShuffledFrames(frames, settings.batch_frames, settings.seed, STREAM, device)
    row_steps = set(np.linspace(0, settings.steps, settings.history_rows + 1).round().astype(int)[1:])
    bar = tqdm(total=settings.steps, initial=now.done, desc="training", mininterval=5)
    started = time.perf_counter()
    for batch in shuffled.batches(now.done, settings.steps):
        with products.in_use(), torch_threads(1):
            _step(now, batch.x, gradients, settings)
        means = _means(now, settings) if now.done in row_steps else None
        now.train_seconds += time.perf_counter() - started
        if means:
            n_counted = (now.done - now.done_at_row) * min(COUNTED_FRAMES, shuffled.batch_frames)
            now.rows.append(_history_row(now, means, n_counted, settings, validation))
            now.loss_sum.zero_()
            now.n_active.zero_()
            now.done_at_row = now.done
            bar.set_postfix({name: f"{now.rows[-1][name]:.3g}" for name in ("loss", "train_l0", "train_dead_share")})
        bar.update()
        after_step()
        started = time.perf_counter()
    bar.close()
    return Trained(now.model, pd.DataFrame(now.rows), now.train_seconds, products)


@torch.no_grad()
def _step(now: _Training, x: Tensor, gradients: ChunkedGradients, settings: Settings) -> None:
    """One step on the frames x (B, D)."""
    model, step = now.model, now.done
    now.optimiser.learning_rate = learning_rate(step, settings)
    loss = gradients(x, lam_at(step, settings))
    if settings.unit_norm_decoder:
        dictionary.keep_gradient_off_norms(model)
    if settings.max_gradient_norm:
        nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
    now.optimiser.step()
    if settings.unit_norm_decoder:
        dictionary.set_column_norms(model)
    now.loss_sum += torch.stack(loss)
    now.done += 1
    now.last_learned.masked_fill_(model.b_enc.grad != 0, now.done)
    if settings.resample_steps and now.done % settings.resample_steps == 0 and not _is_decaying(now.done, settings):
        idle = now.unlearned_since(now.done - settings.resample_steps)
        rng = np.random.default_rng([settings.seed, RESAMPLING_STREAM, now.done])
        dictionary.resample(model, now.optimiser, idle, x, rng)


def _is_decaying(step: int, settings: Settings) -> bool:
    """Whether the rate falls already: what begins then would have no time to learn."""
    return step >= settings.steps * (1 - settings.decay_share)


def _means(now: _Training, settings: Settings) -> list[float]:
    """Mean loss, mse and l1 of the steps since the last row. Raises FloatingPointError if they are not finite."""
    means = (now.loss_sum / (now.done - now.done_at_row)).tolist()
    if not np.isfinite(means).all():
        rate = learning_rate(now.done - 1, settings)
        raise FloatingPointError(
            f"the loss is no longer finite at step {now.done} (λ = {settings.lam:g}, rate {rate:g}); "
            "lower sae.learning_rate"
        )
    return means


def _history_row(
    now: _Training, means: list[float], n_counted: int, settings: Settings, validation: ScaledFrames
) -> dict:
    measured = evaluate(now.model, validation)
    return {
        "step": now.done,
        "loss": means[0],
        "mse": means[1],
        "l1": means[2],
        "learning_rate": learning_rate(now.done - 1, settings),
        "lam_at_step": lam_at(now.done - 1, settings),
        "train_l0": float(now.n_active.sum()) / n_counted,
        "train_dead_share": float(now.unlearned_since(now.done_at_row).float().mean()),
        "validation_explained_variance": measured.explained_variance,
        "validation_sparsity": measured.sparsity,
        "validation_l0": measured.l0,
        "validation_hidden_norm": measured.hidden_norm,
        "dead_share": measured.dead_share,
    }
