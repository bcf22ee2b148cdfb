"""Timbre: the spectral centroid in a window around each fine frame.

Librosa's centroid: the mean frequency of a Hann-windowed magnitude spectrum. It depends on the bandwidth that is
looked at, so every recording is measured at one rate; the default of 16 kHz is what every encoder of the experiment
can hear.
"""

import librosa
import numpy as np

from sonolens.labels import bins, fine
from sonolens.labels.fine import FineTrack

_UNITS = {"hz": "Hz", "log_hz": "log2 Hz"}


def unit(options: dict) -> str:
    """Unit of the values under these options."""
    return _UNITS[options["scale"]]


def measure(audio: np.ndarray, sample_rate_hz: int, options: dict, device: str = "cpu") -> FineTrack:
    """Centroid of audio (n_samples,) per fine frame, in Hz or log2 Hz; NaN where the level is below the floor.

    weight: the mean square in the window. Measured at options["sample_rate_hz"]; `device` is not used.
    """
    n_frames = fine.n_fine_frames(len(audio), sample_rate_hz)
    rate, window = options["sample_rate_hz"], options["window_samples"]
    hop = rate // fine.FINE_FRAMES_PER_S
    audio = fine.resampled(audio, sample_rate_hz, rate)
    centroids, energies = [np.zeros(0)], [np.zeros(0)]
    for block in fine.blocks(audio, rate, window, n_frames):
        magnitude = np.abs(librosa.stft(block, n_fft=window, hop_length=hop, center=False))
        centroids.append(librosa.feature.spectral_centroid(S=magnitude, sr=rate, n_fft=window)[0])
        energies.append(librosa.feature.rms(y=block, frame_length=window, hop_length=hop, center=False)[0] ** 2)
    value, energy = np.concatenate(centroids), np.concatenate(energies)
    if options["scale"] == "log_hz":
        value = np.log2(np.maximum(value, 1.0))
    value[fine.rms_dbfs(energy) < options["floor_dbfs"]] = np.nan
    return FineTrack(value.astype(np.float32), energy.astype(np.float32))


def pool(pieces: FineTrack, inside: np.ndarray, options: dict) -> np.ndarray:
    """The energy-weighted mean of the fine frames inside each latent frame; NaN where all are silent. (N, K) -> (N,).

    inside (N, K): which entries are fine frames of that latent frame; the others are padding.
    """
    counts = inside & np.isfinite(pieces.value)
    weight = np.where(counts, pieces.weight, 0).astype(np.float64)
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (np.where(counts, pieces.value, 0) * weight).sum(axis=1) / np.where(total > 0, total, np.nan)


def fit_bins(values: np.ndarray, options: dict) -> bins.Bins:
    """Equally spaced classes between two percentiles of the train split's fine values (N,)."""
    return bins.equal_bins(values, options, unit(options))
