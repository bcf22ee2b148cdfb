"""Distances between a recording and its reconstruction, from the waveforms alone."""

import numpy as np

# Below this level, in dB of a full-scale sine, everything counts as silence: 16-bit noise lies near -98.
FLOOR_DB = -80.0
RESOLUTIONS_SAMPLES = (512, 1024, 2048)
_BLOCK_FRAMES = 512


def log_spectral_distance_db(reference: np.ndarray, estimate: np.ndarray, n_fft: int = 1024) -> float:
    """Log-spectral distance in dB between two waveforms (n_samples,) of the same length and rate, full scale 1.

    Spectra of Hann windows of n_fft samples, a quarter apart, in dB of a full-scale sine's peak, from FLOOR_DB up;
    root mean square of the difference over frequencies, mean over frames (Gray and Markel 1976). Frames that are
    silent in the reference, no bin above the floor, are left out: a long pause would flatter the mean. NaN if all are.
    """
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise ValueError(f"two waveforms (n_samples,) are compared, got {reference.shape} and {estimate.shape}")
    hop = n_fft // 4
    total, n_sounding = 0.0, 0
    n_frames = max(len(reference) - n_fft, 0) // hop + 1
    for first in range(0, n_frames, _BLOCK_FRAMES):
        stretch = slice(first * hop, (min(first + _BLOCK_FRAMES, n_frames) - 1) * hop + n_fft)
        level, level_estimate = (_levels_db(audio[stretch], n_fft) for audio in (reference, estimate))
        sounds = level.max(axis=1) > FLOOR_DB
        distance = np.sqrt(np.mean((level - level_estimate) ** 2, axis=1))
        total += float(distance[sounds].sum())
        n_sounding += int(sounds.sum())
    return total / n_sounding if n_sounding else float("nan")


def multi_resolution_log_spectral_distance_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Mean of log_spectral_distance_db over windows of 512, 1024 and 2048 samples, in dB."""
    return float(np.mean([log_spectral_distance_db(reference, estimate, n_fft) for n_fft in RESOLUTIONS_SAMPLES]))


def _levels_db(audio: np.ndarray, n_fft: int) -> np.ndarray:
    """Levels (n_frames, n_fft // 2 + 1) of audio (n_samples,) in dB of a full-scale sine; short audio is one frame."""
    padded = np.pad(audio.astype(np.float32), (0, max(n_fft - len(audio), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: n_fft // 4]
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    spectrum = np.abs(np.fft.rfft(frames * window)) / (window.sum() / 2)
    return 20 * np.log10(np.maximum(spectrum, 10 ** (FLOOR_DB / 20)))
