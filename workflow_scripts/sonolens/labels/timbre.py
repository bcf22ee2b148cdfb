"""Timbre: the spectral centroid in a window around each fine frame.

Librosa's centroid, in fp32: the mean frequency of a Hann-windowed magnitude spectrum. It depends on the bandwidth that
is looked at, so every recording is measured at one rate; the default of 16 kHz is what every encoder of the experiment
can hear.
"""

import numpy as np
import scipy.fft
import scipy.signal

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
    audio = fine.resampled(audio, sample_rate_hz, rate)
    hann, hz = scipy.signal.get_window("hann", window).astype(np.float32), scipy.fft.rfftfreq(window, 1 / rate)
    centroids, energies = [np.zeros(0)], [np.zeros(0, np.float32)]
    for stretch in fine.blocks(audio, rate, window, n_frames):
        windows = fine.windows(stretch, rate, window)
        centroids.append(_centroid(np.abs(scipy.fft.rfft(windows * hann, axis=1)), hz))
        energies.append(fine.mean_square(windows))
    value, energy = np.concatenate(centroids), np.concatenate(energies)
    if options["scale"] == "log_hz":
        value = np.log2(np.maximum(value, 1.0))
    value[fine.rms_dbfs(energy) < options["floor_dbfs"]] = np.nan
    return FineTrack(value.astype(np.float32), energy)


def _centroid(magnitude: np.ndarray, hz: np.ndarray) -> np.ndarray:
    """Mean frequency of spectra (b, F) of which the bins have the frequencies hz (F,); NaN where nothing sounds."""
    total = magnitude.sum(axis=1, dtype=np.float64)
    return magnitude @ hz.astype(np.float32) / np.where(total > 0, total, np.nan)


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
