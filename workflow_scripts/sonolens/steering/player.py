"""What the page plays: one excerpt of a cell, steered to each class with each α, seen and measured.

Beside every WAV lie a spectrogram of the same name and, in tracks.json, all attributes of what is heard. One sound is
in memory at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.image
import numpy as np
from matplotlib import colormaps
from torch import Tensor

from sonolens import audio
from sonolens.encoders.contract import Encoder, decode
from sonolens.files import replacing, write_json
from sonolens.labels import fine
from sonolens.labels.bins import Bins
from sonolens.steering import strength
from sonolens.steering.cell import Cell
from sonolens.steering.effects import effect
from sonolens.steering.excerpts import SourceSound
from sonolens.steering.methods import PAPER
from sonolens.steering.tracking import Labeller, clipped, mono, track_all

N_COLUMNS, N_ROWS = 480, 160
LOWEST_HZ, HIGHEST_HZ = 50.0, 16_000.0
LEVELS_DBFS = (-90.0, -10.0)
# Power is read at so many frequencies of each row, or partials would fall between the rows high up
N_PER_ROW = 32
# Every second of the 10 ms frames is drawn
THINNING = 2
SHIFT_FIGURES = ("n_frames", "n_defined", "n_lost", "n_gained", "change")


class Heard(NamedTuple):
    """A sound after it was written."""

    tracks: dict[str, np.ndarray]  # (T,) by attribute, on the 10 ms grid; (0,) of one that is not measured
    n_clipped: int


def render_cell(
    encoder: Encoder,
    cell: Cell,
    identity: Mapping,
    excerpt: SourceSound,
    classes: Mapping[str, Sequence[dict]],
    alphas: Sequence[float],
    labellers: Mapping[str, Labeller],
    tracks_paths: Sequence[str],
) -> None:
    """Render every attribute in turn, each into the folder of its tracks.json (in the order of `classes`).

    classes: {attribute: those of its classes.json}; the rest as for `render`.
    """
    for (attribute, of_attribute), path in zip(classes.items(), tracks_paths, strict=True):
        render(encoder, cell, identity, excerpt, attribute, of_attribute, alphas, labellers, Path(path).parent)


def render(
    encoder: Encoder,
    cell: Cell,
    identity: Mapping,
    excerpt: SourceSound,
    attribute: str,
    classes: Sequence[dict],
    alphas: Sequence[float],
    labellers: Mapping[str, Labeller],
    folder: Path,
) -> None:
    """Write the original, the autoencoder's sound (α = 0) and each class with each α, and tracks.json, into `folder`.

    Sounds are called original, sae and class~{i}/alpha~{α:g}, i being the position in `classes`; each is a .wav of 16
    bits and a .png. What steering changed is counted on the 10 ms grid against `sae`, and what that changed against the
    original.

    cell: with the probes of all attributes; identity: encoder, name, dim and lam (a cell.json); classes: {"index",
    "name", "centre"} each. Raises ValueError if a decoded sound is not finite.
    """
    bins = {name: cell.probes[name].bins for name in labellers}
    sounds = _sounds(encoder, cell, excerpt, cell.probes[attribute].weight, classes, alphas)
    write(sounds, encoder.sample_rate_hz, identity, excerpt, attribute, classes, alphas, bins, labellers, folder)


def _sounds(
    encoder: Encoder, cell: Cell, excerpt: SourceSound, weight: Tensor, classes: Sequence[dict], alphas: Sequence[float]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and samples (n_channels, n_samples) of each sound, made as it is asked for; weight (K, F) of the probe."""
    yield "original", excerpt.samples
    x = cell.scaled(excerpt.latents)
    steered = [
        (sound_name(position, alpha), strength.steered(cell, PAPER, x, weight[one["index"]], alpha))
        for position, one in enumerate(classes)
        for alpha in alphas
    ]
    for name, latents in [("sae", strength.reference(cell, PAPER.space, x)), *steered]:
        yield name, decode(encoder, cell.latents(latents), excerpt.side)[:, : excerpt.samples.shape[1]]


def write(
    sounds: Iterable[tuple[str, np.ndarray]],
    sample_rate_hz: int,
    identity: Mapping,
    excerpt: SourceSound,
    attribute: str,
    classes: Sequence[dict],
    alphas: Sequence[float],
    bins: Mapping[str, Bins],
    labellers: Mapping[str, Labeller],
    folder: Path,
) -> None:
    """Write sounds, spectrograms and tracks.json as `render` does; sounds: name and samples (n_channels, n_samples)."""
    heard = {name: _write(folder / name, samples, sample_rate_hz, excerpt.kind, labellers) for name, samples in sounds}
    targets = {attribute: classes}
    write_json(
        folder / "tracks.json",
        {
            "encoder": identity["encoder"],
            "cell": {key: identity[key] for key in ("name", "dim", "lam")},
            "attribute": attribute,
            "unit": bins[attribute].unit,
            "clip": _clip_of(excerpt, sample_rate_hz),
            "frequency_range_hz": frequency_range_hz(sample_rate_hz),
            "level_range_dbfs": LEVELS_DBFS,
            "attributes": [
                _attribute_of(name, bins[name], heard, targets[name] if name in targets else []) for name in labellers
            ],
            "classes": [_class_of(one, bins[attribute]) for one in classes],
            "alphas": list(alphas),
            "first_time_s": float(fine.fine_time_s(0)),
            "time_step_s": THINNING / fine.FINE_FRAMES_PER_S,
            "sounds": {name: _sound_of(name, heard, attribute, classes, bins[attribute]) for name in heard},
        },
    )


def sound_name(position: int, alpha: float) -> str:
    """What the sound steered to the class at `position` is called, without a suffix."""
    return f"class~{position}/alpha~{alpha:g}"


def _write(stem: Path, samples: np.ndarray, sample_rate_hz: int, kind: str, labellers: Mapping[str, Labeller]) -> Heard:
    """Write samples (n_channels, n_samples) as <stem>.wav and <stem>.png, and measure them."""
    # no with_suffix: α = 0.5 has a point
    n_clipped = audio.write_wav(f"{stem}.wav", samples, sample_rate_hz)
    heard = mono(clipped(samples)[0])
    write_spectrogram(f"{stem}.png", heard, sample_rate_hz)
    return Heard(track_all(heard, sample_rate_hz, kind, dict(labellers)), n_clipped)


def _clip_of(excerpt: SourceSound, sample_rate_hz: int) -> dict:
    return {
        "clip_id": excerpt.clip_id,
        "kind": excerpt.kind,
        "instrument": excerpt.instrument,
        "start_s": excerpt.start_s,
        "duration_s": excerpt.samples.shape[1] / sample_rate_hz,
        "sample_rate_hz": sample_rate_hz,
    }


def _class_of(one: dict, bins: Bins) -> dict:
    """A class with the ends of its bin; null for the class of undefined frames, which has none."""
    index, n_bins = one["index"], len(bins.edges) - 1
    ends = [float(edge) for edge in bins.edges[index : index + 2]] if index < n_bins else [None, None]
    return {key: one[key] for key in ("index", "name", "centre")} | dict(zip(("low", "high"), ends, strict=True))


def _attribute_of(name: str, bins: Bins, heard: Mapping[str, Heard], classes: Sequence[dict]) -> dict:
    """An attribute with the range that shows all sounds alike, and the classes; 1 % at either end may lie beyond."""
    values = np.concatenate([one.tracks[name] for one in heard.values()]).astype(np.float64)
    values = values[np.isfinite(values)]
    ends = [*np.percentile(values, [1, 99])] if len(values) else [bins.edges[0], bins.edges[-1]]
    for one in classes:
        ends += [end for end in (_class_of(one, bins)[key] for key in ("low", "high")) if end is not None]
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    return {"name": name, "unit": bins.unit, "low": _rounded(min(ends) - margin), "high": _rounded(max(ends) + margin)}


def _sound_of(name: str, heard: Mapping[str, Heard], attribute: str, classes: Sequence[dict], bins: Bins) -> dict:
    """A sound's entry: its files relative to tracks.json, its tracks, and what was changed in it, by attribute."""
    tracks = heard[name].tracks
    entry = {
        "wav": f"{name}.wav",
        "png": f"{name}.png",
        "n_clipped": heard[name].n_clipped,
        "tracks": {key: [_rounded(value) for value in track[::THINNING]] for key, track in tracks.items()},
    }
    if name == "original":
        return entry
    before = heard["original" if name == "sae" else "sae"].tracks
    shifts = {key: effect(before[key], tracks[key]) for key in tracks}
    hits = [effect(before[attribute], tracks[attribute], one["index"], bins) for one in classes]
    return entry | {
        "shifts": {key: {figure: _figure(found[figure]) for figure in SHIFT_FIGURES} for key, found in shifts.items()},
        # of the frames that were defined before, one entry per class
        "hits": [
            {"n": found["n_defined"] + found["n_lost"], "before": found["n_hits_before"], "after": found["n_hits"]}
            for found in hits
        ],
    }


def _figure(value: float) -> float | None:
    return value if isinstance(value, int) else _rounded(value)


def _rounded(value: float) -> float | None:
    """Four significant digits; None for NaN, which is no JSON."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


# ---- spectrograms


def frequency_range_hz(sample_rate_hz: int) -> tuple[float, float]:
    """The lower edge of an image's lowest row and the upper edge of its highest; rows are equally wide in log f."""
    return LOWEST_HZ, min(sample_rate_hz / 2, HIGHEST_HZ)


def levels_dbfs(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Level (N_ROWS, N_COLUMNS) of samples (n_samples,), the lowest row last; a sine of full scale has 0 dBFS.

    The loudest frequency of each row, in Hann windows of some 50 ms around N_COLUMNS equally spaced times.
    """
    window = 2 ** int(np.ceil(np.log2(0.045 * sample_rate_hz)))
    starts = ((np.arange(N_COLUMNS) + 0.5) * len(samples) / N_COLUMNS).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, window // 2), window)[starts]
    hann = np.hanning(window)
    # twice as long: between two bins the level of a sine would fall by 1.4 dB
    power = np.abs(np.fft.rfft(frames * hann, 2 * window, axis=1).T * 2 / hann.sum()) ** 2
    low, high = frequency_range_hz(sample_rate_hz)
    at_hz = np.geomspace(low, high, N_ROWS * N_PER_ROW + 1)[:-1]
    bins = np.clip(at_hz * 2 * window / sample_rate_hz, 0, len(power) - 1.001)
    below, share = bins.astype(int), (bins % 1)[:, None]
    at_rows = power[below] * (1 - share) + power[below + 1] * share
    loudest = at_rows.reshape(N_ROWS, N_PER_ROW, N_COLUMNS).max(axis=1)[::-1]
    return 10 * np.log10(np.maximum(loudest, 1e-20))


def write_spectrogram(path: str | Path, samples: np.ndarray, sample_rate_hz: int) -> None:
    """A PNG of N_COLUMNS × N_ROWS pixels in cividis, from LEVELS_DBFS[0] (dark) to [1] (bright), without axes.

    The scale is the same for all sounds, so that a louder one is brighter.
    """
    low, high = LEVELS_DBFS
    share = np.clip((levels_dbfs(samples, sample_rate_hz) - low) / (high - low), 0, 1)
    # 1 dB per step is finer than what is seen, and half the bytes of 256 steps
    steps = np.rint(share * (high - low)) / (high - low)
    with replacing(path) as temporary:
        matplotlib.image.imsave(
            temporary,
            colormaps["cividis"](steps, bytes=True),
            metadata={"Software": None},
            pil_kwargs={"optimize": True},
        )
