"""Every figure is drawn from synthetic results: of the demo's size, of the paper's, and of one cell."""

import pytest
from figure_drawing import FIGURES, draw_all
from PIL import Image
from synthetic_results import SyntheticResults, write

SIZES = {
    "demo": {},
    "one_cell": {"encoders": ["minirvq"], "expansions": [4], "lams": [0.02], "objective_encoders": []},
    "other_attributes": {"encoders": ["minivae"], "attributes": ["timbre", "amplitude"], "lams": [0.005, 0.15]},
}


@pytest.fixture(scope="module", params=SIZES)
def drawn(request, tmp_path_factory):
    """A folder with every figure, drawn from results of one size."""
    root = tmp_path_factory.mktemp(request.param)
    return draw_all(write(SyntheticResults(root, **SIZES[request.param])), root / "figures")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_written_in_both_forms(drawn, name):
    with Image.open(drawn / f"{name}.png") as image:
        assert image.width == pytest.approx(2000, abs=2)
        assert image.convert("L").getextrema()[0] < 100, "the figure is blank"
    assert (drawn / f"{name}.svg").read_text().startswith("<?xml")
