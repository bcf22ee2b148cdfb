"""Long latents decoded in chunks, each read with enough context on both sides that the seams do not show."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Chunk(NamedTuple):
    """A stretch of latent frames [start, stop), and the wider stretch [read_start, read_stop) it is computed from."""

    start: int
    stop: int
    read_start: int
    read_stop: int


def chunks(n_frames: int, chunk_frames: int, context_frames: int) -> Iterator[Chunk]:
    """Cut n_frames into stretches of chunk_frames (the last may be shorter), read with context on both sides.

    The cuts depend on n_frames' position only, never on other recordings. No frames give no chunks.
    """
    if chunk_frames < 1 or context_frames < 0:
        raise ValueError(f"chunks need chunk_frames >= 1 and context_frames >= 0, got {chunk_frames}, {context_frames}")
    for start in range(0, n_frames, chunk_frames):
        stop = min(start + chunk_frames, n_frames)
        yield Chunk(start, stop, max(start - context_frames, 0), min(stop + context_frames, n_frames))


def decode_in_chunks(
    decode: Callable[[np.ndarray, int], np.ndarray],
    latents: np.ndarray,
    hop_samples: int,
    chunk_frames: int,
    context_frames: int,
) -> np.ndarray:
    """Decode latents (n_frames, d) piece by piece; audio (n_channels, n_frames · hop_samples) float32.

    `decode` takes (m, d) and the index of its first frame (whatever it draws at random must follow from that index)
    to (n_channels, m · hop). The result is that of one piece when a hop of audio depends on at most context_frames
    frames to either side; what is left is the rounding of sums. Memory is bounded by one chunk beside input and output.
    """
    n_frames = len(latents)
    audio = None
    for chunk in chunks(n_frames, chunk_frames, context_frames):
        piece = decode(latents[chunk.read_start : chunk.read_stop], chunk.read_start)
        if audio is None:
            audio = np.empty((piece.shape[0], n_frames * hop_samples), np.float32)
        kept = slice((chunk.start - chunk.read_start) * hop_samples, (chunk.stop - chunk.read_start) * hop_samples)
        audio[:, chunk.start * hop_samples : chunk.stop * hop_samples] = piece[:, kept]
    if audio is None:
        raise ValueError("no latents to decode")
    return audio
