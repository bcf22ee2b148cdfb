"""Linear probes: one softmax classifier per attribute, from codes (or raw latents) to classes.

Shapes: B frames, F inputs of the probe (features, or latent dimensions), K classes. A probe's logits are W f + b, with
W (K, F); row k of W is the control vector of class k (the paper, sections 3 and 4).

Every probe is fitted and stopped in the same way, or accuracies would compare optimisers: inputs are brought to unit
norm by a constant (‖f‖ is sqrt(F) for every code), Adam minimises the cross-entropy of the train split, the rate drops
when the loss of the validation split has not improved, and the weights of its best epoch are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from sonolens.latents import ScaledFrames
from sonolens.sae.blocks import block_frames
from sonolens.sae.model import EPS, SparseAutoencoder

RATE_DROP = 0.3
N_RATES = 3  # the fit ends when the rate would drop for the third time


@dataclass(frozen=True)
class Settings:
    """How a probe is fitted."""

    max_epochs: int
    patience: int  # epochs without a better validation loss before the rate drops
    batch_frames: int
    learning_rate: float
    seed: int


class Inputs:
    """What a probe reads, computed as it is asked for: codes f = r h of a model, or the scaled latents themselves."""

    def __init__(self, frames: ScaledFrames, model: SparseAutoencoder | None, device: torch.device):
        self.frames, self.model, self.device = frames, model, device
        self.width = model.n_features if model else frames.d_latent
        self._like = torch.empty(0, device=device)
        self._buffer = torch.empty(self.block_frames, self.width, device=device)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def block_frames(self) -> int:
        """Frames whose inputs are computed at once."""
        return block_frames(self.width, self._like)

    @torch.no_grad()
    def factors(self, positions: np.ndarray) -> tuple[Tensor, Tensor]:
        """Codes at `positions` (B,), B up to block_frames, as h (B, F) and r (B, 1); f is never formed.

        h lies in a buffer that the next call overwrites.
        """
        x = torch.from_numpy(self.frames[positions]).to(self.device)
        if self.model is None:
            return x, x.new_ones(len(x), 1)
        h = torch.addmm(self.model.b_enc, x, self.model.W_enc.T, out=self._buffer[: len(x)]).relu_()
        norm = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        return h, (norm.square() / self.width + EPS).rsqrt()

    def blocks(self, positions: np.ndarray) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """h and r of `positions` (N,) block by block, with the slice of `positions` that a block is."""
        for start in range(0, len(positions), self.block_frames):
            block = slice(start, min(start + self.block_frames, len(positions)))
            yield block, *self.factors(positions[block])


class LabelledInputs(NamedTuple):
    """Inputs of one split with their classes; frames without a class (-1) have been left out of `positions`."""

    inputs: Inputs
    positions: np.ndarray  # (N,) positions within inputs
    classes: np.ndarray  # (N,) int64

    @staticmethod
    def of(inputs: Inputs, classes: np.ndarray) -> "LabelledInputs":
        """classes (n_frames,), -1 where a frame is left out. Raises ValueError if all are."""
        positions = np.flatnonzero(classes >= 0)
        if not len(positions):
            raise ValueError("no frame of this split has a class; the attribute is undefined on all its recordings")
        return LabelledInputs(inputs, positions, classes[positions].astype(np.int64))


class Fit(NamedTuple):
    """A fitted probe."""

    weight: Tensor  # (K, F), for inputs as they are
    bias: Tensor  # (K,)
    n_epochs: int
    best_epoch: int
    validation_loss: float


@torch.no_grad()
def fit(train: LabelledInputs, validation: LabelledInputs, n_classes: int, settings: Settings) -> Fit:
    """Minimise the softmax cross-entropy on `train`, stopping by `validation`.

    The gradient is written out, ∂/∂W = Σ (softmax − onehot) fᵀ = Σ r (softmax − onehot) hᵀ, in blocks that stay in
    cache.
    """
    inputs = train.inputs
    unit = inputs.width**-0.5
    weight = torch.zeros(n_classes, inputs.width, device=inputs.device)  # for inputs of unit norm
    bias = torch.zeros(n_classes, device=inputs.device)
    weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
    optimiser = torch.optim.Adam([weight, bias], lr=settings.learning_rate, fused=True)
    best, best_epoch, waited, drops = float("inf"), 0, 0, 0
    best_weight, best_bias = weight.clone(), bias.clone()
    for epoch in trange(1, settings.max_epochs + 1, desc="fitting the probe", mininterval=5):
        order = np.random.default_rng([settings.seed, 3, epoch]).permutation(len(train.positions))
        for batch in np.array_split(order, max(1, len(order) // settings.batch_frames)):
            _set_gradient(weight, bias, train, batch, unit)
            optimiser.step()
        validation_loss = _cross_entropy(weight * unit, bias, validation)
        if validation_loss < best:
            best, best_epoch, waited = validation_loss, epoch, 0
            best_weight.copy_(weight)
            best_bias.copy_(bias)
            continue
        waited += 1
        if waited >= settings.patience:
            drops, waited = drops + 1, 0
            if drops == N_RATES:
                break
            weight.copy_(best_weight)
            bias.copy_(best_bias)
            optimiser.param_groups[0]["lr"] *= RATE_DROP
    return Fit(best_weight * unit, best_bias, epoch, best_epoch, best)


def _set_gradient(weight: Tensor, bias: Tensor, train: LabelledInputs, batch: np.ndarray, unit: float) -> None:
    """Set `grad` of weight (K, F) and bias (K,) to that of the mean cross-entropy over the `batch` (B,) of `train`."""
    weight.grad.zero_()
    bias.grad.zero_()
    classes = torch.from_numpy(train.classes[batch]).to(weight.device)
    for block, h, r in train.inputs.blocks(train.positions[batch]):
        scale = r * unit
        error = (torch.mm(h, weight.T) * scale + bias).softmax(dim=1)  # (b, K)
        error[torch.arange(len(h), device=h.device), classes[block]] -= 1
        error /= len(batch)
        weight.grad.addmm_((error * scale).T, h)
        bias.grad += error.sum(dim=0)


def _cross_entropy(weight: Tensor, bias: Tensor, labelled: LabelledInputs) -> float:
    classes = torch.from_numpy(labelled.classes).to(weight.device)
    total = 0.0
    for block, h, r in labelled.inputs.blocks(labelled.positions):
        logits = torch.mm(h, weight.T) * r + bias
        total += float(nn.functional.cross_entropy(logits, classes[block], reduction="sum"))
    return total / len(labelled.positions)


@torch.no_grad()
def predict_logits(weight: Tensor, bias: Tensor, inputs: Inputs, positions: np.ndarray) -> np.ndarray:
    """Logits (N, K) float32 at `positions` (N,)."""
    logits = np.empty((len(positions), len(bias)), np.float32)
    for block, h, r in inputs.blocks(positions):
        logits[block] = (torch.mm(h, weight.T) * r + bias).cpu().numpy()
    return logits


@torch.no_grad()
def class_mean_inputs(labelled: LabelledInputs, n_classes: int) -> Tensor:
    """Mean input of the frames of each class, (K, F); zero for a class without frames."""
    inputs = labelled.inputs
    sums = torch.zeros(n_classes, inputs.width, device=inputs.device)
    classes = torch.from_numpy(labelled.classes).to(inputs.device)
    for block, h, r in inputs.blocks(labelled.positions):
        membership = nn.functional.one_hot(classes[block], n_classes).float()  # (b, K)
        sums.addmm_((membership * r).T, h)
    counts = torch.bincount(classes, minlength=n_classes)
    return sums / counts.clamp(min=1)[:, None]


def contributions(weight: Tensor, class_mean: Tensor) -> Tensor:
    """c_{j→k} = W_kj · f_j, mean over the frames of class k: (K, F). The paper, section 3."""
    return weight * class_mean
