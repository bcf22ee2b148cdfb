"""Codes where they are used: block by block, in one buffer."""

import torch
from torch import Tensor

from sonolens.sae.blocks import block_frames
from sonolens.sae.elementwise import relu_with_sums
from sonolens.sae.model import EPS, SparseAutoencoder


class CodeBlocks:
    """Codes f = r h of frames, of which f is never formed. Memory: a block of codes."""

    def __init__(self, model: SparseAutoencoder):
        self.model = model
        self.block_frames = block_frames(model.n_features, model.W_enc)
        self._hidden = model.W_enc.new_empty(self.block_frames, model.n_features)
        self._sums = model.W_enc.new_empty(2, self.block_frames)

    def hidden_norms(self, n_frames: int) -> Tensor:
        """‖h‖₂ of the first `n_frames` of the last block, (n_frames,)."""
        return self._sums[1, :n_frames].sqrt()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of frames x (b, D), at most `block_frames`: h (b, F) and r (b, 1), h until the next are asked for."""
        h, sums = self._hidden[: len(x)], self._sums[:, : len(x)]
        torch.mm(x, self.model.W_enc.T, out=h)
        relu_with_sums(h, self.model.b_enc.detach(), *sums)
        return h, (sums[1] / self.model.n_features + EPS).rsqrt()[:, None]
