"""The fine grid that every attribute is measured on: one value each 10 ms, whatever encoder comes later.

Fine frame j stands for the time (j + 0.5)·10 ms; a recording has as many as it takes to cover its last sample.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soxr

FINE_FRAMES_PER_S = 100
# Frames that are windowed at once: a recording of hours is never unfolded whole, and so many stay in a CPU's cache.
BLOCK_FRAMES = 512


class FineTrack(NamedTuple):
    """What is measured on a recording, or the pieces of it that lie in each latent frame."""

    value: np.ndarray  # (T,) or (N, K) float32, in the attribute's unit, NaN where it is undefined
    weight: np.ndarray  # the same shape, what the attribute pools by


def n_fine_frames(n_samples: int, sample_rate_hz: int) -> int:
    """Fine frames of a recording: its duration over 10 ms, rounded up."""
    return -(-n_samples * FINE_FRAMES_PER_S // sample_rate_hz)


def fine_time_s(fine_index: np.ndarray) -> np.ndarray:
    """The time that each fine frame stands for, in seconds."""
    return (np.asarray(fine_index) + 0.5) / FINE_FRAMES_PER_S


def resampled(audio: np.ndarray, sample_rate_hz: int, to_sample_rate_hz: int) -> np.ndarray:
    """audio (n_samples,) at another rate, float32, without delay. Raises ValueError unless it is one finite channel."""
    if audio.ndim != 1:
        raise ValueError(f"labels are measured on one channel, (n_samples,); got an array of shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError("the audio has samples that are not finite")
    audio = np.asarray(audio, np.float32)
    if sample_rate_hz == to_sample_rate_hz or not len(audio):
        return audio
    return soxr.resample(audio, sample_rate_hz, to_sample_rate_hz)


def blocks(
    audio: np.ndarray, sample_rate_hz: int, window_samples: int, n_frames: int, block_frames: int = BLOCK_FRAMES
) -> Iterator[np.ndarray]:
    """Stretches of audio for windows of `window_samples` that are centred on the fine frames, zeros beyond the ends.

    A stretch of b frames has (b − 1)·hop + window samples, which `windows` cuts. sample_rate_hz must be a multiple of
    100, or the windows would drift.
    """
    hop_samples, remainder = divmod(sample_rate_hz, FINE_FRAMES_PER_S)
    if remainder:
        raise ValueError(f"sample_rate_hz: {sample_rate_hz} is not a multiple of {FINE_FRAMES_PER_S}")
    for first in range(0, n_frames, block_frames):
        n_block = min(block_frames, n_frames - first)
        start = first * hop_samples + hop_samples // 2 - window_samples // 2
        stretch = np.zeros((n_block - 1) * hop_samples + window_samples, np.float32)
        inside = audio[max(start, 0) : max(start + len(stretch), 0)]
        offset = max(-start, 0)
        stretch[offset : offset + len(inside)] = inside
        yield stretch


def windows(stretch: np.ndarray, sample_rate_hz: int, window_samples: int) -> np.ndarray:
    """The windows of a stretch of b frames, (b, window_samples): a view, every 10 ms."""
    return np.lib.stride_tricks.sliding_window_view(stretch, window_samples)[:: sample_rate_hz // FINE_FRAMES_PER_S]


def mean_square(windows: np.ndarray) -> np.ndarray:
    """Mean square of each window, (b, window_samples) -> (b,)."""
    return np.einsum("tn,tn->t", windows, windows) / windows.shape[1]


def left_out_kinds(options: dict) -> list[str]:
    """Kinds of recordings that an attribute with these options is not measured on; none unless it has the option."""
    return options["leave_out_kinds"] if "leave_out_kinds" in options else []


def rms_dbfs(mean_square: np.ndarray, floor_dbfs: float = -math.inf) -> np.ndarray:
    """Level of a mean square: 0 dBFS is an RMS of 1, so a full-scale sine has −3.01. Not below the floor."""
    with np.errstate(divide="ignore"):
        return np.maximum(10 * np.log10(mean_square), floor_dbfs)
