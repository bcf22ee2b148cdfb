"""What lies between the matrix products of a chunk of frames: on a CPU, one pass each over what they read and write.

As operations of torch these are seven passes over the codes and twenty short ones over the frames, and take as long as
two of the five products; on several cores they wait for Python's lock, too. On a GPU they are operations of torch.

Shapes: b frames of a chunk, D = d_latent, F = n_features. The formulas are those of `gradients.py`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sonolens.sae import loops
from sonolens.sae.model import EPS


class RowTerms(NamedTuple):
    """Numbers of each frame of a chunk, in the dtype of the weights; buffers that are filled."""

    inverse_rms: Tensor  # (b,) r
    residual: Tensor  # (b, D) e, the loss's derivative by x̂
    scaled_residual: Tensor  # (b, D) r e
    scaled_frame: Tensor  # (b, D) r x
    addend: Tensor  # (b,) of ∂L/∂h / r, what the penalty gives to each active feature
    factor: Tensor  # (b,) of ∂L/∂h / r, what is taken off per h: r (f·g) / F

    @staticmethod
    def empty(n_frames: int, d_latent: int, like: Tensor) -> "RowTerms":
        """Buffers for `n_frames`, of the dtype and on the device of `like`."""
        widths = ((), (d_latent,), (d_latent,), (d_latent,), (), ())
        return RowTerms(*(like.new_empty(n_frames, *width) for width in widths))

    def rows(self, first: int, n_frames: int) -> "RowTerms":
        """Those of `n_frames` frames from the `first` on."""
        return RowTerms(*(term[first : first + n_frames] for term in self))


class Objective(NamedTuple):
    """What of the objective is the same for all frames of a batch."""

    slope: float  # λ / B
    share: float  # 2 / B
    is_normalised: bool  # whether the L1 term is of f, not of h


def relu_with_sums(h: Tensor, bias: Tensor, sums: Tensor, square_sums: Tensor) -> int:
    """h (b, F) ← ReLU(h + bias), in place; fills Σ h and Σ h² of each frame, both (b,). bias: (F,).

    Returns how many of h may be above 0: as many as are, but on a GPU, whose count would be waited for, all.
    """
    if has_kernels(h):
        run = loops.relu_with_sums_bf16 if h.dtype == torch.bfloat16 else loops.relu_with_sums
        return run(array(h), bias.numpy(), sums.numpy(), square_sums.numpy())
    h.add_(bias.to(h.dtype)).relu_()
    torch.sum(h, 1, dtype=bias.dtype, out=sums)
    torch.linalg.vector_norm(h, dim=1, dtype=bias.dtype, out=square_sums).square_()
    return h.numel()


def frame_terms(
    decoded: Tensor,
    x: Tensor,
    hidden_sum: Tensor,
    hidden_square_sum: Tensor,
    b_dec: Tensor,
    b_dec_gradient: Tensor,
    terms: RowTerms,
    n_features: int,
    given: Objective,
) -> tuple[float | Tensor, float | Tensor]:
    """Fills `terms` from decoded = W_dec h (b, D), the frames x (b, D), and Σ h and Σ h² of each (b,).

    Adds to ∂L/∂b_dec (D,). Returns the sums over the frames of ‖x − x̂‖² and of ‖·‖₁.
    """
    if has_kernels(x):
        arrays = [
            tensor.numpy() for tensor in (decoded, x, hidden_sum, hidden_square_sum, b_dec, b_dec_gradient, *terms)
        ]
        return loops.frame_terms(*arrays, n_features, EPS, *given)
    torch.rsqrt(hidden_square_sum / n_features + EPS, out=terms.inverse_rms)
    r = terms.inverse_rms[:, None]
    l1_hidden = hidden_sum[:, None]
    decoded = decoded * r  # x̂ − b_dec
    residual = decoded + b_dec - x
    e = torch.mul(residual, given.share, out=terms.residual)
    torch.mul(e, r, out=terms.scaled_residual)
    torch.mul(x, r, out=terms.scaled_frame)
    b_dec_gradient += e.sum(dim=0)
    along_f = (decoded * e).sum(dim=1, keepdim=True)
    if given.is_normalised:
        l1 = r * l1_hidden
        along_f += given.slope * l1
        terms.addend.fill_(given.slope)
    else:
        l1 = l1_hidden
        terms.addend.copy_(given.slope / r[:, 0])  # so that r can be taken out with the rest
    terms.factor.copy_((along_f * r)[:, 0] / n_features)
    return residual.square().sum(), l1.sum()


def where_active(g: Tensor, h: Tensor, terms: RowTerms, b_enc_gradient: Tensor) -> None:
    """g (b, F) ← g + addend − factor · h where h (b, F) > 0, else 0, in place: ∂L/∂h / r from W_decᵀ e.

    Adds to ∂L/∂b_enc (F,).
    """
    if has_kernels(h):
        run = loops.where_active_bf16 if h.dtype == torch.bfloat16 else loops.where_active
        arrays = [tensor.numpy() for tensor in (terms.addend, terms.factor, terms.inverse_rms, b_enc_gradient)]
        run(array(g), array(h), *arrays)
    else:
        g.add_(terms.addend[:, None].to(h.dtype)).addcmul_(h, terms.factor[:, None].to(h.dtype), value=-1)
        torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
        b_enc_gradient += g.T @ terms.inverse_rms.to(g.dtype)


def has_kernels(tensor: Tensor) -> bool:
    """Whether what is done with `tensor` is done by compiled loops."""
    return tensor.device.type == "cpu"


def array(tensor: Tensor) -> np.ndarray:
    """The same memory; bf16 as uint16."""
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
