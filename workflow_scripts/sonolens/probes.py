"""Linear probes: one softmax classifier per attribute, from codes (or raw latents) to classes.

Shapes: B frames, F inputs of the probe (features, or latent dimensions), K classes. A probe's logits are W f + b, with
W (K, F); row k of W is the control vector of class k (the paper, sections 3 and 4).

Every probe is fitted and stopped in the same way, or accuracies would compare optimisers: inputs are brought to unit
norm by a constant (‖f‖ is sqrt(F) for every code), Adam minimises the cross-entropy of the train split, the rate drops
when the loss of the validation split has not improved, and the weights of its best epoch are kept.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import trange

from sonolens.latents import ScaledFrames
from sonolens.sae.evaluation import BLOCK_BYTES
from sonolens.sae.model import SparseAutoencoder

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
    """What a probe reads, computed as it is asked for: codes of a model, or the scaled latents themselves."""

    def __init__(self, frames: ScaledFrames, model: SparseAutoencoder | None, device: torch.device):
        self.frames, self.model, self.device = frames, model, device
        self.width = model.n_features if model else frames.d_latent

    def __len__(self) -> int:
        return len(self.frames)

    @torch.no_grad()
    def __getitem__(self, positions: np.ndarray | slice) -> Tensor:
        """Codes f (B, F) at `positions`, or latents (B, D)."""
        x = torch.from_numpy(self.frames[positions]).to(self.device)
        return self.model.encode(x).f if self.model else x

    @property
    def block_frames(self) -> int:
        """Frames whose inputs take a bounded amount of memory."""
        return max(1, BLOCK_BYTES // (4 * self.width))


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


def fit(train: LabelledInputs, validation: LabelledInputs, n_classes: int, settings: Settings) -> Fit:
    """Minimise the softmax cross-entropy on `train`, stopping by `validation`."""
    inputs = train.inputs
    probe = nn.Linear(inputs.width, n_classes, device=inputs.device)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    unit = inputs.width**-0.5
    optimiser = torch.optim.Adam(probe.parameters(), lr=settings.learning_rate)
    best, best_state, best_epoch, waited, drops = float("inf"), None, 0, 0, 0
    for epoch in trange(1, settings.max_epochs + 1, desc="fitting the probe", mininterval=5):
        order = np.random.default_rng([settings.seed, 3, epoch]).permutation(len(train.positions))
        for batch in np.array_split(order, max(1, len(order) // settings.batch_frames)):
            logits = probe(inputs[train.positions[batch]] * unit)
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(train.classes[batch]).to(inputs.device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        validation_loss = _cross_entropy(lambda f: probe(f * unit), validation)
        if validation_loss < best:
            best, best_epoch, waited = validation_loss, epoch, 0
            best_state = copy.deepcopy(probe.state_dict())
            continue
        waited += 1
        if waited >= settings.patience:
            drops, waited = drops + 1, 0
            if drops == N_RATES:
                break
            probe.load_state_dict(best_state)
            optimiser.param_groups[0]["lr"] *= RATE_DROP
    return Fit(best_state["weight"] * unit, best_state["bias"], epoch, best_epoch, best)


@torch.no_grad()
def _cross_entropy(probe: Callable[[Tensor], Tensor], labelled: LabelledInputs) -> float:
    total = 0.0
    for start in range(0, len(labelled.positions), labelled.inputs.block_frames):
        block = slice(start, start + labelled.inputs.block_frames)
        logits = probe(labelled.inputs[labelled.positions[block]])
        classes = torch.from_numpy(labelled.classes[block]).to(logits.device)
        total += float(nn.functional.cross_entropy(logits, classes, reduction="sum"))
    return total / len(labelled.positions)


@torch.no_grad()
def predict_logits(weight: Tensor, bias: Tensor, inputs: Inputs, positions: np.ndarray) -> np.ndarray:
    """Logits (N, K) float32 at `positions` (N,)."""
    logits = [
        torch.addmm(bias, inputs[positions[start : start + inputs.block_frames]], weight.T).cpu().numpy()
        for start in range(0, len(positions), inputs.block_frames)
    ]
    return np.concatenate(logits)


@torch.no_grad()
def class_mean_inputs(labelled: LabelledInputs, n_classes: int) -> Tensor:
    """Mean input of the frames of each class, (K, F); zero for a class without frames."""
    inputs = labelled.inputs
    sums = torch.zeros(n_classes, inputs.width, device=inputs.device)
    for start in range(0, len(labelled.positions), inputs.block_frames):
        block = slice(start, start + inputs.block_frames)
        classes = torch.from_numpy(labelled.classes[block]).to(inputs.device)
        membership = nn.functional.one_hot(classes, n_classes).float()  # (B, K)
        sums += membership.T @ inputs[labelled.positions[block]]
    counts = torch.from_numpy(np.bincount(labelled.classes, minlength=n_classes)).to(inputs.device)
    return sums / counts.clamp(min=1)[:, None]


def contributions(weight: Tensor, class_mean: Tensor) -> Tensor:
    """c_{j→k} = W_kj · f_j, mean over the frames of class k: (K, F). The paper, section 3."""
    return weight * class_mean
