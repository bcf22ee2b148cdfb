"""How many frames are worked on at once: codes are computed where they are used, and never stored whole."""

import torch

# A block of codes of this size stays in a core's share of the cache; on a GPU larger matrix products pay.
CPU_BLOCK_BYTES = 2 << 20
GPU_BLOCK_BYTES = 512 << 20
# Kernels of matrix products like rows in multiples of this.
ROW_MULTIPLE = 32
MIN_CHUNK_FRAMES = 128


def block_frames(width: int, like: torch.Tensor) -> int:
    """Frames whose codes of `width` take a block, of the dtype and on the device of `like`; at least ROW_MULTIPLE."""
    block_bytes = GPU_BLOCK_BYTES if like.is_cuda else CPU_BLOCK_BYTES
    return max(1, block_bytes // (like.element_size() * width) // ROW_MULTIPLE) * ROW_MULTIPLE


def chunk_frames(d_latent: int, width: int, like: torch.Tensor) -> int:
    """Frames of a chunk of codes whose gradients (d_latent, width) are added up.

    A block, or more where it has so few frames that adding the gradients up costs as much as multiplying.
    """
    return max(block_frames(width, like), MIN_CHUNK_FRAMES, d_latent // 2 // ROW_MULTIPLE * ROW_MULTIPLE)
