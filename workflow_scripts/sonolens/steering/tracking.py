"""The labeller that made the labels, on sound that a decoder made."""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from sonolens import plugins
from sonolens.labels import fine

# A frame below this level counts as silent, as it does for the attributes
SILENT_DBFS = -70.0
LEVEL_RATE_HZ, LEVEL_WINDOW_SAMPLES = 16_000, 512


class Labeller(NamedTuple):
    """How an attribute is measured."""

    module: ModuleType  # of sonolens/labels
    options: dict
    device: str

    @property
    def left_out_kinds(self) -> list[str]:
        """Kinds of recordings on which it is not measured."""
        return fine.left_out_kinds(self.options)


def labellers(attributes: dict[str, dict], device: str) -> dict[str, Labeller]:
    """Labellers by attribute. attributes: {name: {"module", "options"}} in the config's order."""
    return {
        name: Labeller(plugins.load("labels", entry["module"]), entry["options"], device)
        for name, entry in attributes.items()
    }


def left_out_kinds(labellers: dict[str, Labeller]) -> set[str]:
    """Kinds of recordings on which some attribute is not measured."""
    return {kind for labeller in labellers.values() for kind in labeller.left_out_kinds}


def mono(samples: np.ndarray) -> np.ndarray:
    """(n_channels, n_samples) -> (n_samples,), the mean of the channels, as recordings are labelled."""
    return samples.mean(axis=0)


def clipped(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples within full scale, as a file of 16 bits holds them, and how many were beyond."""
    return np.clip(samples, -1.0, 1.0), int((np.abs(samples) > 1.0).sum())


def track_all(audio: np.ndarray, sample_rate_hz: int, kind: str, labellers: dict[str, Labeller]) -> dict:
    """Every attribute of audio (n_samples,) on the 10 ms grid: {name: (T,)}, NaN where it is undefined.

    Of an attribute that is not measured on recordings of this kind the track is empty, (0,).
    """
    return {
        name: np.zeros(0, np.float32)
        if kind in labeller.left_out_kinds
        else labeller.module.measure(audio, sample_rate_hz, labeller.options, labeller.device).value
        for name, labeller in labellers.items()
    }


def silent_share(audio: np.ndarray, sample_rate_hz: int) -> float:
    """Share of the 10 ms frames of audio (n_samples,) whose level (RMS over 32 ms) is below SILENT_DBFS."""
    n_frames = fine.n_fine_frames(len(audio), sample_rate_hz)
    audio = fine.resampled(audio, sample_rate_hz, LEVEL_RATE_HZ)
    silent = 0
    for stretch in fine.blocks(audio, LEVEL_RATE_HZ, LEVEL_WINDOW_SAMPLES, n_frames):
        energy = fine.mean_square(fine.windows(stretch, LEVEL_RATE_HZ, LEVEL_WINDOW_SAMPLES))
        silent += int((fine.rms_dbfs(energy) < SILENT_DBFS).sum())
    return silent / n_frames
