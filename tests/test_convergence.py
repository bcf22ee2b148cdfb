"""Curves from noise to end, and when they converge, on numbers small enough to work out by hand."""

import numpy as np
import pytest

from sonolens.report.resampling import draws, interval
from sonolens.tracing.convergence import FORMS, convergence_step, convergence_steps, curves, mean_curves


def of(classes: list[list[float]], form: str, floor: float = 0.01) -> list[float]:
    """s of one prompt from the course of each of its classes, (K, n_steps)."""
    return curves(np.array(classes, float).T[None], form, floor)[0].tolist()


def test_classes_count_alike_in_the_papers_form_and_by_their_way_in_the_other():
    # ways 0.4 and 0.1; half and all of them at step 1
    classes = [[0.1, 0.3, 0.5], [0.3, 0.2, 0.2]]
    assert of(classes, "mean_of_ratios") == pytest.approx([0, (0.5 + 1) / 2, 1])
    assert of(classes, "ratio_of_sums") == pytest.approx([0, (0.2 + 0.1) / 0.5, 1])


@pytest.mark.parametrize("way", [0.0, 0.009])
def test_a_class_that_hardly_moves_is_left_out_of_the_papers_form_only(way):
    classes = [[0.1, 0.3, 0.5], [0.3, 0.5, 0.3 + way]]
    assert of(classes, "mean_of_ratios") == pytest.approx([0, 0.5, 1])
    assert of(classes, "ratio_of_sums") == pytest.approx([0, 0.4 / (0.4 + way), 1])


def test_a_class_that_moves_by_the_floor_counts():
    assert of([[0.0, 0.5, 1.0], [0.0, 0.25, 0.25]], "mean_of_ratios", 0.25) == pytest.approx([0, 0.75, 1])


def test_the_papers_form_is_cut_at_one_and_the_other_is_not():
    classes = [[0.2, 0.8, 0.4], [0.5, 0.5, 0.3]]
    assert of(classes, "mean_of_ratios") == pytest.approx([0, 0.5, 1])
    assert of(classes, "ratio_of_sums") == pytest.approx([0, 0.6 / 0.4, 1])


def test_a_way_back_is_a_way():
    assert of([[0.4, 0.6, 0.0]], "mean_of_ratios") == pytest.approx([0, 0.5, 1])


def test_nothing_that_moves_gives_no_curve_and_no_step():
    still = [[0.5, 0.9, 0.5], [0.5, 0.1, 0.504]]
    for form in FORMS:
        assert np.isnan(of(still, form)).all()
        assert np.isnan(convergence_step(np.array(of(still, form))))
    # each moves by less than the floor, both of them by more
    both = [[0.5, 0.5, 0.508], [0.5, 0.5, 0.492]]
    assert np.isnan(of(both, "mean_of_ratios")).all()
    assert of(both, "ratio_of_sums") == pytest.approx([0, 0, 1])


def test_a_prompt_depends_on_no_other():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), (4, 7))
    for form in FORMS:
        together = curves(probabilities, form, 0.01)
        assert together.shape == (4, 7)
        assert np.array_equal(together, np.concatenate([curves(one[None], form, 0.01) for one in probabilities]))


def test_a_probability_that_is_not_finite_is_refused():
    probabilities = np.full((2, 3, 2), 0.5)
    probabilities[1, 1, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        curves(probabilities, "mean_of_ratios", 0.01)


@pytest.mark.parametrize(
    ("s", "step"),
    [
        ([0, 0.5, 0.94, 1], 3),  # not before the end
        ([0, 0.5, 0.95, 1], 2),  # the tolerance is still near
        ([0, 0.96, 0.9, 0.97, 1], 3),  # near, and away again
        ([0, 0.97, 0.98, 1], 1),
        ([0, 1.06, 1], 2),  # above counts as below
        ([0, 1.05, 1], 1),
        ([2, 2, 2], 0),  # there from the beginning
        ([0, 0.49, 0.47, 0.5], 3),  # of the end, which is 0.5, not of 1
        ([0, 0.476, 0.48, 0.5], 1),
    ],
)
def test_convergence_is_the_first_step_from_which_it_stays(s, step):
    assert convergence_step(np.array(s, float)) == step


def test_an_even_rise_is_near_its_end_at_step_30():
    assert convergence_step(np.linspace(0, 1, 32)) == 30


def test_steps_of_several_curves_and_another_tolerance():
    s = np.array([[0, 0.8, 1.0], [0, 0.6, 1.0], [np.nan] * 3])
    assert convergence_steps(s, 0.25) == pytest.approx([1, 2, np.nan], nan_ok=True)


def test_means_leave_out_prompts_without_a_curve():
    s = np.array([[0, 0.2, 1], [np.nan] * 3, [0, 0.8, 1]])
    drawn = np.array([[1, 1, 1], [3, 0, 0], [1, 0, 2], [0, 3, 0]], float)
    expected = [[0, 0.5, 1], [0, 0.2, 1], [0, 0.6, 1], [np.nan] * 3]
    assert mean_curves(s, drawn) == pytest.approx(np.array(expected), nan_ok=True)


def test_the_bootstrap_holds_the_spread_of_the_mean():
    # a mean of 100 prompts that are 0.2 or 0.6, as many of each: its standard error is 0.2/10
    s = np.stack([np.array([0, at, 1]) for at in (0.2, 0.6)] * 50)
    means = mean_curves(s, draws(100, 0))
    low, high = interval(means[1:, 1])
    assert means[0, 1] == pytest.approx(0.4)
    assert (low, high) == pytest.approx((0.4 - 1.96 * 0.02, 0.4 + 1.96 * 0.02), abs=0.004)
    assert np.ptp(means[:, 2]) < 1e-12
