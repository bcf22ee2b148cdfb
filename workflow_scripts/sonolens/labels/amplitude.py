"""Amplitude: RMS in a window around each fine frame.

Librosa's RMS: a rectangular window, the mean taken over all of it. 0 dBFS is an RMS of 1 (a full-scale sine: −3.01).
"""

import numpy as np

from sonolens.labels import bins, fine
from sonolens.labels.fine import FineTrack

_UNITS = {"dbfs": "dBFS", "linear": "full scale"}


def unit(options: dict) -> str:
    """Unit of the values under these options."""
    return _UNITS[options["scale"]]


def measure(audio: np.ndarray, sample_rate_hz: int, options: dict, device: str = "cpu") -> FineTrack:
    """RMS of audio (n_samples,) per fine frame, in dBFS or linear; nowhere undefined, never below the floor.

    weight: the mean square. Measured at options["sample_rate_hz"]; `device` is not used.
    """
    n_frames = fine.n_fine_frames(len(audio), sample_rate_hz)
    rate, window = options["sample_rate_hz"], options["window_samples"]
    audio = fine.resampled(audio, sample_rate_hz, rate)
    energies = [np.zeros(0, np.float32)]
    for stretch in fine.blocks(audio, rate, window, n_frames):
        energies.append(fine.mean_square(fine.windows(stretch, rate, window)))
    energy = np.concatenate(energies)
    return FineTrack(_scaled(energy, options).astype(np.float32), energy)


def pool(pieces: FineTrack, inside: np.ndarray, options: dict) -> np.ndarray:
    """The energy mean over the fine frames inside each latent frame: RMS of the whole. (N, K) -> (N,).

    inside (N, K): which entries are fine frames of that latent frame; the others are padding.
    """
    energy = np.where(inside, pieces.weight, 0).sum(axis=1, dtype=np.float64) / inside.sum(axis=1)
    return _scaled(energy, options)


def fit_bins(values: np.ndarray, options: dict) -> bins.Bins:
    """Equally spaced classes between two percentiles of the train split's fine values (N,)."""
    return bins.equal_bins(values, options, unit(options))


def _scaled(mean_square: np.ndarray, options: dict) -> np.ndarray:
    level = fine.rms_dbfs(mean_square, options["floor_dbfs"])
    return level if options["scale"] == "dbfs" else 10 ** (level / 20)
