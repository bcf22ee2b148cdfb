"""Linear probes: one softmax classifier per attribute, from codes (or raw latents) to classes.

Shapes: B frames, F inputs of the probe (features, or latent dimensions), K classes. A probe's logits are W f + b, with
W (K, F); row k of W is the control vector of class k (the paper, sections 3 and 4).

Every probe is fitted and stopped in the same way, or accuracies would compare optimisers: inputs are brought to unit
norm by a constant (‖f‖ is sqrt(F) for every code), Adam minimises the cross-entropy of the train split, the rate drops
when the loss of the validation split has not improved, and the weights of its best epoch are kept.

The probes of all attributes are fitted on one pass over the codes, which cost more than a probe does, and each is what
it would be alone: the frames come in one order, and none sees another's classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from sonolens.adam import Adam
from sonolens.labels.bins import LEFT_OUT
from sonolens.latents import ScaledFrames
from sonolens.sae.blocks import block_frames
from sonolens.sae.codes import CodeBlocks, Codes
from sonolens.sae.model import SparseAutoencoder
from sonolens.shuffling import ShuffledFrames

STREAM = 3  # of the random numbers under a seed: the order of the frames
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
        self.frames, self.device = frames, device
        self.width = model.n_features if model else frames.d_latent
        self.block_frames = block_frames(self.width, torch.empty(0, device=device))
        self._code_blocks = CodeBlocks(model) if model else None

    def __len__(self) -> int:
        return len(self.frames)

    def blocks_of(self, x: Tensor) -> Iterator[tuple[slice, Codes]]:
        """Of frames x (B, D), block by block: the slice of them, and their codes, until the next are asked for."""
        for start in range(0, len(x), self.block_frames):
            block = x[start : start + self.block_frames]
            yield slice(start, start + len(block)), self._codes_of(block)

    def blocks(self, positions: np.ndarray) -> Iterator[tuple[slice, Codes]]:
        """The same of the frames at `positions` (N,), read as they are needed."""
        for start in range(0, len(positions), self.block_frames):
            block = slice(start, min(start + self.block_frames, len(positions)))
            yield block, self._codes_of(torch.from_numpy(self.frames[positions[block]]).to(self.device))

    def _codes_of(self, x: Tensor) -> Codes:
        return self._code_blocks(x) if self._code_blocks else Codes(x, x.new_ones(len(x), 1))


class Labelled(NamedTuple):
    """The classes of one attribute on the frames of a split; some may be left out."""

    n_classes: int
    classes: np.ndarray  # (n_frames,) int64, LEFT_OUT where a frame has none

    @staticmethod
    def of(classes: np.ndarray, n_classes: int) -> "Labelled":
        """Raises ValueError if no frame has a class."""
        if not (classes >= 0).any():
            raise ValueError("no frame of this split has a class; the attribute is undefined on all its recordings")
        return Labelled(n_classes, classes.astype(np.int64))

    @property
    def positions(self) -> np.ndarray:
        """Frames (N,) that have a class."""
        return np.flatnonzero(self.classes >= 0)


class Fit(NamedTuple):
    """A fitted probe."""

    weight: Tensor  # (K, F), for inputs as they are
    bias: Tensor  # (K,)
    n_epochs: int
    best_epoch: int
    validation_loss: float


class _Probe:
    """A probe while it is fitted, for inputs of unit norm: inputs times `unit`."""

    def __init__(self, train: Labelled, validation: Labelled, inputs: Inputs, learning_rate: float):
        self.train, self.validation, self.unit = train, validation, inputs.width**-0.5
        # as the products of active codes want it: what a class takes from a feature lies beside what others do
        self.weight = torch.zeros(inputs.width, train.n_classes, device=inputs.device).T
        self.bias = torch.zeros(train.n_classes, device=inputs.device)
        self.weight.grad, self.bias.grad = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self.optimiser = Adam([self.weight, self.bias], learning_rate)
        self.best = Fit(self.weight.clone(), self.bias.clone(), 0, 0, float("inf"))
        self.waited, self.drops = 0, 0

    def begin(self, positions: np.ndarray) -> bool:
        """A step on the frames at `positions` (B,) begins; whether any of them has a class."""
        self.weight.grad.zero_()
        self.bias.grad.zero_()
        classes = self.train.classes[positions]
        self.n_labelled = int((classes >= 0).sum())
        self.classes = torch.from_numpy(classes).to(self.weight.device)
        return self.n_labelled > 0

    def add_gradient(self, block: slice, codes: Codes) -> None:
        """Of the mean cross-entropy of a step, what a block of codes adds to it.

        ∂/∂W = Σ (softmax − onehot) fᵀ = Σ r (softmax − onehot) hᵀ
        """
        scale, classes = codes.r * self.unit, self.classes[block]
        error = codes.times(self.weight.T).mul_(scale).add_(self.bias).softmax(dim=1)  # (b, K)
        error.scatter_add_(1, classes.clamp_min(0)[:, None], error.new_full((len(error), 1), -1.0))
        error.mul_((classes >= 0)[:, None] / self.n_labelled)
        self.bias.grad += error.sum(dim=0)
        codes.add_products(error.mul_(scale), self.weight.grad.T)

    def judge(self, epoch: int, validation_loss: float, patience: int) -> bool:
        """An epoch is over: keep it, or go back and drop the rate. Whether the fit has come to its end."""
        if validation_loss < self.best.validation_loss:
            weight, bias = self.best.weight.copy_(self.weight), self.best.bias.copy_(self.bias)
            self.best, self.waited = Fit(weight, bias, epoch, epoch, validation_loss), 0
            return False
        self.best = self.best._replace(n_epochs=epoch)
        self.waited += 1
        if self.waited >= patience:
            self.drops, self.waited = self.drops + 1, 0
            self.weight.copy_(self.best.weight)
            self.bias.copy_(self.best.bias)
            self.optimiser.learning_rate *= RATE_DROP
        return self.drops == N_RATES

    def fitted(self) -> Fit:
        return self.best._replace(weight=self.best.weight * self.unit)


@torch.no_grad()
def fit(
    train: Inputs, validation: Inputs, attributes: Sequence[tuple[Labelled, Labelled]], settings: Settings
) -> list[Fit]:
    """For each of `attributes`, its classes on `train` and on `validation`: the probe with the least softmax
    cross-entropy on `train`, stopped by `validation`.

    Memory: a block of codes and, of each probe, its weights five times; and what `shuffling` holds of the frames.
    """
    probes = [_Probe(*labelled, train, settings.learning_rate) for labelled in attributes]
    running = list(probes)
    shuffled = ShuffledFrames(train.frames, settings.batch_frames, settings.seed, STREAM, train.device)
    for epoch in trange(1, settings.max_epochs + 1, desc="fitting the probes", mininterval=5):
        for batch in shuffled.epoch(epoch):
            moved = [probe for probe in running if probe.begin(batch.positions)]
            for block, codes in train.blocks_of(batch.x):
                for probe in moved:
                    probe.add_gradient(block, codes)
            for probe in moved:
                probe.optimiser.step()
        losses = _cross_entropies(running, validation)
        running = [
            probe
            for probe, loss in zip(running, losses, strict=True)
            if not probe.judge(epoch, loss, settings.patience)
        ]
        if not running:
            break
    return [probe.fitted() for probe in probes]


def _cross_entropies(probes: Sequence[_Probe], inputs: Inputs) -> list[float]:
    """Mean cross-entropy of each probe on its labelled frames of the validation split, on one pass."""
    totals = np.zeros(len(probes))
    for block, codes in inputs.blocks(np.arange(len(inputs))):
        for index, probe in enumerate(probes):
            logits = codes.times(probe.weight.T).mul_(codes.r * probe.unit).add_(probe.bias)
            classes = torch.from_numpy(probe.validation.classes[block]).to(logits.device)
            totals[index] += float(nn.functional.cross_entropy(logits, classes, ignore_index=LEFT_OUT, reduction="sum"))
    return [total / len(probe.validation.positions) for total, probe in zip(totals, probes, strict=True)]


@torch.no_grad()
def predict_logits(weight: Tensor, bias: Tensor, inputs: Inputs, positions: np.ndarray) -> np.ndarray:
    """Logits (N, K) float32 at `positions` (N,)."""
    logits = np.empty((len(positions), len(bias)), np.float32)
    of_features = weight.T.contiguous()
    for block, codes in inputs.blocks(positions):
        logits[block] = (codes.times(of_features) * codes.r + bias).cpu().numpy()
    return logits


@torch.no_grad()
def class_mean_inputs(inputs: Inputs, labelled: Labelled) -> Tensor:
    """Mean input of the frames of each class, (K, F); zero for a class without frames."""
    sums = torch.zeros(inputs.width, labelled.n_classes, device=inputs.device)
    positions = labelled.positions
    classes = torch.from_numpy(labelled.classes[positions]).to(inputs.device)
    for block, codes in inputs.blocks(positions):
        membership = nn.functional.one_hot(classes[block], labelled.n_classes).float()  # (b, K)
        codes.add_products(membership * codes.r, sums)
    counts = torch.bincount(classes, minlength=labelled.n_classes)
    return (sums / counts.clamp(min=1)).T


def contributions(weight: Tensor, class_mean: Tensor) -> Tensor:
    """c_{j→k} = W_kj · f_j, mean over the frames of class k: (K, F). The paper, section 3."""
    return weight * class_mean
