"""How many frames are worked on at once: codes are computed where they are used, and never stored whole."""

import torch

# A block of codes of this size stays in a core's share of the cache; on a GPU larger matrix products pay.
CPU_BLOCK_BYTES = 2 << 20
GPU_BLOCK_BYTES = 512 << 20
# Kernels of matrix products like rows in multiples of this.
ROW_MULTIPLE = 32


def block_frames(width: int, like: torch.Tensor) -> int:
    """Frames whose codes of `width` take a block, of the dtype and on the device of `like`; at least ROW_MULTIPLE."""
    block_bytes = GPU_BLOCK_BYTES if like.is_cuda else CPU_BLOCK_BYTES
    return max(1, block_bytes // (like.element_size() * width) // ROW_MULTIPLE) * ROW_MULTIPLE
