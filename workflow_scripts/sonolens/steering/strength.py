"""How strong a method has to be to move the latents as far as the paper's does: methods compared at equal means."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from sonolens.steering.cell import Cell
from sonolens.steering.control import Control, steer_latents, steered_reconstruction
from sonolens.steering.methods import Method

# Beyond this factor of α a re-normalised code is all direction, and moves no further
MOST = 1e4
TOLERANCE = 1e-3


@torch.no_grad()
def steered(cell: Cell, method: Method, x: Tensor, direction: Tensor, factor: float) -> Tensor:
    """Scaled latents x (B, D) steered by `factor` times a direction, as they are decoded: (B, D)."""
    control = [Control(direction, torch.full((len(x),), float(factor), device=x.device))]
    if method.space == "latent":
        return steer_latents(x, control)
    return steered_reconstruction(cell.model, x, control, method.renormalises)


def reference(cell: Cell, space: str, x: Tensor) -> Tensor:
    """What a method of this space decodes for α = 0: x itself, or its reconstruction."""
    with torch.no_grad():
        return x if space == "latent" else cell.model(x)


def displacement(cell: Cell, method: Method, excerpts: Iterable[Tensor], direction: Tensor, factor: float) -> float:
    """RMS over all frames and dimensions of what steering adds to the scaled latents."""
    total, n = 0.0, 0
    for x in excerpts:
        moved = steered(cell, method, x, direction, factor) - reference(cell, method.space, x)
        total += float(moved.double().square().sum())
        n += moved.numel()
    return float(np.sqrt(total / n))


def factor_for(method: Method, displaces: Callable[[float], float], wanted: float, start: float) -> float:
    """The factor with which `displaces(factor)`, which grows with it, is `wanted` within TOLERANCE.

    Where the code is re-normalised that takes a bisection, and where even MOST · start does not reach it, that is the
    answer.
    """
    if wanted == 0:
        return 0.0
    if not method.renormalises:
        return wanted / displaces(1.0)
    low, high = start / MOST, start
    while displaces(high) < wanted:
        low, high = high, 2 * high
        if high > MOST * start:
            return MOST * start
    while high / low > 1 + TOLERANCE:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if displaces(middle) < wanted else (low, middle)
    return high
