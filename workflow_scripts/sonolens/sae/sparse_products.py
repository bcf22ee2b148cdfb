"""A chunk's products where its codes are mostly 0: as much work as there are codes above 0.

Of a frame's features, training leaves one in five active, or one in a hundred. Then four of the five products of
`gradients.py` are mostly multiplications by 0: what is decoded, g (needed on active features only) and the gradients of
both weights. Here the codes above 0 are listed frame by frame, for what is summed over features, then feature by
feature, for what is summed over frames. The one product that finds out which features are active, x W_encᵀ, remains as
it is. These are the same sums, in another order.

Each code costs a row of a matrix that is read, so these have to be near: the lists go by tiles of features, whose rows
of W_decᵀ stay in a core's second cache while all frames of the chunk go over them.

Shapes: b frames of a chunk, D = d_latent, F = n_features, n codes above 0.
"""

import numpy as np
import torch
from torch import Tensor

from sonolens.lanes import LANES, LISTED_AT_ONCE
from sonolens.sae import loops
from sonolens.sae.elementwise import RowTerms, array

# Of W_decᵀ, the rows of a tile: so that it stays in the second cache beside what is summed
TILE_BYTES = 256 << 10


def most_active(d_latent: int, dtype: torch.dtype) -> float:
    """Of the codes, in `dtype`, of a chunk: if no smaller share is above 0, it is faster to multiply all of them.

    As measured on a Zen 5: each code that is listed costs a few instructions, which wide rows outweigh, and products
    of all codes are faster in bf16.
    """
    if d_latent < LANES:
        return 0.0
    share = 0.15 if d_latent < 64 else 0.25
    return share * 0.6 if dtype == torch.bfloat16 else share


class ActiveCodes:
    """The codes above 0 of a chunk of frames.

    Memory: 12 bytes for each of at most a share, `most_active`, of the codes, and 12 for each of a tile's.
    """

    def __init__(self, h: Tensor, d_latent: int, dtype: torch.dtype):
        """For chunks of codes of up to the shape (b, F) of h and in its dtype; `dtype` of what is summed."""
        n_frames, n_features = h.shape
        number = array(torch.empty(0, dtype=dtype)).dtype
        self._tile_features = min(max(TILE_BYTES // (d_latent * number.itemsize), LISTED_AT_ONCE), n_features)
        n_tiles = -(-n_features // self._tile_features)
        self._most_active = most_active(d_latent, h.dtype)
        most = int(self._most_active * n_frames * n_features)
        most_of_tile = min(most, n_frames * self._tile_features)
        self._decoded = np.empty((n_frames, d_latent), number)
        self._starts = np.zeros(n_tiles * n_frames + 1, np.uint64)  # of each frame's in the lists, tile by tile
        self._feature = np.zeros(most + LISTED_AT_ONCE, np.uint32)
        self._h, self._g = (np.empty(most + LISTED_AT_ONCE, number) for _ in range(2))
        self._ends = np.empty(self._tile_features, np.uint64)  # of each feature's in a tile's lists by feature
        self._frame = np.empty(most_of_tile, np.uint32)
        self._h_by_feature, self._g_by_feature = np.empty(most_of_tile, number), np.empty(most_of_tile, number)

    def suits(self, n_active: int, h: Tensor) -> bool:
        """Whether so few of the codes h are above 0 that it pays to list them."""
        return n_active < self._most_active * h.numel()

    def decode(self, h: Tensor, W_dec_t: Tensor) -> Tensor:
        """W_dec h, (b, D), until the next is decoded. h: (b, F), which `suits`; W_dec_t: (F, D)."""
        starts, decoded = self._starts_of(len(h)), self._decoded[: len(h)]
        loops.list_active(array(h).view(f"u{h.element_size()}"), self._tile_features, starts, self._feature)
        run = loops.values_bf16 if h.dtype == torch.bfloat16 else loops.values
        run(array(h), starts, self._feature, self._h)
        loops.decode(starts, self._feature, self._h, W_dec_t.numpy(), decoded)
        return torch.from_numpy(decoded)

    def add_gradients(
        self, W_dec_t: Tensor, x: Tensor, terms: RowTerms, W_enc: Tensor, b_enc: Tensor, W_dec_t_sum: Tensor
    ) -> None:
        """Add to the sums of the gradients W_enc (F, D), b_enc (F,) and that of W_decᵀ (F, D), of the frames x (b, D)
        that were decoded.
        """
        lists = (self._starts_of(len(x)), self._feature, self._h, self._g)
        by_feature = (self._ends, self._frame, self._h_by_feature, self._g_by_feature)
        of_frames = (x, terms.residual, terms.scaled_residual, terms.addend, terms.factor, terms.inverse_rms)
        arrays = (tensor.numpy() for tensor in (W_dec_t, *of_frames, W_enc, b_enc, W_dec_t_sum))
        loops.add_gradients(self._tile_features, *lists, *by_feature, *arrays)

    def _starts_of(self, n_frames: int) -> np.ndarray:
        n_tiles = len(self._starts) // len(self._decoded)
        return self._starts[: n_tiles * n_frames + 1]
