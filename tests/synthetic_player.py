"""What the steering player plays, of cells that were never trained: short tunes, written as the workflow writes them.

Steering to a class takes the attribute a share of the way to it that grows with α, and makes the sound a little louder.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from sonolens.files import read_json, write_json
from sonolens.labels.bins import Bins
from sonolens.labels.fine import FineTrack
from sonolens.steering import player
from sonolens.steering.excerpts import SourceSound
from sonolens.steering.player import sound_name
from sonolens.steering.tracking import Labeller
from synthetic_results import D_LATENT, SyntheticResults

CELL = "best"
ALPHAS = [1, 10.5]
RATE_HZ, SECONDS = 16_000, 2.0
WINDOW = 1024
BINS = {
    "pitch": Bins("semitone (MIDI)", np.arange(30.5, 97), [*(f"note {m}" for m in range(31, 97)), "unvoiced"],
                  np.array([*range(31, 97), np.nan]), 66, False),
    "amplitude": Bins("dBFS", np.linspace(-60, -10, 11), [f"{a} to {a + 5} dBFS" for a in range(-60, -10, 5)],
                      np.arange(-57.5, -10, 5), -1, True),
    "timbre": Bins("Hz", np.linspace(0, 4000, 21), [f"{a} to {a + 200} Hz" for a in range(0, 4000, 200)],
                   np.arange(100.0, 4000, 200), -1, True),
}  # fmt: skip
TARGETS = {"pitch": [19, 41], "amplitude": [3, 8], "timbre": [12, 17]}


def _measured(figure) -> SimpleNamespace:
    """A module of labels that computes `figure` of each 10 ms frame's amplitudes (n_frequencies,) and frequencies."""

    def measure(audio: np.ndarray, sample_rate_hz: int, options: dict, device: str) -> FineTrack:
        padded = np.pad(audio, WINDOW // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[80 :: sample_rate_hz // 100]
        frames = frames[: -(-len(audio) * 100 // sample_rate_hz)]
        amplitudes = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), 4 * WINDOW, axis=1)) * 4 / WINDOW
        frequencies = np.fft.rfftfreq(4 * WINDOW, 1 / sample_rate_hz)
        value = figure(amplitudes, frequencies).astype(np.float32)
        return FineTrack(value, np.ones_like(value))

    return SimpleNamespace(measure=measure)


def _pitch(amplitudes: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    midi = 69 + 12 * np.log2(np.maximum(frequencies[amplitudes.argmax(axis=1)], 1) / 440)
    return np.where(amplitudes.max(axis=1) > 1e-3, midi, np.nan)


def _amplitude(amplitudes: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return np.maximum(20 * np.log10(np.maximum(amplitudes.max(axis=1), 1e-9)), -70)


def _timbre(amplitudes: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return amplitudes @ frequencies / np.maximum(amplitudes.sum(axis=1), 1e-9)


LABELLERS = {
    name: Labeller(_measured(figure), {}, "cpu")
    for name, figure in (("pitch", _pitch), ("amplitude", _amplitude), ("timbre", _timbre))
}


def tune(midi: float, level_dbfs: float, brightness: float) -> np.ndarray:
    """Three notes and a rest, (1, n_samples) float32; brightness is how loud the second partial is beside the first."""
    notes = np.repeat([midi, midi + 4, midi + 7, midi], int(RATE_HZ * SECONDS / 4))
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / RATE_HZ
    wave = np.sin(phase) + brightness * np.sin(2 * phase)
    wave[-int(RATE_HZ * SECONDS / 4) :] = 0
    return (10 ** (level_dbfs / 20) * wave[None]).astype(np.float32)


def _steered(attribute: str, target: int, alpha: float) -> np.ndarray:
    share = alpha / (alpha + 0.2)
    to = BINS[attribute].centres[target]
    midi = 57 + share * (to - 57) if attribute == "pitch" else 57
    level = -30 + share * (to + 30) if attribute == "amplitude" else -30 + 6 * share
    return tune(midi, level, 0.3 + share * to / 4000 if attribute == "timbre" else 0.3)


def classes_of(attribute: str) -> list[dict]:
    """As classes.json lists them."""
    bins = BINS[attribute]
    return [{"index": i, "name": bins.class_names[i], "centre": float(bins.centres[i])} for i in TARGETS[attribute]]


def sounds_of(attribute: str):
    """Name and samples (1, n_samples) of each sound of one attribute."""
    yield "original", tune(57, -28, 0.4)
    yield "sae", tune(57, -30, 0.3)
    for position, target in enumerate(TARGETS[attribute]):
        for alpha in ALPHAS:
            yield sound_name(position, alpha), _steered(attribute, target, alpha)


def tracks_paths(results: SyntheticResults) -> list[str]:
    """tracks.json of every steered cell and attribute."""
    return [
        results.path(f"results/steering/{encoder}/{CELL}/{attribute}/sounds/tracks.json")
        for encoder in results.encoders
        for attribute in results.attributes
    ]


def sounds_paths(results: SyntheticResults, in_report: bool = False) -> list[str]:
    """Wavs and pngs, where steering writes them or where the page has them."""
    return [
        results.path(f"results/{'report/' * in_report}steering/{encoder}/{CELL}/{attribute}/{folder}{sound}.{form}")
        for encoder in results.encoders
        for attribute in results.attributes
        for folder in ["" if in_report else "sounds/"]
        for sound, _ in sounds_of(attribute)
        for form in ("wav", "png")
    ]


def write(results: SyntheticResults) -> SyntheticResults:
    """Write all files; returns its argument."""
    nothing = np.zeros((0, 0), np.float32)
    labellers = {name: LABELLERS[name] for name in results.attributes}
    for encoder in results.encoders:
        excerpt = SourceSound("chorales/clip_000", "solo", "cello", 2.0, tune(57, -28, 0.4), nothing, nothing)
        identity = {"encoder": encoder, "name": CELL, "dim": 16 * D_LATENT, "lam": 0.02}
        for attribute in results.attributes:
            folder = Path(results.path(f"results/steering/{encoder}/{CELL}/{attribute}/sounds"))
            first = Path(results.path(f"results/steering/{results.encoders[0]}/{CELL}/{attribute}/sounds"))
            if folder != first:
                shutil.copytree(first, folder)
                _rename(folder / "tracks.json", encoder)
                continue
            player.write(
                sounds_of(attribute), RATE_HZ, identity, excerpt, attribute, classes_of(attribute), ALPHAS, BINS,
                labellers, folder,
            )  # fmt: skip
    return results


def _rename(path: Path, encoder: str) -> None:
    """Say that a tracks.json is of another encoder."""
    tracks = read_json(path)
    write_json(path, tracks | {"encoder": encoder})
