"""Frames in a random order, batch by batch, from memory maps that need not fit in memory.

A set that fits RESIDENT_BYTES is read once, and an epoch is a permutation of all its frames. A larger one is cut into
blocks of neighbours; an epoch puts the blocks into a random order, reads a *pool* of them at a time, and permutes the
frames within the pool. So the disk is read in pieces of BLOCK_BYTES and in its own order, and neighbours of a batch
come from thousands of places: two frames of a batch are of one block less often than, in a permutation of all, of one
recording. While a pool is used a thread reads the next.

Every order is drawn from (seed, stream, epoch) alone, so the batches of any step are found again without those before
it; and it depends on the size of the set only, not on the machine. Bytes are counted in fp32; what is held is held as
it is stored, and scaled batch by batch. Memory: 2 · POOL_BYTES, or RESIDENT_BYTES, half of it for fp16, and the indices
of a pool's frames; on a GPU the pools lie there too.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sonolens.latents import ScaledFrames

RESIDENT_BYTES = 2 << 30
POOL_BYTES = 1 << 30
# What is read at once: 256 frames of 64 numbers, 32 of 512
BLOCK_BYTES = 64 << 10


class Batch(NamedTuple):
    """Some frames of a set, B of them."""

    positions: np.ndarray  # (B,) within the set
    x: Tensor  # (B, d_latent) float32, scaled, on the device


class _Pool(NamedTuple):
    positions: np.ndarray  # (P,) of its frames within the set
    stored: Tensor  # (P, d_latent), as on the disk, on the device


class ShuffledFrames:
    """Batches of a set of frames, epoch after epoch."""

    def __init__(self, frames: ScaledFrames, batch_frames: int, seed: int, stream: int, device: torch.device):
        """`stream` sets apart those who shuffle under one seed; a set smaller than a batch is one batch."""
        self.frames, self.seed, self.stream, self.device = frames, seed, stream, device
        self.batch_frames = min(batch_frames, len(frames))
        self._mean = torch.from_numpy(frames.scaling.mean).to(device)
        self._scale = float(np.float32(frames.scaling.scale))
        self.batches_per_epoch = len(frames) // self.batch_frames
        frame_bytes = 4 * frames.d_latent
        is_resident = len(frames) * frame_bytes <= RESIDENT_BYTES
        batches_per_pool = max(1, POOL_BYTES // (frame_bytes * self.batch_frames))
        self._block_frames = max(1, BLOCK_BYTES // frame_bytes)
        self._batches_per_pool = self.batches_per_epoch if is_resident else batches_per_pool
        self._pool_frames = len(frames) if is_resident else batches_per_pool * self.batch_frames
        self._buffers: list[Tensor] = []
        self._resident = _Pool(np.arange(len(frames)), self._read(np.arange(len(frames)))) if is_resident else None

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Those of the steps first … last − 1, counted from the first epoch on.

        What is left over at the end of an epoch is dropped, so that each batch has one size.
        """
        with ThreadPoolExecutor(1, "reader") as reader:
            ahead: tuple[tuple[int, int], Future] | None = None
            current, pool, order = None, None, None
            for step in range(first, last):
                epoch, batch = divmod(step, self.batches_per_epoch)
                number, within = divmod(batch, self._batches_per_pool)
                if current != (epoch, number):
                    current = epoch, number
                    pool = ahead[1].result() if ahead and ahead[0] == current else self._pool(*current)
                    order = np.random.default_rng(self._stream_of(*current)).permutation(len(pool.positions))
                    following = self._following(*current)
                    is_wanted = self._resident is None and self._first_step(*following) < last
                    ahead = (following, reader.submit(self._pool, *following)) if is_wanted else None
                chosen = order[within * self.batch_frames : (within + 1) * self.batch_frames]
                stored = pool.stored.index_select(0, torch.from_numpy(chosen).to(self.device))
                x = stored.to(torch.float32, copy=True).sub_(self._mean).div_(self._scale)
                yield Batch(pool.positions[chosen], x)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, 0 is the first."""
        return self.batches(number * self.batches_per_epoch, (number + 1) * self.batches_per_epoch)

    def _stream_of(self, epoch: int, pool: int) -> list[int]:
        return [self.seed, self.stream, epoch] if self._resident else [self.seed, self.stream, epoch, pool]

    def _first_step(self, epoch: int, pool: int) -> int:
        return epoch * self.batches_per_epoch + pool * self._batches_per_pool

    def _following(self, epoch: int, number: int) -> tuple[int, int]:
        is_last = (number + 1) * self._batches_per_pool >= self.batches_per_epoch
        return (epoch + 1, 0) if is_last else (epoch, number + 1)

    def _pool(self, epoch: int, number: int) -> _Pool:
        if self._resident:
            return self._resident
        n_blocks = -(-len(self.frames) // self._block_frames)
        blocks = np.random.default_rng([self.seed, self.stream, epoch]).permutation(n_blocks)
        sizes = np.full(n_blocks, self._block_frames)
        sizes[-1] = len(self.frames) - (n_blocks - 1) * self._block_frames
        ends = np.cumsum(sizes[blocks])
        begin = number * self._batches_per_pool * self.batch_frames
        end = min(begin + self._batches_per_pool * self.batch_frames, self.batches_per_epoch * self.batch_frames)
        taken = np.arange(begin, end)
        block = np.searchsorted(ends, taken, side="right")
        positions = np.sort(blocks[block] * self._block_frames + taken - (ends[block] - sizes[blocks[block]]))
        return _Pool(positions, self._read(positions))

    def _read(self, positions: np.ndarray) -> Tensor:
        """Frames at ascending `positions` (P,), into the buffer of the pool before the last.

        Buffers are kept: memory that is taken anew for each pool comes from several threads and is not all given back.
        They are filled piece by piece, so that no second copy of a pool is made.
        """
        if len(self._buffers) < 2:
            dtype = torch.from_numpy(np.empty(0, self.frames.store.dtype)).dtype
            shape = self._pool_frames, self.frames.d_latent
            self._buffers.append(torch.empty(shape, dtype=dtype, pin_memory=self.device.type == "cuda"))
        else:
            self._buffers.reverse()
        stored = self._buffers[-1][: len(positions)]
        piece = max(1, BLOCK_BYTES * 64 // (4 * self.frames.d_latent))
        for start in range(0, len(positions), piece):
            rows = self.frames.rows[positions[start : start + piece]]
            stored[start : start + piece] = torch.from_numpy(self.frames.store.gather(rows, self.frames.store.dtype))
        return stored.to(self.device)
