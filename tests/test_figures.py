"""Every figure is drawn from synthetic results: of the demo's size, and of one cell."""

import pytest
from PIL import Image

import synthetic_data
from figure_drawing import FIGURES, draw_all
from page_building import demo_page
from sonolens.figures import labels, steering, steering_example, steering_methods
from sonolens.files import read_json, write_json
from sonolens.report import schemas
from synthetic_results import SyntheticResults, write

# Nothing to compare, no pitch, no second encoder
ONE_CELL = {
    "encoders": ["minirvq"],
    "expansions": [4],
    "lams": [0.02],
    "attributes": ["timbre"],
    "objective_encoders": [],
}


@pytest.fixture(scope="module", params=["demo", "one_cell"])
def drawn(request, tmp_path_factory):
    """A folder with every figure, drawn from results of one size."""
    if request.param == "demo":
        return demo_page(tmp_path_factory).parent / "figures"
    root = tmp_path_factory.mktemp("one_cell")
    return draw_all(write(SyntheticResults(root, **ONE_CELL)), root / "figures")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_written_in_both_forms(drawn, name):
    with Image.open(drawn / f"{name}.png") as image:
        assert image.width == pytest.approx(2000, abs=2)
        assert image.convert("L").getextrema()[0] < 130, "the figure is blank"
    assert (drawn / f"{name}.svg").read_text().startswith("<?xml")


def test_figures_of_steering_say_so_where_nothing_is_steered():
    empty = schemas.STEERING.empty_table().to_pandas()
    for figure in (steering.draw(empty), steering_methods.draw(empty), steering_example.draw([], [], empty)):
        (axes,) = figure.axes
        assert [text.get_text() for text in axes.texts] == ["This run steers nothing."]


def texts_of_the_label_check(root, datasets: list[synthetic_data.Dataset]) -> list[str]:
    """What stands beside and in the panels, from top to bottom."""
    synthetic_data.write(datasets, lambda path: str(root / path))
    figure = labels.draw(str(root / "results/labels/check.json"))
    figure.canvas.draw()
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_label_check_shows_all_datasets_also_those_without_a_truth(tmp_path):
    texts = texts_of_the_label_check(tmp_path, synthetic_data.PAPERS_FIVE)
    names = [dataset.name for dataset in synthetic_data.PAPERS_FIVE]
    assert [text for text in texts if text in names] == names
    assert "no truth" in texts and "drums: no pitch" in texts
    check = read_json(tmp_path / "results/labels/check.json")["rows"]
    headlines = [row for row in check if row["kind"] == row["frames"] == "all" and row["n_frames"]]
    shares = [f"{row['within_50_cents']:.3f}" for row in headlines]
    assert len(shares) == 3 and [text for text in texts if text in shares] == shares
    assert texts.count(f"{headlines[0]['n_clips']:,}") == 1
    assert f"{headlines[0]['n_frames'] / 6000:.0f}" in texts


def test_only_the_instruments_with_most_frames_have_a_row(tmp_path):
    texts = texts_of_the_label_check(tmp_path, synthetic_data.PAPERS_FIVE)
    shown = [text for text in texts if text in synthetic_data.COCOCHORALES]
    assert (
        shown == synthetic_data.COCOCHORALES[: -labels.MOST_INSTRUMENTS - 1 : -1]
    )  # each has more than the one before
    assert "and 9 more, in labels.csv" in texts
    assert {"solo", "mix"} <= set(texts)


def test_points_of_the_label_check_lie_where_the_figures_are(tmp_path):
    synthetic_data.write(synthetic_data.PAPERS_FIVE, lambda path: str(tmp_path / path))
    path = tmp_path / "results/labels/check.json"
    check = [row for row in read_json(path)["rows"] if row["dataset"] == "maestro" and row["kind"] == "all"]
    write_json(path, {"rows": check})
    figure = labels.draw(str(path))
    for measure, axes in zip(labels.MEASURES, figure.axes[1:], strict=True):
        points = [line.get_xdata()[0] for line in axes.lines]
        assert sorted(points) == sorted(row[measure.column] for row in check if row[measure.column] is not None)
    ends = [segment[:, 0].tolist() for bars in figure.axes[1].collections for segment in bars.get_segments()]
    assert sorted(ends) == sorted([row["within_50_cents_low"], row["within_50_cents_high"]] for row in check)


def test_a_check_without_any_truth_says_why(tmp_path):
    (text,) = texts_of_the_label_check(tmp_path, synthetic_data.PAPERS_FIVE[1:3])
    assert "damp_vsep: no truth" in text and "groove: drums: no pitch" in text
