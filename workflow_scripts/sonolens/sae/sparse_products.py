"""Products of a chunk's codes where these are mostly 0: as much work as there are codes above 0.

Of a frame's features, training leaves one in five active, or one in a hundred. Then four of the five products of
`gradients.py` are mostly multiplications by 0: what is decoded, g (needed on active features only) and the gradients of
both weights; and so are both that a probe needs. Here the codes above 0 are listed frame by frame, for what is summed
over features, and feature by feature, for what is summed over frames. The one product that finds out which features are
active, x W_encᵀ, remains as it is. These are the same sums, in another order.

Each code costs a row of a matrix that is read, so these have to be near: the lists go by tiles of features, whose rows
stay in a core's second cache while all frames of the chunk go over them.

Shapes: b frames of a chunk, D = d_latent, F = n_features, n codes above 0; C columns of any other matrix.
"""

import numpy as np
import torch
from torch import Tensor

from sonolens.lanes import LANES, LISTED_AT_ONCE
from sonolens.sae import loops
from sonolens.sae.elementwise import RowTerms, array

# Of W_decᵀ, the rows of a tile: so that it stays in the second cache beside what is summed
TILE_BYTES = 256 << 10
# Of the frames whose gradients are added up together, (n, D), which are read in the order of the features
FRAMES_BYTES = 512 << 10


def frames_together(chunk_frames: int, d_latent: int, dtype: torch.dtype) -> int:
    """Of how many frames, in chunks of `chunk_frames`, active codes are listed before their gradients are added up."""
    n_chunks = FRAMES_BYTES // (chunk_frames * d_latent * dtype.itemsize)
    return chunk_frames * max(n_chunks, 1)


def most_active(n_columns: int, dtype: torch.dtype) -> float:
    """Of the codes, in `dtype`, of a chunk: if no smaller share is above 0, it is faster to multiply all of them with a
    matrix of `n_columns`.

    As measured on a Zen 5 and a Xeon with AMX: each code that is listed costs a few instructions, which wide rows
    outweigh, and products of all codes are faster in bf16, most of all where the processor has matrix units.
    """
    if n_columns < LANES:
        return 0.0
    share = 0.15 if n_columns < 64 else 0.25
    if dtype == torch.bfloat16:
        share *= 0.35 if torch.cpu._is_amx_tile_supported() else 0.6
    return share


class ActiveCodes:
    """The codes above 0 of a chunk of frames.

    Memory: 8 bytes for each of at most a share, `most_active`, of the codes; as much again once `add_products` is used.
    """

    def __init__(self, h: Tensor, n_columns: int, dtype: torch.dtype):
        """For chunks of codes of up to the shape (b, F) of h and in its dtype; `dtype` of what is summed.

        n_columns: of the matrices that are multiplied, the widest.
        """
        n_frames, n_features = h.shape
        self._number = array(torch.empty(0, dtype=dtype)).dtype
        self._tile_features = min(max(TILE_BYTES // (n_columns * self._number.itemsize), LISTED_AT_ONCE), n_features)
        self._n_tiles = -(-n_features // self._tile_features)
        self._most_share = most_active(n_columns, dtype)  # no less than of h: where h is in bf16, for several chunks
        self._most = int(self._most_share * n_frames * n_features)
        self._starts = np.zeros(self._n_tiles * n_frames + 1, np.uint64)  # of each frame's in the lists, tile by tile
        self._feature = np.zeros(self._most + LISTED_AT_ONCE, np.uint32)
        self._h = np.empty(self._most + LISTED_AT_ONCE, self._number)
        self._by_feature: tuple[np.ndarray, ...] | None = None

    def take(self, h: Tensor) -> None:
        """List the codes h (b, F), of which a share less than `most_active` is above 0, until the next are taken."""
        self._n_frames, self._is_by_feature = len(h), False
        self._list(h)

    def _list(self, h: Tensor) -> None:
        loops.list_active(array(h).view(f"u{h.element_size()}"), self._tile_features, self._here(), self._feature)
        run = loops.values_bf16 if h.dtype == torch.bfloat16 else loops.values
        run(array(h), self._here(), self._feature, self._h)

    def times(self, rows: Tensor, out: Tensor) -> Tensor:
        """h rows, (b, C), in `out`; rows: (F, C), C at least LANES."""
        loops.times(self._here(), self._feature, self._h, rows.numpy(), out.numpy())
        return out

    def add_products(self, rows: Tensor, total: Tensor) -> None:
        """total (F, C) += hᵀ rows; rows: (b, C), C at least LANES."""
        if self._by_feature is None:
            ends = np.empty(len(total), np.uint64)  # of each feature's in the lists by feature, counted from its tile's
            self._by_feature = ends, np.empty(self._most, np.uint32), np.empty(self._most, self._number)
        if not self._is_by_feature:
            loops.list_by_feature(self._tile_features, self._here(), self._feature, self._h, *self._by_feature)
            self._is_by_feature = True
        loops.add_products(self._tile_features, self._here(), *self._by_feature, rows.numpy(), total.numpy())

    def _here(self) -> np.ndarray:
        return self._starts[: self._n_tiles * self._n_frames + 1]


class ActiveCodesOfTraining(ActiveCodes):
    """The same of several chunks that follow each other, with what training adds up.

    The sums of the gradients are read and written once for all these chunks: where few codes are above 0, that is more
    work than adding the few. How many chunks are taken together is a matter of the room for one with many above 0.

    Memory: 12 bytes for each of at most a share, `most_active`, of the codes of a chunk, and 12 for each of a tile's,
    however many chunks are taken together.
    """

    def __init__(self, h: Tensor, d_latent: int, dtype: torch.dtype):
        super().__init__(h, d_latent, dtype)
        self.most_frames = frames_together(len(h), d_latent, dtype)
        most_of_tile = min(self._most, self.most_frames * self._tile_features)
        self._g = np.empty_like(self._h)
        self._ends = np.empty(self._tile_features, np.uint64)  # of each feature's in a tile's lists by feature
        self._frame = np.empty(most_of_tile, np.uint32)
        self._h_by_feature, self._g_by_feature = (np.empty(most_of_tile, self._number) for _ in range(2))
        self._all_starts = np.zeros((-(-self.most_frames // len(h)), len(self._starts)), np.uint64)  # chunk by chunk
        self._chunk_frames = np.zeros(len(self._all_starts), np.int64)
        self.clear()

    def clear(self) -> None:
        """Take no chunk as taken."""
        self._n_chunks, self.n_frames, self._n_listed = 0, 0, 0

    def have_room(self, n_active: int) -> bool:
        """For one more chunk, of which `n_active` codes are above 0."""
        return self._n_chunks < len(self._all_starts) and self._n_listed + n_active <= self._most

    def take(self, h: Tensor) -> None:
        """List the codes h (b, F) of the next chunk, for which there has to be room."""
        self._begin(len(h))
        self._list(h)
        self._end()

    def take_activated(self, z: Tensor, bias: Tensor, hidden_sums: Tensor) -> bool:
        """List the codes h = ReLU(z + bias) of the next chunk, without forming h; fills Σ h and Σ h² of each frame,
        (2, b). z: (b, F), of the dtype of what is summed.

        Returns whether this was done: not if there may not be room, or nearly a share `most_active` is above 0.
        """
        self._begin(len(z))
        most = min(int(self._most_share * z.numel()), self._most - self._n_listed)
        lists = (self._here(), self._feature, self._h)
        is_done = loops.list_activated(z.numpy(), bias.numpy(), self._tile_features, most, *lists, *hidden_sums.numpy())
        if is_done:
            self._end()
        return is_done

    def _begin(self, n_frames: int) -> None:
        self._n_frames = self._chunk_frames[self._n_chunks] = n_frames
        self._starts = self._all_starts[self._n_chunks]
        self._starts[0] = self._n_listed

    def _end(self) -> None:
        self._n_listed = int(self._here()[-1])
        self._n_chunks += 1
        self.n_frames += self._n_frames

    def add_gradients(
        self, W_dec_t: Tensor, x: Tensor, terms: RowTerms, W_enc: Tensor, b_enc: Tensor, W_dec_t_sum: Tensor
    ) -> None:
        """Add to the sums of the gradients W_enc (F, D), b_enc (F,) and that of W_decᵀ (F, D), of the frames x
        (n_frames, D) of all chunks that were taken; none is, afterwards.
        """
        lists = (self._all_starts, self._feature, self._h, self._g)
        by_feature = (self._ends, self._frame, self._h_by_feature, self._g_by_feature)
        of_frames = (x, terms.residual, terms.scaled_residual, terms.addend, terms.factor, terms.inverse_rms)
        arrays = (tensor.numpy() for tensor in (W_dec_t, *of_frames, W_enc, b_enc, W_dec_t_sum))
        chunk_frames = self._chunk_frames[: self._n_chunks]
        loops.add_gradients(self._tile_features, chunk_frames, *lists, *by_feature, *arrays)
        self.clear()
