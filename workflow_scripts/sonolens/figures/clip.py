"""One clip seen whole: its spectrogram, and every attribute over time, measured and predicted."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens import tables
from sonolens.figures import style
from sonolens.files import read_json

FLOOR_DB = -80


def draw(clips_paths: list[str], tracks_paths: list[str]) -> Figure:
    """The first clip that the first encoder was listened to on; all encoders' predictions that have it.

    clips_paths: results/clips/{encoder}/clips.json, tracks_paths: tables.TRACKS, one of each per encoder
    """
    listings = [read_json(path) for path in clips_paths]
    clip = listings[0]["clips"][0]
    tracks = [tables.read(path, tables.TRACKS) for path in tracks_paths]
    tracks = [table[table["clip_id"].astype(str) == clip["clip_id"]] for table in tracks]
    tracks = [table.assign(time_s=table["time_s"] - clip["start_s"]) for table in tracks]
    encoders = [listing["cell"]["encoder"] for listing in listings]
    attributes = style.in_order(tracks[0]["attribute"])
    figure, panels = style.new_figure(
        1 + len(attributes), 1, 1.65, sharex=True, height_ratios=[1.5] + [1] * len(attributes)
    )
    pitch = tracks[0][(tracks[0]["attribute"] == "pitch") & tracks[0]["value"].notna()]
    _spectrogram(panels[0, 0], Path(clips_paths[0]).parent / clip["original"], pitch)
    colours = style.hues(encoders)
    for attribute, axes in zip(attributes, panels[1:, 0], strict=True):
        for i, (encoder, table) in enumerate(zip(encoders, tracks, strict=True)):
            _track(axes, table[table["attribute"] == attribute], colours[encoder], i)
        unit = tracks[0].loc[tracks[0]["attribute"] == attribute, "unit"].iloc[0]
        axes.set_ylabel(style.with_unit(attribute, unit).replace(" (", "\n("))
    panels[-1, 0].set_xlabel(f"time (s) from {clip['start_s']:.2f} s into the recording")
    title = f"{clip['clip_id']} · {clip['kind']}" + (f" · {clip['instrument']}" if clip["instrument"] else "")
    style.row_title(panels[0, 0], title)
    keys = [style.key("measured on the audio", color=style.BLACK, lw=1.6)]
    keys += [
        style.key(f"predicted from {name}'s features", color=hue, marker="o", linestyle="none")
        for name, hue in colours.items()
    ]
    style.legend_above(figure, keys, "")
    return figure


def _track(axes: Axes, own: pd.DataFrame, colour: str, position: int) -> None:
    """A label as a black line (once), and the centres of the predicted classes as points, later encoders' smaller."""
    own = own.sort_values("time_s")
    if position == 0:
        axes.plot(own["time_s"], own["value"], color=style.BLACK, lw=1.6, zorder=1)
    axes.plot(
        own["time_s"],
        own["predicted_value"],
        "o",
        color=colour,
        markersize=max(4.6 - 1.8 * position, 1.6),
        alpha=0.8,
        mew=0,
        zorder=2,
    )


def level_db(samples: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level (n_bins, n_frames) in dB re its maximum, frequency (n_bins,) in Hz, time (n_frames,) in seconds.

    Hann windows of about 60 ms, a quarter apart; levels below FLOOR_DB are raised to it.
    samples: (n_samples,); shorter ones than a window are padded.
    """
    power, frequency, time = power_spectrum(samples, sample_rate_hz)
    return relative_level_db(power, power.max()), frequency, time


def power_spectrum(samples: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same with power in place of level."""
    window = 2 ** int(np.ceil(np.log2(0.045 * sample_rate_hz)))
    padded = np.pad(samples, window // 2, mode="constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1).T) ** 2
    return power, np.fft.rfftfreq(window, 1 / sample_rate_hz), np.arange(len(frames)) * (window // 4) / sample_rate_hz


def relative_level_db(power: np.ndarray, loudest: float) -> np.ndarray:
    """Level of powers in dB re the loudest, not below FLOOR_DB."""
    return 10 * np.log10(np.maximum(power / max(loudest, 1e-20), 10 ** (FLOOR_DB / 10)))


def _spectrogram(axes: Axes, wav: Path, pitch: pd.DataFrame) -> None:
    """Level in dB re its maximum over time and log frequency, with the measured fundamental on it."""
    audio, sample_rate_hz = soundfile.read(wav, always_2d=True)
    level, frequency, time = level_db(audio.mean(axis=1), sample_rate_hz)
    axes.grid(False)
    image = axes.pcolormesh(time, frequency[1:], level[1:], cmap="cividis", vmin=FLOOR_DB, vmax=0, rasterized=True)
    axes.plot(pitch["time_s"], 440 * 2 ** ((pitch["value"] - 69) / 12), ".", color="white", markersize=2.4)
    style.value_ticks(axes, [50, 100, 200, 500, 1000, 2000, 5000, 10000], "y")
    axes.set_ylim(max(40, frequency[1]), sample_rate_hz / 2)
    axes.set_xlim(0, len(audio) / sample_rate_hz)
    axes.set_ylabel("frequency (Hz)")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=14, ticks=[-80, -40, 0])
    bar.set_label("level (dB re max)")
    bar.outline.set_visible(False)
