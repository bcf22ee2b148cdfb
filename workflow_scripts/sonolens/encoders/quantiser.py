"""Residual vector quantiser: each codebook quantises what the ones before it left over (SoundStream, 2021)."""

import torch
from torch import Tensor, nn

from sonolens.encoders.spectrogram_codec import D_LATENT, Bottlenecked


class ResidualQuantiser(nn.Module):
    """A bottleneck of n_codebooks codebooks of codebook_size vectors of D_LATENT numbers.

    Codebooks follow the latents by exponential moving averages (van den Oord et al. 2017, appendix A.1), the encoder
    is drawn to them by the commitment loss, and codes that have fallen out of use are put where latents are.
    """

    d_in = D_LATENT

    def __init__(self, n_codebooks: int, codebook_size: int, commitment_weight: float, decay: float, min_use: float):
        super().__init__()
        self.commitment_weight = commitment_weight
        self.decay = decay
        self.min_use = min_use
        self.register_buffer("codebooks", torch.zeros(n_codebooks, codebook_size, D_LATENT))
        # Moving averages of how many latents of a batch each code takes, and of their sum.
        self.register_buffer("use", torch.ones(n_codebooks, codebook_size))
        self.register_buffer("total", torch.zeros(n_codebooks, codebook_size, D_LATENT))

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (..., D_LATENT) -> its embedding, the sum of the chosen vectors, and the codes (..., n_codebooks)."""
        residual, codes = z, []
        for codebook in self.codebooks:
            chosen = nearest(residual.reshape(-1, D_LATENT), codebook).view(residual.shape[:-1])
            codes.append(chosen)
            residual = residual - codebook[chosen]
        return z - residual, torch.stack(codes, dim=-1)

    def forward(self, z: Tensor, generator: torch.Generator) -> Bottlenecked:
        """Straight through: the decoder reads the embedding, its gradient goes to z (B, T, D_LATENT)."""
        with torch.no_grad():
            embedding, codes = self.quantise(z.detach())
        commitment = (z - embedding).square().sum(dim=-1).mean()
        return Bottlenecked(z + (embedding - z).detach(), self.commitment_weight * commitment, commitment, codes)

    @torch.no_grad()
    def start(self, z: Tensor, generator: torch.Generator) -> None:
        """Draw every codebook from what the ones before it leave of a first batch z (B, T, D_LATENT)."""
        residual = z.detach().reshape(-1, D_LATENT)
        for codebook, total in zip(self.codebooks, self.total, strict=True):
            codebook.copy_(_drawn(residual, len(codebook), generator))
            total.copy_(codebook)
            residual = residual - codebook[nearest(residual, codebook)]

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Move every codebook after one batch z (B, T, D_LATENT) and its codes (B, T, n_codebooks)."""
        residual = z.detach().reshape(-1, D_LATENT)
        per_codebook = codes.reshape(-1, len(self.codebooks)).T
        for codebook, use, total, chosen in zip(self.codebooks, self.use, self.total, per_codebook, strict=True):
            # A product with one-hot columns, not index_add: its sums come in one order whatever the device.
            one_hot = (torch.arange(len(codebook), device=z.device)[:, None] == chosen).to(residual.dtype)
            use.lerp_(one_hot.sum(dim=1), 1 - self.decay)
            total.lerp_(one_hot @ residual, 1 - self.decay)
            left = residual - codebook[chosen]
            is_dead = use < self.min_use
            total[is_dead] = _drawn(residual, int(is_dead.sum()), generator)
            use[is_dead] = 1.0
            codebook.copy_(total / use[:, None])
            residual = left


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index (N,) of the codebook row (K, D) nearest to each of vectors (N, D), the first one of equals."""
    return torch.addmm(codebook.square().sum(dim=1), vectors, codebook.T, alpha=-2).argmin(dim=1)


def _drawn(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` rows of vectors (N, D), drawn with replacement."""
    rows = torch.randint(len(vectors), (count,), generator=generator)
    return vectors[rows.to(vectors.device)]
