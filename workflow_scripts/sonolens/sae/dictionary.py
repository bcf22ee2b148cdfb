"""What can be done to the features of an autoencoder between steps: a fixed norm, and a new beginning for dead ones."""

import numpy as np
import torch
from torch import Tensor

from sonolens.adam import Adam
from sonolens.sae.blocks import block_frames
from sonolens.sae.model import SparseAutoencoder

# Of the mean norm of the encoder's rows, what a new one begins with: small, so that it does not shout the others down
NEW_ENCODER_SHARE = 0.2


def column_norm(model: SparseAutoencoder) -> float:
    """‖column‖ that stands for 1: sqrt(D / F).

    A code is sqrt(F) long and a frame sqrt(D), so with columns of this norm a code of unit length, in units of its
    own, decodes to a frame of unit length, in units of its own, if the columns are orthogonal.
    """
    return (model.d_latent / model.n_features) ** 0.5


@torch.no_grad()
def set_column_norms(model: SparseAutoencoder) -> None:
    """Bring every column of W_dec to `column_norm`; one of zeros stays."""
    model.W_dec.mul_(column_norm(model) / _norms(model.W_dec, 0).clamp_min(1e-30))


@torch.no_grad()
def keep_gradient_off_norms(model: SparseAutoencoder) -> None:
    """Take from the gradient of each column of W_dec what would only change its norm: Adam would count it."""
    columns = model.W_dec / _norms(model.W_dec, 0).clamp_min(1e-30)
    model.W_dec.grad.addcmul_(columns, (columns * model.W_dec.grad).sum(dim=0, keepdim=True), value=-1)


@torch.no_grad()
def resample(model: SparseAutoencoder, optimiser: Adam, dead: Tensor, x: Tensor, rng: np.random.Generator) -> None:
    """Begin the features `dead` (F,) bool anew, at frames out of x (B, D) that are reconstructed badly.

    A frame is drawn with a probability that grows as ‖x − x̂‖⁴; less b_dec and at unit norm it is the feature's
    direction. Its column gets the mean norm of those that live, its row a share of it, its bias and Adam's moments are
    nought. Bricken et al., "Towards Monosemanticity", appendix (https://transformer-circuits.pub/2023/monosemantic-features).
    """
    n_dead = int(dead.sum())
    if n_dead in (0, model.n_features):  # of none, or nothing lives whose norms could be taken
        return
    chunks = x.split(block_frames(model.n_features, x))
    error = torch.cat([(model(chunk) - chunk).square().sum(dim=1) for chunk in chunks])
    weight = error.double().cpu().numpy() ** 2
    drawn = rng.choice(len(x), n_dead, p=weight / weight.sum())
    directions = x[torch.from_numpy(drawn).to(x.device)] - model.b_dec
    directions = directions / _norms(directions, 1).clamp_min(1e-30)
    model.W_enc[dead] = directions * NEW_ENCODER_SHARE * _norms(model.W_enc[~dead], 1).mean()
    model.W_dec[:, dead] = directions.T * _norms(model.W_dec[:, ~dead], 0).mean()
    model.b_enc[dead] = 0
    of_dead = {model.W_enc: dead, model.b_enc: dead, model.W_dec: (slice(None), dead)}
    for parameter, *moments in zip(optimiser.parameters, optimiser.means, optimiser.mean_squares, strict=True):
        for moment in moments if parameter in of_dead else ():
            moment[of_dead[parameter]] = 0


def _norms(matrix: Tensor, dim: int) -> Tensor:
    return torch.linalg.vector_norm(matrix, dim=dim, keepdim=True)
