"""A chunk's products where its codes are mostly 0: as much work as there are codes above 0.

Of a frame's features, training leaves one in five active, or one in a hundred. Then four of the five products of
`gradients.py` are mostly multiplications by 0: what is decoded, g (needed on active features only) and the gradients of
both weights. Here the codes above 0 are listed frame by frame, for what is summed over features, then feature by
feature, for what is summed over frames; each step takes four rows of a small matrix at once. The one product that finds
out which features are active, x W_encᵀ, remains as it is. These are the same sums, in another order.

Shapes: b frames of a chunk, D = d_latent, F = n_features, n codes above 0.
"""

import numpy as np
import torch
from torch import Tensor

from sonolens.sae import loops
from sonolens.sae.elementwise import RowTerms, array


def most_active(d_latent: int, dtype: torch.dtype) -> float:
    """Of the codes, in `dtype`, of a chunk: if a larger share is above 0, it is faster to multiply all of them.

    As measured on a Zen 4: each code that is listed costs a few instructions, which wide rows outweigh, and products
    of all codes are faster in bf16.
    """
    share = 0.15 if d_latent < 128 else 0.2
    return share * 2 / 3 if dtype == torch.bfloat16 else share


class ActiveCodes:
    """The codes above 0 of a chunk of frames; 24 bytes for each of at most a share, `most_active`, of the codes."""

    def __init__(self, h: Tensor, d_latent: int, dtype: torch.dtype):
        """For chunks of codes of up to the shape (b, F) of h and in its dtype; `dtype` of what is summed."""
        n_frames, n_features = h.shape
        self._most_active = most_active(d_latent, h.dtype)
        most = int(self._most_active * n_frames * n_features)
        number = array(torch.empty(0, dtype=dtype)).dtype
        self._decoded = np.empty((n_frames, d_latent), number)
        self._starts = np.zeros(n_frames + 1, np.int64)  # of each frame's in the lists by frame
        self._feature = np.empty(most + 1, np.uint32)  # one more, to be written before it is known to be active
        self._h, self._g = np.empty(most, number), np.empty(most, number)
        self._ends = np.zeros(n_features, np.int64)  # of each feature's in the lists by feature
        self._frame = np.empty(most, np.uint32)
        self._h_by_feature, self._g_by_feature = np.empty(most, number), np.empty(most, number)

    def suits(self, n_active: int, h: Tensor) -> bool:
        """Whether so few of the codes h are above 0 that it pays to list them."""
        return n_active <= self._most_active * h.numel()

    def decode(self, h: Tensor, W_dec_t: Tensor) -> Tensor:
        """W_dec h, (b, D), until the next is decoded. h: (b, F), which `suits`; W_dec_t: (F, D)."""
        starts, decoded = self._starts[: len(h) + 1], self._decoded[: len(h)]
        loops.list_active(array(h).view(f"u{h.element_size()}"), starts, self._feature)
        run = loops.values_bf16 if h.dtype == torch.bfloat16 else loops.values
        run(array(h), starts, self._feature, self._h)
        loops.decode(starts, self._feature, self._h, W_dec_t.numpy(), decoded)
        return torch.from_numpy(decoded)

    def add_gradients(self, W_dec_t: Tensor, terms: RowTerms, W_enc: Tensor, b_enc: Tensor, W_dec_t_sum: Tensor):
        """Add to the sums of the gradients W_enc (F, D), b_enc (F,) and that of W_decᵀ (F, D), of what was decoded."""
        starts = self._starts[: len(terms.addend) + 1]
        by_frame = (starts, self._feature, self._h, self._g)
        e, addend, factor = terms.residual.numpy(), terms.addend.numpy(), terms.factor.numpy()
        loops.gradients_of_codes(*by_frame, W_dec_t.numpy(), e, addend, factor)
        by_feature = (self._ends, self._frame, self._h_by_feature, self._g_by_feature)
        loops.list_by_feature(*by_frame, *by_feature, terms.inverse_rms.numpy(), b_enc.numpy())
        loops.add_rows(W_dec_t_sum.numpy(), self._ends, self._frame, self._h_by_feature, terms.scaled_residual.numpy())
        loops.add_rows(W_enc.numpy(), self._ends, self._frame, self._g_by_feature, terms.scaled_frame.numpy())
