"""One excerpt steered in every attribute: what it looks like, and what is measured on it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.figures.clip import FLOOR_DB, power_spectrum, relative_level_db
from sonolens.figures.steering import nothing
from sonolens.files import read_json
from sonolens.report.steering_tables import curve
from sonolens.steering.methods import PAPER

FREQUENCY_TICKS_HZ = [50, 100, 200, 500, 1000, 2000, 5000, 10000]
STEERED = style.VERMILLION
# white alone is lost on the loudest harmonics
OUTLINED = [patheffects.withStroke(linewidth=2.8, foreground=style.BLACK)]


class Shown(NamedTuple):
    """One attribute of the excerpt, steered to one class with one α."""

    folder: Path
    player: dict  # tracks.json
    unit: str
    position: int  # of the class within the player's
    alpha: float

    @property
    def chosen(self) -> dict:
        """index, name and centre of the class."""
        return self.player["classes"][self.position]

    @property
    def key(self) -> str:
        """Its sound in the player."""
        return f"class~{self.position}/alpha~{self.alpha:g}"

    def samples(self, sound: str) -> tuple[np.ndarray, int]:
        """Audio (n_samples,), the mean of its channels, and its rate in Hz."""
        audio, sample_rate_hz = soundfile.read(self.folder / self.player["sounds"][sound]["wav"], always_2d=True)
        return audio.mean(axis=1), sample_rate_hz

    def track(self, sound: str, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """Time in seconds and value of an attribute, NaN where it is undefined; empty if it is not measured."""
        tracks = self.player["sounds"][sound]["tracks"]
        values = np.array(tracks[attribute] if attribute in tracks else [], float)  # None becomes NaN
        return self.player["first_time_s"] + np.arange(len(values)) * self.player["time_step_s"], values


def shown(tracks_path: str, classes_path: str, steering: pd.DataFrame) -> Shown:
    """The class and α of a player that gain most hits over the unsteered sound; the largest α if none gains any.

    classes_path: the classes.json of that attribute, which knows its unit; steering: schemas.STEERING
    """
    player = read_json(tracks_path)
    where = (player["encoder"], player["cell"]["name"], player["attribute"], PAPER.name)
    options = []
    for position, one in enumerate(player["classes"]):
        rate, before = (curve(steering, *where, name, one["name"]) for name in ("hit_rate", "hit_rate_before"))
        gain = dict(zip(rate["alpha"], (rate["value"] - before["value"]).fillna(0), strict=True))
        options += [(gain[a] if a in gain else 0.0, a, position) for a in map(float, player["alphas"])]
    _, alpha, position = max(options)
    return Shown(Path(tracks_path).parent, player, read_json(classes_path)["unit"], position, alpha)


def draw(tracks_paths: list[str], classes_paths: list[str], steering: pd.DataFrame) -> Figure:
    """The first cell's excerpt: as it was, through the autoencoder, and steered in each attribute, with its track.

    tracks_paths, classes_paths: sounds/tracks.json and classes.json of every steered cell and attribute, in one order;
    steering: schemas.STEERING
    """
    if not tracks_paths:
        return nothing()
    found = [shown(*paths, steering) for paths in zip(tracks_paths, classes_paths, strict=True)]
    first = found[0].player
    found = [one for one in found if (one.player["encoder"], one.player["cell"]) == (first["encoder"], first["cell"])]
    n_columns = max(len(found), 2)
    # the track of a single attribute stands beside its spectrogram, those of several below
    heights = [1, 1, 0.8] if len(found) > 1 else [1, 1]
    figure, axes = style.new_figure(len(heights), n_columns, 2.0, height_ratios=heights, sharex=True)
    for unused in axes[0, 2:]:
        unused.set_axis_off()
    image = _spectrograms([*axes[0, :2], *axes[1, : len(found)]], _panels(found))
    for one, beside in zip(found, axes[2] if len(found) > 1 else axes[1, 1:], strict=True):
        _track(beside, one)
    for lowest in axes[-1]:
        lowest.set_xlabel("time (s)")
    bar = figure.colorbar(image, ax=axes[:2].ravel().tolist(), pad=0.015, aspect=28, ticks=[-80, -60, -40, -20, 0])
    bar.set_label("level (dB re the loudest of all)")
    bar.outline.set_visible(False)
    for left in axes[:2, 0]:
        left.set_ylabel("frequency (Hz)")
    if n_columns > 2:
        axes[0, 2].legend(handles=_keys(), loc="center left", labelspacing=0.9)
    else:
        style.legend_above(figure, _keys(), "")
    return figure


def _panels(found: list[Shown]) -> list[tuple[Shown, str, str]]:
    """Of each spectrogram: whose it is, the sound, and its title."""
    player = found[0].player
    title = f"{player['encoder']}, cell “{player['cell']['name']}” · {player['clip']['clip_id']}"
    panels = [(found[0], "original", f"{title}\noriginal"), (found[0], "sae", "autoencoder alone")]
    for one in found:
        panels.append((one, one.key, f"steered in {one.player['attribute']}, α {one.alpha:g}\n→ {one.chosen['name']}"))
    return panels


def _keys() -> list:
    pitch = style.key("pitch, on the spectrograms", color="white", lw=1.3, path_effects=OUTLINED)
    return [
        style.key("original", color=style.BLACK, lw=2.4),
        style.key("autoencoder alone", color=style.SKY, lw=1.3),
        style.key("steered", color=STEERED, lw=1.8),
        style.key("centre of the class", color=STEERED, linestyle=(0, (1, 1.5)), lw=1.2),
        pitch,
    ]


def _spectrograms(grid: list[Axes], panels: list[tuple[Shown, str, str]]):
    """One panel per sound on a common scale of level; returns an image for the colour bar."""
    spectra = [power_spectrum(*one.samples(sound)) for one, sound, _ in panels]
    loudest = max(float(spectrum.max()) for spectrum, _, _ in spectra)
    for axes, (one, sound, title), (spectrum, frequency, time) in zip(grid, panels, spectra, strict=True):
        level = relative_level_db(spectrum, loudest)
        axes.grid(False)
        image = axes.pcolormesh(time, frequency[1:], level[1:], cmap="cividis", vmin=FLOOR_DB, vmax=0, rasterized=True)
        at, midi = one.track(sound, "pitch")
        axes.plot(at, 440 * 2 ** ((midi - 69) / 12), color="white", lw=1.3, path_effects=OUTLINED)
        style.value_ticks(axes, FREQUENCY_TICKS_HZ, "y")
        axes.set_ylim(max(40, frequency[1]), frequency[-1])
        axes.set_xlim(0, time[-1])
        axes.set_title(title, loc="left")
    return image


def _track(axes: Axes, one: Shown) -> None:
    """The steered attribute before and after, and the centre of the class, if that has one."""
    attribute = one.player["attribute"]
    for sound, options in (
        ("original", {"color": style.BLACK, "lw": 2.4}),
        ("sae", {"color": style.SKY, "lw": 1.3}),
        (one.key, {"color": STEERED, "lw": 1.8}),
    ):
        axes.plot(*one.track(sound, attribute), **options)
    if one.chosen["centre"] is not None:
        axes.axhline(one.chosen["centre"], color=STEERED, linestyle=(0, (1, 1.5)), lw=1.2)
    axes.set_ylabel(style.with_unit(attribute, one.unit))
