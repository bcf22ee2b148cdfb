"""The training objective L = ‖x − x̂‖² + λ‖·‖₁: sums over the width, means over the batch (the paper, section 3).

The norm makes two readings of ‖·‖₁ possible. On the normalised code f, whose L2 norm is fixed, the penalty is free of
scale and does make the code sparse. On the hidden code h, shrinking h lowers the penalty and leaves f, and so x̂,
unchanged, until the norm's eps decides. Both are here; the workflow compares them.
"""

from typing import NamedTuple

from torch import Tensor

from sonolens.sae.model import Code


class Loss(NamedTuple):
    """Means over the batch; `total` is what is minimised."""

    total: Tensor
    mse: Tensor
    l1: Tensor


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean over frames of ‖x − x̂‖². x, x̂: (B, D)."""
    return (x - x_hat).square().sum(dim=-1).mean()


def l1_norm(code: Tensor) -> Tensor:
    """Mean over frames of ‖code‖₁. code: (B, F), non-negative."""
    return code.sum(dim=-1).mean()


def objective(x: Tensor, x_hat: Tensor, code: Code, lam: float, l1_on: str) -> Loss:
    """x, x̂ (B, D); `l1_on` is "normalised" (of f) or "hidden" (of h)."""
    mse = squared_error(x, x_hat)
    l1 = l1_norm({"normalised": code.f, "hidden": code.h}[l1_on])
    return Loss(mse + lam * l1, mse, l1)
