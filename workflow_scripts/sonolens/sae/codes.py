"""Codes where they are used: block by block, in one buffer."""

import torch
from torch import Tensor

from sonolens.sae.blocks import block_frames
from sonolens.sae.elementwise import relu_with_sums
from sonolens.sae.model import EPS, SparseAutoencoder
from sonolens.sae.sparse_products import ActiveCodes, most_active

# Of what codes are multiplied with here: a frame's numbers, or classes
USUAL_COLUMNS = 64


class Codes:
    """Of some frames, the codes f = r h, of which f is never formed: h (b, F) and r (b, 1)."""

    def __init__(self, h: Tensor, r: Tensor, active: ActiveCodes | None = None, active_share: float = 1.0):
        """active: of codes, what lists those above 0, a share `active_share`; without, h may be any numbers."""
        self.h, self.r = h, r
        self._active, self._active_share, self.are_listed = active, active_share, False

    def times(self, rows: Tensor) -> Tensor:
        """h rows, (b, C); rows: (F, C) in one piece."""
        if self._lists(rows.shape[1]):
            return self._active.times(rows, rows.new_empty(len(self.h), rows.shape[1]))
        return torch.mm(self.h, rows)

    def add_products(self, rows: Tensor, total: Tensor) -> None:
        """total (F, C) += hᵀ rows; rows: (b, C), both in one piece."""
        if self._lists(rows.shape[1]):
            self._active.add_products(rows, total)
        else:
            total.addmm_(self.h.T, rows)

    def _lists(self, n_columns: int) -> bool:
        """Whether it is faster to multiply active codes only; then they are listed."""
        # one thread goes through the lists, and all of torch's multiply a whole matrix
        most = most_active(n_columns, self.h.dtype) / torch.get_num_threads()
        if self._active is None or self._active_share >= most:
            return False
        if not self.are_listed:
            self._active.take(self.h)
            self.are_listed = True
        return True


class CodeBlocks:
    """Codes of frames, block by block. Memory: a block of codes, and lists of those above 0."""

    def __init__(self, model: SparseAutoencoder):
        self.model = model
        self.block_frames = block_frames(model.n_features, model.W_enc)
        self._hidden = model.W_enc.new_empty(self.block_frames, model.n_features)
        self._sums = model.W_enc.new_empty(2, self.block_frames)
        self._active = ActiveCodes(self._hidden, USUAL_COLUMNS, self._hidden.dtype)

    def hidden_norms(self, n_frames: int) -> Tensor:
        """‖h‖₂ of the first `n_frames` of the last block, (n_frames,)."""
        return self._sums[1, :n_frames].sqrt()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Codes:
        """Of frames x (b, D), at most `block_frames`; until the next are asked for."""
        h, sums = self._hidden[: len(x)], self._sums[:, : len(x)]
        torch.mm(x, self.model.W_enc.T, out=h)
        n_active = relu_with_sums(h, self.model.b_enc.detach(), *sums)
        r = (sums[1] / self.model.n_features + EPS).rsqrt()[:, None]
        return Codes(h, r, self._active, n_active / h.numel())
