"""Control vectors: what is added to the code of a frame, or to its latent, before it is decoded.

    f' = RMSNorm(f + α w_k)      x' = W_dec f' + b_dec

w_k is the row of class k of a probe's weights, α ∈ {1, 10, 20, 30} in the paper. Shapes: B frames, D = d_latent,
F = n_features. Paek, Zang, Yang and Leistikow (arXiv 2510.23802), section 4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sonolens.sae.model import SparseAutoencoder, rms_norm


class Control(NamedTuple):
    """One direction, and how strongly it is added to each frame. Several add up before the norm."""

    direction: Tensor  # (F,) in code space, or (D,) in the space of scaled latents
    alphas: Tensor  # (B,)


def steer_code(f: Tensor, controls: Sequence[Control], renormalises: bool = True) -> Tensor:
    """Codes f (B, F) with the controls added, RMS 1 over the features again unless told otherwise: (B, F).

    A frame of which every α is 0 keeps its code to the bit; the norm would change the last ones. A frame that
    activates nothing, f = 0, becomes the direction alone. Values may become negative, as the paper's formula has it.
    """
    steered = _added(f, controls)
    if renormalises:
        steered = rms_norm(steered)
    return torch.where(_is_steered(f, controls)[:, None], steered, f)


def steer_latents(x: Tensor, controls: Sequence[Control]) -> Tensor:
    """Scaled latents x (B, D) with the controls added: (B, D). A frame of which every α is 0 is left as it is."""
    return torch.where(_is_steered(x, controls)[:, None], _added(x, controls), x)


def _added(rows: Tensor, controls: Sequence[Control]) -> Tensor:
    added = rows.clone()
    for control in controls:
        added.addr_(control.alphas.to(rows.dtype), control.direction)
    return added


def _is_steered(rows: Tensor, controls: Sequence[Control]) -> Tensor:
    is_steered = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for control in controls:
        is_steered |= control.alphas != 0
    return is_steered


@torch.no_grad()
def steered_reconstruction(
    model: SparseAutoencoder, x: Tensor, controls: Sequence[Control], renormalises: bool = True
) -> Tensor:
    """Scaled latents x (B, D) through the autoencoder with its codes steered: x' (B, D).

    Without controls, or with every α 0, this is the autoencoder's reconstruction, bit for bit.
    """
    return model.decode(steer_code(model.encode(x).f, controls, renormalises))
