"""What lies between the matrix products of a chunk of frames: on a CPU, one pass each over what they read and write.

As operations of torch these are seven passes over the codes and twenty short ones over the frames, and take as long as
two of the five products; on several cores they wait for Python's lock, too. On a GPU they are operations of torch. bf16
numbers are handled as the upper halves of fp32 ones, since neither numpy nor numba knows them.

Shapes: b frames of a chunk, D = d_latent, F = n_features. The formulas are those of `gradients.py`.
"""

from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from sonolens.sae.model import EPS

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning
_FAST = {"reassoc", "contract", "nsz", "arcp"}


class RowTerms(NamedTuple):
    """Numbers of each frame of a chunk, in the dtype of the weights; buffers that are filled."""

    hidden_sum: Tensor  # (b,) Σ h
    hidden_square_sum: Tensor  # (b,) Σ h²
    residual: Tensor  # (b, D) e, the loss's derivative by x̂
    scaled_residual: Tensor  # (b, D) r e
    scaled_frame: Tensor  # (b, D + 1) r x and r
    addend: Tensor  # (b,) of ∂L/∂h / r, what the penalty gives to each active feature
    factor: Tensor  # (b,) of ∂L/∂h / r, what is taken off per h: r (f·g) / F

    @staticmethod
    def empty(n_frames: int, d_latent: int, like: Tensor) -> "RowTerms":
        """Buffers for `n_frames`, of the dtype and on the device of `like`."""
        widths = ((), (), (d_latent,), (d_latent,), (d_latent + 1,), (), ())
        return RowTerms(*(like.new_empty(n_frames, *width) for width in widths))

    def first(self, n_frames: int) -> "RowTerms":
        """Those of the first `n_frames`."""
        return RowTerms(*(term[:n_frames] for term in self))


class Objective(NamedTuple):
    """What of the objective is the same for all frames of a batch."""

    slope: float  # λ / B
    share: float  # 2 / B
    is_normalised: bool  # whether the L1 term is of f, not of h


def relu_with_sums(h: Tensor, bias: Tensor, terms: RowTerms) -> None:
    """h (b, F) ← ReLU(h + bias), in place; fills the sums of `terms`. bias: (F,)."""
    if _has_kernels(h):
        kernel = _relu_with_sums_bf16 if h.dtype == torch.bfloat16 else _relu_with_sums
        kernel(_array(h), bias.numpy(), terms.hidden_sum.numpy(), terms.hidden_square_sum.numpy())
    else:
        h.add_(bias.to(h.dtype)).relu_()
        torch.sum(h, 1, dtype=bias.dtype, out=terms.hidden_sum)
        torch.linalg.vector_norm(h, dim=1, dtype=bias.dtype, out=terms.hidden_square_sum).square_()


def frame_terms(
    decoded: Tensor,
    x: Tensor,
    b_dec: Tensor,
    b_dec_gradient: Tensor,
    terms: RowTerms,
    n_features: int,
    given: Objective,
) -> tuple[float | Tensor, float | Tensor]:
    """Fills the rest of `terms` from decoded = W_dec h (b, D) and the frames x (b, D), and adds to ∂L/∂b_dec (D,).

    Returns the sums over the frames of ‖x − x̂‖² and of ‖·‖₁.
    """
    if _has_kernels(x):
        arrays = [tensor.numpy() for tensor in (decoded, x, b_dec, b_dec_gradient, *terms)]
        return _frame_terms(*arrays, n_features, *given)
    r = (terms.hidden_square_sum[:, None] / n_features + EPS).rsqrt()
    l1_hidden = terms.hidden_sum[:, None]
    decoded = decoded * r  # x̂ − b_dec
    residual = decoded + b_dec - x
    e = torch.mul(residual, given.share, out=terms.residual)
    torch.mul(e, r, out=terms.scaled_residual)
    torch.mul(x, r, out=terms.scaled_frame[:, :-1])
    terms.scaled_frame[:, -1:] = r
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


def where_active(g: Tensor, h: Tensor, terms: RowTerms) -> None:
    """g (b, F) ← g + addend − factor · h where h (b, F) > 0, else 0, in place: ∂L/∂h / r from W_decᵀ e."""
    if _has_kernels(h):
        kernel = _where_active_bf16 if h.dtype == torch.bfloat16 else _where_active
        kernel(_array(g), _array(h), terms.addend.numpy(), terms.factor.numpy())
    else:
        g.add_(terms.addend[:, None].to(h.dtype)).addcmul_(h, terms.factor[:, None].to(h.dtype), value=-1)
        torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)


def _has_kernels(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


@numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")
def _relu_with_sums(h, bias, sums, square_sums):
    zero = h.dtype.type(0)
    for row in range(h.shape[0]):
        total, square_total = zero, zero
        for j in range(h.shape[1]):
            value = h[row, j] + bias[j]
            value = zero if value <= zero else value  # NaN stays
            h[row, j] = value
            total += value
            square_total += value * value
        sums[row], square_sums[row] = total, square_total


@numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")
def _frame_terms(
    decoded, x, b_dec, b_dec_gradient, hidden_sum, hidden_square_sum, residual, scaled_residual, scaled_frame,
    addend, factor, n_features, slope, share, is_normalised,
):  # fmt: skip
    n_frames, d_latent = x.shape
    number = x.dtype.type
    square_total, l1_total = 0.0, 0.0
    slope, share = number(slope), number(share)
    for row in range(n_frames):
        r = number(1) / np.sqrt(hidden_square_sum[row] / number(n_features) + number(EPS))
        square_sum, along_f = number(0), number(0)
        for d in range(d_latent):
            reconstructed = decoded[row, d] * r  # x̂ − b_dec
            error = reconstructed + b_dec[d] - x[row, d]
            e = error * share
            residual[row, d], scaled_residual[row, d], scaled_frame[row, d] = e, e * r, x[row, d] * r
            b_dec_gradient[d] += e
            square_sum += error * error
            along_f += reconstructed * e
        scaled_frame[row, d_latent] = r
        l1 = hidden_sum[row]
        if is_normalised:
            l1 *= r
            along_f += slope * l1
            addend[row] = slope
        else:
            addend[row] = slope / r  # so that r can be taken out with the rest
        factor[row] = along_f * r / number(n_features)
        square_total += square_sum
        l1_total += l1
    return square_total, l1_total


@numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")
def _where_active(g, h, addend, factor):
    zero = h.dtype.type(0)
    for row in range(h.shape[0]):
        add, by = addend[row], factor[row]
        for j in range(h.shape[1]):
            value = h[row, j]
            g[row, j] = zero if value <= zero else g[row, j] + add - by * value


@numba.njit(nogil=True)
def _widened(half):
    return np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)


@numba.njit(nogil=True)
def _rounded(value):
    """To the nearest, ties to even; NaN is left to chance, and shows in the sums."""
    bits = np.float32(value).view(np.uint32)
    is_odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(np.uint32(bits + np.uint32(0x7FFF) + is_odd) >> np.uint32(16)))


@numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")
def _relu_with_sums_bf16(h, bias, sums, square_sums):
    zero = np.float32(0)
    for row in range(h.shape[0]):
        total, square_total = zero, zero
        for j in range(h.shape[1]):
            value = _widened(h[row, j]) + bias[j]
            half = np.uint16(0) if value <= zero else _rounded(value)
            value = _widened(half)  # the sums are of what is multiplied
            h[row, j] = half
            total += value
            square_total += value * value
        sums[row], square_sums[row] = total, square_total


@numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")
def _where_active_bf16(g, h, addend, factor):
    for row in range(h.shape[0]):
        add, by = addend[row], factor[row]
        for j in range(h.shape[1]):
            half = h[row, j]
            g[row, j] = np.uint16(0) if half == 0 else _rounded(_widened(g[row, j]) + add - by * _widened(half))
