"""Every figure is drawn from synthetic results: of the demo's size, and of one cell."""

import pytest
from PIL import Image

from figure_drawing import FIGURES, draw_all
from page_building import demo_page
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
