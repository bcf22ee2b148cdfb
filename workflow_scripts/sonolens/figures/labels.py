"""What the label check found."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sonolens.figures import style
from sonolens.report.data_tables import label_check


class Measure(NamedTuple):
    """A column of the check, what it is, and whether its axis is that of all shares, 0 to 1."""

    column: str
    label: str
    is_whole_share: bool


MEASURES = [
    Measure("within_50_cents", "within 50 cents\n(share of voiced)", True),
    Measure("octave_error_share", "octave errors\n(share of voiced)", False),
    Measure("voicing_recall", "found voiced\n(share of voiced)", True),
    Measure("voicing_false_alarm", "falsely voiced\n(share of silent)", False),
    Measure("median_abs_cents", "median distance\n(cents)", False),
]
# What frames, its marker's face where it is all of a dataset and where it is a part, and its place in a dataset's row
EXTENTS = {
    "all": ("all frames in which one note sounds", "white", "white", 0.17),
    "sustained": ("between a note's attack and release", style.BLUE, style.SKY, -0.17),
}
ALL = "all"
MOST_INSTRUMENTS = 8  # of a dataset, those with the most frames
FRAMES_PER_MINUTE = 6000
LONGEST_NAME = 28  # letters that fit before the numbers
ROW_HEIGHT_IN = {"dataset": 0.34, "part": 0.175, "note": 0.175, "unscored": 0.26, "gap": 0.11}


class Row(NamedTuple):
    """A line of the figure: a dataset, scored or not, a part of one, a note, or the gap under a dataset."""

    role: str
    text: str
    indent: int = 0
    figures: dict[str, pd.Series] | None = None  # by extent, of label_check
    note: str = ""  # behind a dataset's name; in the place of points where there are none


def draw(check_path: str) -> Figure:
    """One panel per figure of the check; a row per dataset, and under it its kinds and instruments.

    check_path: results/labels/check.json
    """
    check = label_check(check_path)
    if not check["n_frames"].any():
        figure, panels = style.new_figure(1, 1, row_height_in=1.2)
        why = "\n".join(f"{row.dataset}: {row.reason}" for row in check.itertuples())
        style.say(panels[0, 0], f"the labels could not be checked\n{why}")
        return figure
    rows = [row for dataset in style.in_order(check["dataset"]) for row in _rows(check[check["dataset"] == dataset])]
    heights = [ROW_HEIGHT_IN[row.role] for row in rows]
    ends = pd.Series(heights).cumsum()
    middles = ends - pd.Series(heights) / 2
    figure, panels = style.new_figure(
        1, 1 + len(MEASURES), row_height_in=0.6 + sum(heights), sharey=True, width_ratios=[2.15] + [1] * len(MEASURES)
    )
    for axes in panels[0]:
        _shade(axes, rows, middles)
    for measure, axes in zip(MEASURES, panels[0, 1:], strict=True):
        for row, middle in zip(rows, middles, strict=True):
            _draw_row(axes, measure, row, middle)
        _format(axes, measure)
    _name_rows(panels[0, 0], rows, middles)
    _write_values(panels[0, 1], rows, middles)
    panels[0, 0].set_ylim(sum(heights), 0)
    style.legend_above(figure, _keys(), "")
    return figure


def _rows(check: pd.DataFrame) -> list[Row]:
    """The rows of one dataset: kinds only where there are several, instruments where a kind has several."""
    dataset, whole = check["dataset"].iloc[0], check[check["kind"] == ALL]
    if not whole["n_frames"].any():
        return [Row("unscored", dataset, note=whole["reason"].iloc[0])]
    parts = check[(check["kind"] != ALL) & (check["n_frames"] > 0)]
    kinds, instruments = parts[parts["instrument"] == ALL], parts[parts["instrument"] != ALL]
    in_kinds, by_instrument = (part[part["frames"] == ALL] for part in (kinds, instruments))
    if len(by_instrument) == 1:
        return [Row("dataset", dataset, 0, _by_extent(whole), by_instrument["instrument"].iloc[0]), Row("gap", "")]
    most = by_instrument.nlargest(MOST_INSTRUMENTS, "n_frames", keep="first")
    rows = [Row("dataset", dataset, 0, _by_extent(whole), in_kinds["kind"].iloc[0] if len(in_kinds) == 1 else "")]
    for kind in in_kinds.sort_values("n_frames", ascending=False)["kind"]:
        if len(in_kinds) > 1:
            rows.append(Row("part", kind, 1, _by_extent(kinds[kinds["kind"] == kind])))
        for name in most.loc[most["kind"] == kind, "instrument"]:
            own = instruments[(instruments["kind"] == kind) & (instruments["instrument"] == name)]
            rows.append(Row("part", name or "unnamed", 1 + (len(in_kinds) > 1), _by_extent(own)))
    n_more = len(by_instrument) - len(most)
    more = [Row("note", f"and {n_more} more, in labels.csv", 1)] if n_more else []
    return [*rows, *more, Row("gap", "")]


def _by_extent(check: pd.DataFrame) -> dict[str, pd.Series]:
    return {row["frames"]: row for _, row in check.iterrows() if row["n_frames"]}


def _draw_row(axes: Axes, measure: Measure, row: Row, middle: float) -> None:
    """The points of a row: all of a dataset with its interval, or a part, smaller and paler."""
    is_whole = row.role == "dataset"
    for extent, figures in (row.figures or {}).items():
        _, face, part_face, place = EXTENTS[extent]
        value, y = figures[measure.column], middle - place * ROW_HEIGHT_IN["dataset"] * is_whole
        if pd.isna(value):
            continue
        low = f"{measure.column}_low"
        if is_whole and low in figures and pd.notna(figures[low]):
            axes.hlines(y, figures[low], figures[f"{measure.column}_high"], color=style.BLUE, lw=1.3, zorder=2)
        colour, size = (style.BLUE, 6) if is_whole else (style.SKY, 4)
        face = face if is_whole else part_face
        axes.plot(value, y, "o", color=colour, markerfacecolor=face, markersize=size, zorder=3, clip_on=False)


def _shade(axes: Axes, rows: list[Row], middles: pd.Series) -> None:
    """A band behind every dataset's own row, so that datasets are told from their parts at a glance."""
    for row, middle in zip(rows, middles, strict=True):
        if row.role in ("dataset", "unscored"):
            half = ROW_HEIGHT_IN[row.role] / 2 - 0.01
            axes.axhspan(middle - half, middle + half, color=style.PALEST, alpha=0.7, lw=0, zorder=0)


def _name_rows(axes: Axes, rows: list[Row], middles: pd.Series) -> None:
    """The text beside the panels: who plays, in how many clips, and how many minutes are scored."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    for x, text in ((0.8, "clips"), (0.98, "minutes\nscored")):
        axes.text(x, 1.0, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color=style.GREY)
    for row, middle in zip(rows, middles, strict=True):
        weight, size = ("bold", 9) if row.role == "dataset" else ("normal", 9 if row.role == "unscored" else 8)
        colour = style.BLACK if row.figures else style.GREY
        name = axes.text(0.02 + 0.06 * row.indent, middle, row.text, va="center", color=colour, fontsize=size)
        name.set_fontweight(weight)
        if row.note and row.figures and len(row.text + row.note) <= LONGEST_NAME:
            place = {"xycoords": name, "xytext": (5, 0), "textcoords": "offset points"}
            axes.annotate(row.note, (1, 0.5), va="center", color=style.GREY, fontsize=8, **place)
        if row.figures:
            scored = row.figures[ALL]
            minutes = scored["n_frames"] / FRAMES_PER_MINUTE
            texts = (f"{scored['n_clips']:,}", f"{minutes:,.0f}" if minutes >= 10 else f"{minutes:.1f}")
            for x, text in zip((0.8, 0.98), texts, strict=True):
                axes.text(x, middle, text, ha="right", va="center", fontsize=8, fontweight=weight)


def _write_values(axes: Axes, rows: list[Row], middles: pd.Series) -> None:
    """In the first panel: each dataset's share as a number, or why it has none."""
    for row, middle in zip(rows, middles, strict=True):
        if row.role == "unscored":
            note = axes.text(0.04, middle, row.note, va="center", color=style.GREY, fontsize=8.5, style="italic")
            note.set_in_layout(False)  # it may reach into the next panel
        elif row.role == "dataset":
            share = row.figures[ALL][MEASURES[0].column]
            x = 0.06 if share > 0.45 else 0.7
            axes.text(x, middle, f"{share:.3f}", va="center", color=style.BLUE, fontweight="bold")


def _format(axes: Axes, measure: Measure) -> None:
    axes.set_xlabel(measure.label)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.grid(axis="y", visible=False)
    if measure.is_whole_share:
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    else:
        axes.set_xlim(0, axes.get_xlim()[1] * 1.04)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _keys() -> list:
    keys = [
        style.key(name, marker="o", linestyle="none", color=style.BLUE, markerfacecolor=face)
        for name, face, _, _ in EXTENTS.values()
    ]
    return [*keys, style.key("95 % interval over clips", color=style.BLUE, lw=1.3)]
