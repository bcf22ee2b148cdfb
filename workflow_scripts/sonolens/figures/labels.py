"""What the label check found."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sonolens.figures import style
from sonolens.report.data_tables import label_check

# column of the check, its label, whether it is a share
MEASURES = [
    ("within_50_cents", "within 50 cents\n(share of voiced frames)", True),
    ("octave_error_share", "octave errors\n(share of voiced frames)", True),
    ("voicing_recall", "found voiced\n(share of voiced frames)", True),
    ("voicing_false_alarm", "falsely voiced\n(share of silent frames)", True),
    ("median_abs_cents", "median distance\n(cents)", False),
]
EXTENTS = {"all": ("white", "all frames"), "sustained": (style.BLUE, "between a note's attack and release")}


def draw(check_path: str) -> Figure:
    """One panel per figure of the check, one line per kind of recording and per instrument in it.

    check_path: results/labels/check.json
    """
    check = label_check(check_path)
    if check.empty:
        figure, panels = style.new_figure(1, 1, row_height_in=1.2)
        style.say(panels[0, 0], "no recording came with a score or an f0 track, so the labels could not be checked")
        return figure
    check["line"] = [_line(row) for row in check.itertuples()]
    lines = sorted(check["line"].unique(), key=lambda line: (line.split(" · ")[:2], " · all " not in line, line))
    height = 0.55 + 0.24 * len(lines)
    figure, panels = style.new_figure(1, len(MEASURES), row_height_in=height, sharey=True)
    for (measure, label, is_share), axes in zip(MEASURES, panels[0], strict=True):
        for extent, (face, _) in EXTENTS.items():
            own = check[(check["frames"] == extent) & check[measure].notna()]
            rows = [lines.index(line) for line in own["line"]]
            axes.plot(own[measure].astype(float), rows, "o", color=style.BLUE, markerfacecolor=face, markersize=5.5)
        _format(axes, lines, label, is_share)
    keys = [
        style.key(name, marker="o", linestyle="none", color=style.BLUE, markerfacecolor=face)
        for face, name in EXTENTS.values()
    ]
    style.legend_above(figure, keys, "")
    return figure


def _line(row) -> str:
    """ "chorales · mix · all (12 clips)": who plays, and in how many recordings."""
    clips = f"{row.n_clips} clip{'s' if row.n_clips > 1 else ''}"
    return f"{row.dataset} · {row.kind} · {row.instrument or 'unnamed'} ({clips})"


def _format(axes: Axes, lines: list[str], label: str, is_share: bool) -> None:
    axes.set_yticks(range(len(lines)), lines)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel(label)
    if is_share:
        axes.set_xlim(-0.06, 1.06)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    else:
        axes.set_xlim(left=0)
    for position, line in enumerate(lines):
        if " · all " in line:
            axes.axhspan(position - 0.5, position + 0.5, color=style.PALEST, alpha=0.6, lw=0, zorder=0)
