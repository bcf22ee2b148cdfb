"""The sparse autoencoder: what the paper defines, and nothing else.

A *latent* is a frame of an encoder's output, width d_latent; a *feature* is a hidden unit of the autoencoder, of which
there are n_features. Shapes: B frames, D = d_latent, F = n_features.

    h = ReLU(W_enc x + b_enc)      f = RMSNorm(h)      x̂ = W_dec f + b_dec

Paek, Zang, Yang and Leistikow, "Learning Interpretable Features in Audio Latent Spaces via Sparse Autoencoders",
arXiv 2510.23802, section 3.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

EPS = 1e-8


def rms_norm(h: Tensor) -> Tensor:
    """h / sqrt(mean(h²) + 1e-8) over the last axis, without gain; an all-zero h gives an all-zero f.

    h: (B, F). Afterwards ‖f‖₂ = sqrt(F) for every frame that activates anything.
    """
    return h * torch.rsqrt(h.square().mean(dim=-1, keepdim=True) + EPS)


class Code(NamedTuple):
    """Both sides of the norm."""

    h: Tensor  # (B, F), non-negative
    f: Tensor  # (B, F), non-negative, RMS 1 over the features


class SparseAutoencoder(nn.Module):
    """x̂ = W_dec RMSNorm(ReLU(W_enc x + b_enc)) + b_dec, for scaled latents x (B, D)."""

    def __init__(self, d_latent: int, n_features: int):
        super().__init__()
        self.W_enc = nn.Parameter(torch.empty(n_features, d_latent))
        self.b_enc = nn.Parameter(torch.zeros(n_features))
        self.W_dec = nn.Parameter(torch.empty(n_features, d_latent).T)  # a feature's column lies in one piece
        self.b_dec = nn.Parameter(torch.zeros(d_latent))

    @property
    def d_latent(self) -> int:
        return self.W_dec.shape[0]

    @property
    def n_features(self) -> int:
        return self.W_dec.shape[1]

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Unit-norm encoder rows in random directions, and their transpose as decoder, scaled so that x̂ starts near x.

        For such rows h_j = relu(w_j·x) and ‖f‖ = sqrt(F), so Σ_j f_j w_j points along x with length F / sqrt(2 D); x is
        of length sqrt(D).
        """
        directions = torch.randn(self.W_enc.shape, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        self.W_enc.copy_(directions)
        self.W_dec.copy_(directions.T * (2**0.5 * self.d_latent / self.n_features))

    def encode(self, x: Tensor) -> Code:
        """x (B, D) -> h and f, each (B, F)."""
        h = torch.relu(torch.addmm(self.b_enc, x, self.W_enc.T))
        return Code(h, rms_norm(h))

    def decode(self, f: Tensor) -> Tensor:
        """f (B, F) -> x̂ (B, D)."""
        return torch.addmm(self.b_dec, f, self.W_dec.T)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, D) -> x̂ (B, D)."""
        return self.decode(self.encode(x).f)
