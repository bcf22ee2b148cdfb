"""How all figures look: palette, type, axes, and the two files each is saved as.

Hues are Okabe & Ito's, ordered scales are cividis: both read with any colour vision. Text is drawn as outlines in the
SVG, so that it looks alike everywhere; neither file carries a date, so that equal data give equal files.
"""

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sonolens.files import replacing

BLACK, GREY, PALE, PALEST = "#1a1a1a", "#767676", "#d9d9d9", "#ededed"
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
# Yellow is left out: it does not show on white
HUES = [BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK]
MARKERS = ["o", "s", "D", "^", "v", "P", "X"]
PAGE_WIDTH_IN = 10.0

RC = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.labelcolor": BLACK,
    "text.color": BLACK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "errorbar.capsize": 0,
    "image.interpolation": "nearest",
    "svg.fonttype": "path",
    "svg.hashsalt": "sonolens",
}


def new_figure(n_rows: int, n_columns: int, row_height_in: float = 2.5, **options) -> tuple[Figure, np.ndarray]:
    """A figure of the page's width with axes (n_rows, n_columns); `options` go to Figure.subplots."""
    matplotlib.rcParams.update(RC)
    figure = Figure(figsize=(PAGE_WIDTH_IN, 0.7 + row_height_in * n_rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.04)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **options)


def save(figure: Figure, png: str, svg: str) -> None:
    """Write both forms: PNG at 200 dpi, and SVG."""
    # laid out once, not once for each form: that is half of the time
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    with replacing(png) as temporary:
        figure.savefig(temporary, dpi=200, metadata={"Software": None})
    with replacing(svg) as temporary:
        figure.savefig(temporary, metadata={"Date": None, "Creator": None})


def scale_colours(values: list[float]) -> dict[float, tuple]:
    """A colour of cividis for each of `values`, by rank; its palest end is left out."""
    ranked = sorted(set(values))
    positions = np.linspace(0.0, 0.86, len(ranked)) if len(ranked) > 1 else [0.2]
    return {value: colormaps["cividis"](position) for value, position in zip(ranked, positions, strict=True)}


def hues(names: list[str]) -> dict[str, str]:
    """A hue for each of `names`, in their order; they repeat after seven."""
    return {name: HUES[i % len(HUES)] for i, name in enumerate(names)}


def in_order(values) -> list:
    """Distinct values in the order in which they first come, which is the config's."""
    return list(dict.fromkeys(values))


def with_unit(name: str, unit: str) -> str:
    """ "pitch (semitone, MIDI)"; a unit's own parentheses become a comma."""
    return f"{name} ({unit.replace(' (', ', ').replace(')', '')})" if unit else name


def row_title(axes: Axes, text: str) -> None:
    """Name a row of panels above its first one."""
    axes.set_title(text, loc="left", fontweight="bold", color=BLACK)


def say(axes: Axes, text: str) -> None:
    """Say in an empty panel why there is nothing to see."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
    axes.set_axis_off()


def points_with_intervals(axes: Axes, x, y, low, high, **options) -> None:
    """Points joined by a line, with 95 % intervals as thin bars. All (n,); a point outside its interval is kept."""
    y, low, high = (np.asarray(values, float) for values in (y, low, high))
    errors = np.clip(np.vstack([y - low, high - y]), 0, None)
    axes.errorbar(x, y, yerr=errors, elinewidth=0.9, **options)


def value_ticks(axes: Axes, values, which: str = "x", gap: float = 0.11) -> None:
    """A logarithmic axis with a tick at each of `values`; labels nearer than `gap` of the axis are left out."""
    values = np.array(sorted(set(values)), float)
    getattr(axes, f"set_{which}scale")("log")
    low, high = (values[0] / 1.6, values[-1] * 1.6) if len(values) == 1 else (values[0], values[-1])
    margin = 0.06 * np.log10(high / low)
    getattr(axes, f"set_{which}lim")(low * 10**-margin, high * 10**margin)
    labels, last = [], -np.inf
    for position in np.log10(values / low) / np.log10(high / low):
        labels.append(position - last >= gap)
        last = position if labels[-1] else last
    texts = [f"{value:g}" if is_shown else "" for value, is_shown in zip(values, labels, strict=True)]
    _fix_ticks(getattr(axes, f"{which}axis"), values, texts)


def log_axis(axes: Axes, which: str = "x") -> None:
    """A logarithmic axis with plain numbers, at 1, 2 and 5 of each decade if it spans few."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def few_ticks() -> MaxNLocator:
    """At most four ticks, for narrow panels with long numbers."""
    return MaxNLocator(4, integer=True)


SPARSITY_TICKS = [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999]


def sparsity_axis(axes: Axes, values, gap: float = 0.13) -> None:
    """An x axis of sparsity on which equal steps are equal factors of the share of *active* features.

    Labels nearer than `gap` of the axis are left out.
    """
    floor = 1e-6
    axes.set_xscale(
        "function",
        functions=(lambda s: -np.log10(np.maximum(1 - s, floor)), lambda z: 1 - 10.0**-z),
    )
    finite = np.clip(np.asarray(values, float), 0, 1 - floor)
    low, high = -np.log10(1 - finite.min()), -np.log10(1 - finite.max())
    margin = max(0.06 * (high - low), 0.03)
    low, high = low - margin, high + margin
    axes.set_xlim(1 - 10.0**-low, 1 - 10.0**-high)
    candidates = [s for s in SPARSITY_TICKS if low <= -np.log10(1 - s) <= high]
    if np.ptp(finite) < 1e-3:
        candidates = [round(float(finite.mean()), 4)]
    elif len(candidates) < 3:
        span = np.linspace(finite.min(), finite.max(), 3)
        digits = int(np.ceil(-np.log10(np.ptp(span)))) + 1
        candidates = sorted({round(float(s), digits) for s in span})
    ticks, last = [], -np.inf
    for s in candidates:
        position = (-np.log10(max(1 - s, floor)) - low) / (high - low)
        if position - last >= gap:
            ticks.append(s)
            last = position
    _fix_ticks(axes.xaxis, ticks, [f"{s:g}" for s in ticks])
    axes.set_xlabel("sparsity")


def _fix_ticks(axis, values, texts: list[str]) -> None:
    axis.set_major_locator(FixedLocator(list(values)))
    axis.set_major_formatter(FixedFormatter(texts))
    axis.set_minor_locator(NullLocator())


def key(label: str, **options) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **options)


def expansion_keys(colours: dict[float, tuple]) -> list[Line2D]:
    """Legend entries for dictionary sizes, as multiples of d_latent."""
    return [key(f"{expansion:g}×", color=colour, marker="o") for expansion, colour in colours.items()]


def legend_above(figure: Figure, keys: list[Line2D], title: str, n_columns: int | None = None) -> None:
    """One legend for all panels, in a line above them, its title as the first entry."""
    entries = [key(title, linestyle="none")] if title else []
    figure.legend(
        handles=entries + keys,
        loc="outside upper left",
        ncols=n_columns or len(keys) + len(entries),
        handlelength=1.6,
        columnspacing=1.3,
        handletextpad=0.5,
    )
