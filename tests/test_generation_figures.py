"""Figures of generation: every number of the tables stands where a reader looks for it."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from sonolens.figures import (
    class_axis,
    generation,
    generation_classes,
    generation_controls,
    generation_samples,
    generation_steering,
    style,
)
from sonolens.report import generation_schemas
from sonolens.tracing.convergence import FORMS
from sonolens.tracing.schemas import MODES, PROBES, VIEWS

GENERATORS, ATTRIBUTES = ["bigflow", "miniflow"], ["pitch", "timbre"]
N_STEPS = 5
UNITS = {"pitch": "semitone (MIDI)", "timbre": "Hz"}
CLASSES = {
    "pitch": [f"note {i}" for i in range(20)] + ["unvoiced"],
    "timbre": [f"{100 * i}.0 to {100 * i + 50}.0 Hz" for i in range(12)],
}


def value(*keys) -> float:
    """A number in 0 to 1 that is another one for other keys, and the same in each run."""
    return float(np.random.default_rng([*"/".join(map(str, keys)).encode()]).uniform())


def curves() -> pd.DataFrame:
    """GENERATION with a number of its own in every row; t is not even, and the last step comes first."""
    rows = []
    for *keys, step in itertools.product(GENERATORS, ATTRIBUTES, VIEWS, PROBES, FORMS, reversed(range(N_STEPS))):
        s = value(*keys, step)
        rows.append((*keys, step, (step / (N_STEPS - 1)) ** 2, s, s - 0.1, s + 0.2, 12))
    return pd.DataFrame(rows, columns=generation_schemas.GENERATION.names)


def convergence() -> pd.DataFrame:
    """The last attribute converges at the last step."""
    rows = []
    for keys in itertools.product(GENERATORS, ATTRIBUTES, VIEWS, PROBES, FORMS):
        step = N_STEPS - 1.0 if keys[1] == ATTRIBUTES[-1] else 1 + value(*keys)
        paper = 2.25 if keys[1:] == ("pitch", "x_t", "fitted", FORMS[0]) else np.nan
        rows.append((*keys, step, step - 0.5, min(step + 0.25, N_STEPS - 1), 11, 1, paper))
    return pd.DataFrame(rows, columns=generation_schemas.CONVERGENCE.names)


def own(table: pd.DataFrame, **keys) -> pd.DataFrame:
    """Rows of a table, by their steps."""
    for name, wanted in keys.items():
        table = table[table[name] == wanted]
    return table.sort_values("step")


def line_of(axes, colour: str, linestyle: str = "-"):
    """The only line of a colour and style that has more than one point."""
    (found,) = [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == to_hex(colour)
        and line.get_linestyle() == linestyle
        and len(line.get_xdata()) > 1
    ]
    return found


def points_of(axes, marker: str) -> list[tuple[float, float]]:
    """(x, y) of everything drawn with a marker, NaN left out."""
    found = [tuple(map(float, line.get_xydata()[0])) for line in axes.lines if line.get_marker() == marker]
    return [point for point in found if not np.isnan(point[0])]


def band_of(axes, colour: str) -> np.ndarray:
    """Lowest and highest y of the band of a colour at each x, (n, 2)."""
    (band,) = [
        one
        for one in axes.collections
        if isinstance(one, PolyCollection) and to_hex(one.get_facecolor()[0]) == to_hex(colour)
    ]
    vertices = np.unique(band.get_paths()[0].vertices, axis=0)
    return np.array([[y[vertices[:, 0] == x].min(), y[vertices[:, 0] == x].max()] for y in [vertices[:, 1]] for x in
                     np.unique(vertices[:, 0])])  # fmt: skip


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend(figure) -> dict:
    """What stands in the legend, by its text."""
    (found,) = figure.legends
    return {text.get_text(): line for text, line in zip(found.get_texts(), found.get_lines(), strict=True)}


# ---- evolution


@pytest.fixture(scope="module")
def evolution():
    """Panels by generator and view, (strip, curves)."""
    figure = generation.draw(curves(), convergence(), tolerance=0.1)
    grid = np.array(figure.axes).reshape(4, 2)
    places = itertools.product(enumerate(GENERATORS), enumerate(("x_t", "end_estimate")))
    return figure, {(g, v): (grid[2 * row, column], grid[2 * row + 1, column]) for (row, g), (column, v) in places}


@pytest.mark.parametrize("view", ["x_t", "end_estimate"])
@pytest.mark.parametrize("generator", GENERATORS)
def test_curves_are_those_of_the_table(evolution, generator, view):
    figure, panels = evolution
    axes = panels[generator, view][1]
    for attribute, hue in style.hues(ATTRIBUTES).items():
        mean, sums = (
            own(curves(), generator=generator, view=view, probe="fitted", attribute=attribute, form=form)
            for form in FORMS
        )
        solid = line_of(axes, hue)
        assert solid.get_xdata().tolist() == [*range(N_STEPS)] and solid.get_ydata().tolist() == mean["s"].tolist()
        assert line_of(axes, hue, "--").get_ydata().tolist() == sums["s"].tolist()
        np.testing.assert_allclose(band_of(axes, hue), mean[["s_low", "s_high"]])
        assert to_hex(legend(figure)[attribute].get_color()) == to_hex(hue)
    assert axes.get_xlabel() == "step"
    near = [one for one in axes.patches if isinstance(one, Rectangle)]
    assert [(one.get_y(), one.get_height()) for one in near] == [(pytest.approx(0.9), pytest.approx(0.2))]
    assert "within 10 % of the end" in legend(figure)


def test_convergence_stands_above_its_curve_with_its_interval_beside_the_papers(evolution):
    _, panels = evolution
    for (generator, view), (strip, _) in panels.items():
        of_panel = own(convergence(), generator=generator, view=view, probe="fitted")
        mean, sums = (own(of_panel, form=form).set_index("attribute") for form in FORMS)
        assert [tick.get_text() for tick in strip.get_yticklabels()] == ATTRIBUTES
        assert points_of(strip, "o") == [(mean.loc["pitch", "step"], 0)]
        assert points_of(strip, ">") == [(N_STEPS - 1, 1)], "the last step says: not before the end"
        assert points_of(strip, "|") == [(sums.loc["pitch", "step"], 0), (N_STEPS - 1, 1)]
        assert points_of(strip, "D") == ([(2.25, 0)] if view == "x_t" else [])
        ends = [one.get_segments()[0][:, 0].tolist() for one in strip.collections]
        assert ends == mean[["step_low", "step_high"]].to_numpy().tolist()


def test_time_stands_over_its_step(evolution):
    _, panels = evolution
    (above,) = panels["miniflow", "x_t"][0].child_axes
    shown = dict(zip([tick.get_text() for tick in above.get_xticklabels()], above.get_xticks(), strict=True))
    # t = (step / 4)², straight in between
    assert shown == pytest.approx({"0": 0, "0.25": 2, "0.5": 2.8, "0.75": 3 + (0.75 - 0.5625) / 0.4375, "1": 4})


def test_each_row_says_whose_it_is(evolution):
    _, panels = evolution
    assert [panels[name, "x_t"][0].get_title("left") for name in GENERATORS] == [f"{g}, 12 prompts" for g in GENERATORS]
    assert "(1 − t)" in panels["miniflow", "end_estimate"][0].get_title("right")


# ---- controls


def test_controls_stand_beside_the_path():
    figure = generation_controls.draw(curves())
    panels = np.array(figure.axes).reshape(2, 2)
    keys = legend(figure)
    where = {"shuffled labels": ("x_t", "shuffled"), "path's own ends": ("straight", "fitted"),
             "test recording": ("data", "fitted"), "path itself": ("x_t", "fitted")}  # fmt: skip
    for row, generator in enumerate(GENERATORS):
        for column, attribute in enumerate(ATTRIBUTES):
            axes = panels[row, column]
            assert axes.get_title("right") == attribute and axes.get_xlabel() == "step"
            for words, (view, probe) in where.items():
                (text,) = [text for text in keys if words in text]
                line = line_of(axes, keys[text].get_color(), keys[text].get_linestyle())
                found = own(curves(), generator=generator, attribute=attribute, view=view, probe=probe, form=FORMS[0])
                assert line.get_ydata().tolist() == found["s"].tolist(), text
                np.testing.assert_allclose(band_of(axes, line.get_color()), found[["s_low", "s_high"]])
            assert len(axes.lines) == len(where)
    assert [axes.get_title("left") for axes in panels[:, 0]] == GENERATORS


# ---- classes


def example(generators: list[str] = GENERATORS) -> pd.DataFrame:
    """Mass moves from classes 3 and 4 to class 11; of pitch the last class, unvoiced, gets some too."""
    rows = []
    for generator, view, attribute in itertools.product(generators, ("x_t", "end_estimate"), ATTRIBUTES):
        names = CLASSES[attribute]
        for step, index in itertools.product(range(N_STEPS), range(len(names))):
            share = min(step / 4 * (1 if view == "x_t" else 2), 1)
            p = {3: 0.6 * (1 - share), 4: 0.35 * (1 - share), 11: 0.7 * share}.get(index, 0.001)
            p = 0.2 * share if names[index] == "unvoiced" else p
            text = "a cello & a choir, " + "very " * 40 + "slow"
            rows += [
                (generator, prompt, text, view, attribute, UNITS[attribute], index, names[index], step, p * weight)
                for prompt, weight in (("first", 1.0), ("second", 0.5))
            ]
    return pd.DataFrame(rows, columns=generation_schemas.GENERATION_EXAMPLE.names)


def test_probabilities_are_those_of_the_first_prompt():
    figure = generation_classes.draw(example())
    panels = np.array(figure.axes[:8]).reshape(4, 2)
    assert figure.axes[8].get_ylabel() == "probability, mean over frames"
    kept = {"pitch": [1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 18, 19, 20], "timbre": [1, 2, 3, 4, 5, 6, 9, 10, 11]}
    breaks = {"pitch": [5.5, 10.5], "timbre": [5.5]}
    for row, (generator, view) in enumerate(itertools.product(GENERATORS, ("x_t", "end_estimate"))):
        for axes, attribute in zip(panels[row], ATTRIBUTES, strict=True):
            (mesh,) = [one for one in axes.collections if isinstance(one, QuadMesh)]
            of_panel = own(example(), generator=generator, view=view, attribute=attribute, prompt_id="first")
            grid = of_panel.pivot(index="class_index", columns="step", values="probability").loc[kept[attribute]]
            np.testing.assert_array_equal(mesh.get_array(), grid)
            assert mesh.norm.vmin == 0 and mesh.norm.vmax == pytest.approx(0.7)
            assert [line.get_ydata()[0] for line in axes.lines] == breaks[attribute]
            assert axes.get_ylabel() == f"{attribute} ({'semitone, MIDI' if attribute == 'pitch' else 'Hz'})"
            at, labels = axes.get_yticks(), [tick.get_text() for tick in axes.get_yticklabels()]
            names = [class_axis.short_name(CLASSES[attribute][kept[attribute][int(y)]], "Hz") for y in at]
            assert labels == names and at[0] == 0 and at[-1] == len(kept[attribute]) - 1
    assert panels[0, 0].get_title("left").startswith("bigflow: “a cello & a choir, very very")
    assert panels[0, 0].get_title("left").count("\n") <= 3 and "…" in panels[0, 0].get_title("left")
    assert panels[-1, 0].get_xlabel() == "step"


def test_classes_that_never_get_probable_are_all_there_if_none_does():
    faint = example(["miniflow"]).assign(probability=0.001)
    kept = generation_classes.shown_classes(faint[faint["attribute"] == "timbre"])
    assert kept == [*range(12)]


@pytest.mark.parametrize(
    ("name", "unit", "short"),
    [
        ("-20.0 to -15.0 dBFS", "dBFS", "−17.5"),
        ("1200 to 1400 Hz", "Hz", "1300"),
        ("C♯4", "semitone (MIDI)", "C♯4"),
        ("far to near", "m", "far to near"),
    ],
)
def test_a_bin_is_called_by_its_centre(name, unit, short):
    assert class_axis.short_name(name, unit) == short


def test_few_of_many_classes_are_named():
    assert class_axis.few(["a", "b", "c"], "Hz") == ([0, 1, 2], ["a", "b", "c"])
    at, names = class_axis.few([str(i) for i in range(61)], "Hz", n_shown=4)
    assert at == [0, 20, 40, 60] and names == ["0", "20", "40", "60"]


# ---- samples


def samples() -> pd.DataFrame:
    rows = []
    for generator, attribute, source in itertools.product(GENERATORS, ATTRIBUTES, ("generated", "noise", "test")):
        for index in range(-1, len(CLASSES[attribute])):
            share = value(generator, attribute, source, index) / 10
            name = "" if index < 0 else CLASSES[attribute][index]
            of = (generator, attribute, UNITS[attribute], source, index, name)
            rows.append((*of, share, share - 0.01, share + 0.02, 9))
    return pd.DataFrame(rows, columns=generation_schemas.GENERATION_SAMPLES.names)


def distances() -> pd.DataFrame:
    rows = []
    for position, (generator, embedding) in enumerate(itertools.product(GENERATORS, ("clap", "log_mel"))):
        for n, source in enumerate(("generated", "noise", "codec")):
            distance = 3.0 * position + n + 1
            as_is = np.nan if (embedding, source) == ("log_mel", "codec") else 1.5 * distance
            distance = np.nan if embedding == "log_mel" and source != "generated" else distance
            rows.append((generator, embedding, source, distance, as_is, 1000 * (n + 1)))
    return pd.DataFrame(rows, columns=generation_schemas.GENERATION_DISTANCES.names)


def test_shares_of_classes_by_source():
    figure = generation_samples.draw(samples(), distances())
    keys = legend(figure)
    hues = {"generated": "generated", "noise, decoded": "noise", "test recordings": "test"}
    panels = [axes for axes in figure.axes if "without a class" in axes.get_xlabel() or "unvoiced" in axes.get_xlabel()]
    for axes, (generator, attribute) in zip(panels, itertools.product(GENERATORS, ATTRIBUTES), strict=True):
        of_panel = samples()[(samples()["generator"] == generator) & (samples()["attribute"] == attribute)]
        for text, source in hues.items():
            of_source = of_panel[of_panel["source"] == source]
            found = of_source[(of_source["class_index"] >= 0) & (of_source["class"] != "unvoiced")]
            colour = keys[text].get_color()
            (line,) = [one for one in axes.lines if one.get_color() == colour]
            assert line.get_drawstyle() == "steps-mid"
            assert line.get_xydata().tolist() == found[["class_index", "share"]].to_numpy().tolist()
            band = band_of(axes, colour)
            assert band[:, 0].min() == pytest.approx(found["share_low"].min())
            assert band[:, 1].max() == pytest.approx(found["share_high"].max())
            apart = of_source["class"] == "unvoiced" if attribute == "pitch" else of_source["class_index"] < 0
            without = of_source[apart]["share"].item()
            assert f"{source} {100 * without:.0f} %" in axes.get_xlabel().replace("\n", " ")
        assert axes.get_xlabel().startswith(f"{attribute} (")
        labels = [tick.get_text() for tick in axes.get_xticklabels()]
        assert attribute == "pitch" or labels[-1] == "1125"
        assert axes.get_xticks()[-1] == len(CLASSES[attribute]) - 1 - (attribute == "pitch")


def test_distances_have_bars_numbers_and_windows():
    figure = generation_samples.draw(samples(), distances())
    panels = [axes for axes in figure.axes if "Fréchet" in axes.get_xlabel()]
    for axes, (generator, embedding) in zip(panels, itertools.product(GENERATORS, ("clap", "log_mel")), strict=True):
        assert axes.get_xlabel() == f"Fréchet distance\nby {embedding}"
        of_panel = distances()[(distances()["generator"] == generator) & (distances()["embedding"] == embedding)]
        found = of_panel.dropna()
        assert [bar.get_width() for bar in axes.patches] == found["distance"].tolist()
        assert [to_rgb(bar.get_facecolor()) for bar in axes.patches] == [
            to_rgb(generation_samples.LOOKS[source][1]["color"]) for source in found["source"]
        ]
        as_is = of_panel["distance_as_is"].dropna().tolist()
        assert [line.get_xdata()[0] for line in axes.lines] == as_is
        numbers = [f"{distance:.3g}" for distance in found["distance"]]
        assert [text for text in texts(axes) if text in numbers] == numbers
        if embedding == "log_mel":
            assert [text for text in texts(axes) if text not in numbers] == [
                f"< {as_is[1]:.3g}",
                " next to nothing sounds",
            ]
        assert axes.get_xlim()[0] <= 0 and axes.get_xlim()[1] > max(as_is)
        ticks = ["generated\n1,000 windows", "noise\n2,000 windows", "codec\n3,000 windows"]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ticks


def test_without_an_embedding_it_says_so():
    figure = generation_samples.draw(samples(), distances()[:0])
    assert [text for axes in figure.axes for text in texts(axes)] == ["no embedding\nis configured"] * 2


# ---- steering


STEPS, ALPHAS = [0, 2, 4], [10.0, 0.5]


def steering() -> pd.DataFrame:
    rows = []
    quantities = {"shift_towards": "dB", "probability": "dB", "probability_before": "dB", "hit_rate": "dB"}
    for *keys, step, alpha in itertools.product(GENERATORS, ATTRIBUTES, ("C4", "all"), MODES, STEPS, ALPHAS):
        for quantity, unit in quantities.items():
            # without the vector all conditions of an attribute are alike
            of = (keys[0], keys[1], keys[2]) if quantity == "probability_before" else (*keys, step, alpha)
            found = value(*of, quantity)
            rows.append((*keys, step, alpha, unit, quantity, found, found - 0.05, found + 0.1, 7))
    return pd.DataFrame(rows, columns=generation_schemas.GENERATION_STEERING.names)


def test_shift_and_probability_against_the_step():
    figure = generation_steering.draw(steering())
    keys = legend(figure)
    panels = np.array(figure.axes).reshape(4, 2)
    colours = {"on": keys["added from this step on"].get_color(), "once": keys["added at this step alone"].get_color()}
    for (row, generator), (column, attribute) in itertools.product(enumerate(GENERATORS), enumerate(ATTRIBUTES)):
        for quantity, axes in zip(("shift_towards", "probability"), panels[2 * row : 2 * row + 2, column], strict=True):
            for mode, alpha in itertools.product(MODES, ALPHAS):
                marker = keys[f"α {alpha:g}"].get_marker()
                (line,) = [one for one in axes.lines if one.get_color() == colours[mode] and one.get_marker() == marker]
                found = own(
                    steering(), generator=generator, attribute=attribute, mode=mode, alpha=alpha, quantity=quantity,
                    **{"class": "all"},
                )  # fmt: skip
                assert line.get_xydata().tolist() == found[["step", "value"]].to_numpy().tolist()
                ends = [
                    [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
                    for bars in axes.containers
                    if bars.lines[0] is line
                ]
                np.testing.assert_allclose(ends[0], found[["low", "high"]])
            assert len(axes.containers) == len(MODES) * len(ALPHAS), "classes are drawn together"
        before = own(steering(), generator=generator, attribute=attribute, quantity="probability_before", mode="on",
                     alpha=10.0, **{"class": "all"})  # fmt: skip
        dashed = keys["without it"]
        line = line_of(axes, dashed.get_color(), "--")
        assert line.get_xydata().tolist() == before[["step", "value"]].to_numpy().tolist()
        np.testing.assert_allclose(band_of(axes, dashed.get_color()), before[["low", "high"]])
        assert axes.get_xlabel() == "step at which it is added" and "probability" in axes.get_ylabel()
        above = panels[2 * row, column]
        assert above.get_ylabel() == f"{attribute} (dB)\nmoved towards the class"
    assert panels[2, 0].get_title("left") == "miniflow, 7 prompts"


# ---- nothing


def test_a_run_that_generates_nothing_says_so_in_one_line():
    empty = {
        name: getattr(generation_schemas, name).empty_table().to_pandas()
        for name in ("GENERATION", "CONVERGENCE", "GENERATION_EXAMPLE", "GENERATION_SAMPLES", "GENERATION_DISTANCES",
                     "GENERATION_STEERING")
    }  # fmt: skip
    figures = {
        generation.draw(empty["GENERATION"], empty["CONVERGENCE"], 0.05): "This run generates nothing.",
        generation_controls.draw(empty["GENERATION"]): "This run generates nothing.",
        generation_classes.draw(empty["GENERATION_EXAMPLE"]): "This run generates nothing.",
        generation_samples.draw(empty["GENERATION_SAMPLES"], empty["GENERATION_DISTANCES"]): (
            "This run generates nothing."
        ),
        generation_steering.draw(empty["GENERATION_STEERING"]): "This run steers no generation.",
    }
    for figure, said in figures.items():
        (axes,) = figure.axes
        assert texts(axes) == [said]
