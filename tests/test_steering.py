"""Control vectors: what is added, over time and together, how strongly, and what the two tracks say it did."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sonolens.cell_selection import best_of
from sonolens.labels.bins import Bins
from sonolens.latents import Scaling
from sonolens.sae.model import SparseAutoencoder, rms_norm
from sonolens.steering import choosing, control, effects, envelope, methods, strength
from sonolens.steering.cell import Cell
from sonolens.steering.control import Control

D, F, B = 4, 12, 9


@pytest.fixture
def model() -> SparseAutoencoder:
    model = SparseAutoencoder(D, F)
    model.initialise(torch.Generator().manual_seed(3))
    return model.requires_grad_(False)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(4))


def direction(seed: int, width: int = F) -> torch.Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


def alphas(value: float) -> torch.Tensor:
    return torch.full((B,), value)


def test_the_papers_formula(model, x):
    f, w = model.encode(x).f.double(), direction(1).double()
    summed = f + 7 * w
    by_hand = summed / summed.square().mean(dim=1, keepdim=True).sqrt()
    steered = control.steer_code(f.float(), [Control(w.float(), alphas(7))])
    assert torch.allclose(steered.double(), by_hand, atol=1e-5)
    assert (steered < 0).any(), "values may become negative"


def test_alpha_zero_is_the_reconstruction_bit_for_bit(model, x):
    plain = model(x)
    zero = control.steered_reconstruction(model, x, [Control(direction(1), alphas(0))])
    assert torch.equal(zero, plain)
    assert torch.equal(control.steered_reconstruction(model, x, []), plain)
    # the norm of a normalised code would change it
    assert not torch.equal(rms_norm(model.encode(x).f), model.encode(x).f)


def test_only_frames_with_an_alpha_change(model, x):
    over_time = alphas(0)
    over_time[3:6] = 20
    plain, steered = model(x), control.steered_reconstruction(model, x, [Control(direction(1), over_time)])
    is_same = (steered == plain).all(dim=1)
    assert is_same.tolist() == [True] * 3 + [False] * 3 + [True] * 3


def test_several_controls_add_up_before_one_norm(model, x):
    f, one, two = model.encode(x).f, direction(1), direction(2)
    both = control.steer_code(f, [Control(one, alphas(3)), Control(two, alphas(-5))])
    assert torch.allclose(both, rms_norm(f + 3 * one - 5 * two), atol=1e-5)
    one_after_the_other = control.steer_code(
        control.steer_code(f, [Control(one, alphas(3))]), [Control(two, alphas(-5))]
    )
    assert not torch.allclose(both, one_after_the_other, atol=1e-2)


def test_controls_of_different_stretches_each_have_their_own(model, x):
    f, (first, second) = model.encode(x).f, (alphas(0), alphas(0))
    first[:3], second[5:] = -4, 9
    steered = control.steer_code(f, [Control(direction(1), first), Control(direction(2), second)])
    assert torch.allclose(steered[:3], rms_norm(f[:3] - 4 * direction(1)), atol=1e-5)
    assert torch.equal(steered[3:5], f[3:5])
    assert torch.allclose(steered[5:], rms_norm(f[5:] + 9 * direction(2)), atol=1e-5)


def test_without_the_norm_the_sum_is_left(model, x):
    f = model.encode(x).f
    assert torch.allclose(control.steer_code(f, [Control(direction(1), alphas(3))], False), f + 3 * direction(1))


def test_a_silent_frame_becomes_the_direction_alone():
    f, w = torch.zeros(B, F), direction(1)
    steered = control.steer_code(f, [Control(w, alphas(0.01))])
    assert torch.allclose(steered[0], w / w.square().mean().sqrt(), atol=1e-3)


def test_latents_are_steered_without_the_autoencoder(x):
    w = direction(1, D)
    assert torch.allclose(control.steer_latents(x, [Control(w, alphas(2))]), x + 2 * w)
    assert torch.equal(control.steer_latents(x, [Control(w, alphas(0))]), x)


# ---- over time


def test_a_stretch_begins_and_ends_where_it_says():
    steps = envelope.stretch(20, 2.0, 4.0)
    assert steps.at([0, 1.999, 2.0, 3.0, 3.999, 4.0, 9]).tolist() == [0, 0, 20, 20, 20, 0, 0]


def test_ramps_lie_within_the_stretch():
    ramped = envelope.stretch(20, 2.0, 4.0, ramp_s=0.5)
    assert ramped.at([2.0, 2.25, 2.5, 3.5, 3.75, 4.0]).tolist() == [0, 10, 20, 20, 10, 0]


def test_breakpoints_are_joined_by_lines_and_held_outside():
    lines = envelope.breakpoints([(1, 10), (2, 20), (2, 0), (3, 5)])
    assert lines.at([0, 1, 1.5, 1.999999, 2, 2.5, 3, 8]) == pytest.approx([10, 10, 15, 20, 0, 2.5, 5, 5], abs=1e-4)
    assert (envelope.constant(7).at([0, 3, 1e6]) == 7).all()


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-30, 30)), min_size=1, max_size=6), st.integers(0, 200))
def test_an_envelope_stays_between_its_breakpoints(points, tenth):
    points = sorted(points, key=lambda point: point[0])
    value = envelope.breakpoints(points).at(np.array([tenth / 10]))[0]
    assert min(alpha for _, alpha in points) - 1e-9 <= value <= max(alpha for _, alpha in points) + 1e-9


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: envelope.stretch(1, 4, 2), "from 4 s to 2 s is empty"),
        (lambda: envelope.stretch(1, 2, 3, 0.6), "two ramps of 0.6 s do not fit into 1 s"),
        (lambda: envelope.breakpoints([(2, 1), (1, 1)]), "1 s comes after 2 s"),
        (lambda: envelope.breakpoints([(0, math.nan)]), "not all finite"),
        (lambda: envelope.breakpoints([]), "at least one breakpoint"),
    ],
)
def test_an_envelope_that_makes_no_sense_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# ---- how strongly


@pytest.fixture
def cell(model) -> Cell:
    return Cell(model, Scaling(np.zeros(D, np.float32), 1.0), {})


@pytest.mark.parametrize("method", [one for one in methods.METHODS if one != methods.PAPER], ids=lambda one: one.name)
def test_methods_are_compared_at_equal_displacement(cell, x, method):
    w = direction(5, F if method.space == "code" else D)
    wanted = strength.displacement(cell, methods.PAPER, [x], direction(1), 3.0)

    def displaces(factor: float) -> float:
        return strength.displacement(cell, method, [x[:5], x[5:]], w, factor)

    found = strength.factor_for(method, displaces, wanted, start=3.0)
    moved = strength.steered(cell, method, x, w, found) - strength.reference(cell, method.space, x)
    assert float(moved.square().mean().sqrt()) == pytest.approx(wanted, rel=3e-3)


def test_a_displacement_out_of_reach_gives_the_most_there_is(cell, x):
    method = methods.named("random")
    most = strength.factor_for(method, lambda factor: 1 - 1 / (1 + factor), 2.0, start=3.0)
    assert most == 3.0 * strength.MOST
    assert strength.factor_for(method, lambda factor: factor, 0.0, start=3.0) == 0


# ---- what it did

SEMITONES = Bins(
    "semitone", np.arange(59.5, 63), ["C4", "C#4", "D4", "unvoiced"], np.array([60, 61, 62, np.nan]), 3, False
)
NAN = np.nan


def test_effects_by_hand():
    before = np.array([60, 60, 62, NAN, NAN, 61, 60], np.float32)
    after = np.array([61, 61, 61, 61, NAN, NAN, 58], np.float32)
    found = effects.effect(before, after, 1, SEMITONES)
    # frames defined on both sides: 60→61, 60→61, 62→61, 60→58
    assert found == {
        "n_frames": 7, "n_defined": 4, "n_lost": 1, "n_gained": 1, "n_hits": 3, "n_hits_before": 1,
        "change": pytest.approx((1 + 1 - 1 - 2) / 4), "abs_change": pytest.approx(5 / 4),
        "towards": pytest.approx((1 + 1 + 1 - 2) / 4),
    }  # fmt: skip


def test_of_an_attribute_that_is_not_steered_nothing_is_hit():
    found = effects.effect(np.array([1.0, 2]), np.array([2.0, 4]))
    assert (found["n_hits"], found["change"]) == (0, 1.5)
    assert math.isnan(found["towards"])


def test_steered_to_silence_what_is_lost_is_hit():
    found = effects.effect(np.array([60.0, 61]), np.array([NAN, 61]), 3, SEMITONES)
    assert (found["n_hits"], found["n_lost"]) == (1, 1)
    assert math.isnan(found["towards"])


def test_nothing_defined_has_no_mean():
    found = effects.effect(np.full(3, NAN), np.full(3, NAN), 1, SEMITONES)
    assert (found["n_defined"], found["n_hits"]) == (0, 0)
    assert math.isnan(found["change"])
    assert effects.effect(np.zeros(0), np.zeros(0))["n_frames"] == 0


def test_tracks_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one grid"):
        effects.effect(np.zeros(3), np.zeros(4))


# ---- which cells and classes


def of_cell(dim: int, lam: float, pitch: float, timbre: float, variance: float) -> dict:
    probes = [
        {"attribute": "pitch", "validation_accuracy": pitch},
        {"attribute": "timbre", "validation_accuracy": timbre},
    ]
    return {"dim": dim, "lam": lam, "sae": {"validation": {"explained_variance": variance}}, "probes": probes}


CELLS = [of_cell(256, 0.01, 0.8, 0.3, 0.90), of_cell(256, 0.1, 0.8, 0.2, 0.5), of_cell(512, 0.01, 0.7, 0.5, 0.95)]


@pytest.mark.parametrize(
    ("criterion", "attribute", "chosen"),
    [
        ("validation_accuracy", "pitch", (256, 0.1)),  # of equal ones the sparser
        ("validation_accuracy", "timbre", (512, 0.01)),
        ("mean_validation_accuracy", "pitch", (512, 0.01)),
        ("validation_explained_variance", "pitch", (512, 0.01)),
    ],
)
def test_the_best_cell_by_each_criterion(criterion, attribute, chosen):
    best = best_of(CELLS, choosing.score_of(criterion, attribute))
    assert (best["dim"], best["lam"]) == chosen


LEVELS = Bins("dB", np.arange(-50.0, 1, 10), list("abcde"), np.arange(-45.0, 0, 10), -1, True)


def test_classes_are_spread_over_what_occurs():
    n_frames = np.array([0, 100, 800, 100, 0])
    assert choosing.class_indices(3, LEVELS, n_frames, "level") == [1, 2, 3]
    assert choosing.class_indices(1, LEVELS, n_frames, "level") == [2]
    # a class that is taken makes way for the next that occurs
    assert choosing.class_indices(3, LEVELS, np.array([0, 10, 980, 10, 0]), "level") == [1, 2, 3]
    assert choosing.class_indices(3, LEVELS, np.array([10, 0, 980, 0, 10]), "level") == [0, 2, 4]
    assert choosing.class_indices(5, LEVELS, n_frames, "level") == [0, 1, 2, 3, 4]


def test_the_unvoiced_class_is_not_spread_to_but_can_be_named():
    n_frames = np.array([1, 1, 1, 10_000])
    assert choosing.class_indices(3, SEMITONES, n_frames, "pitch") == [0, 1, 2]
    assert choosing.class_indices(["unvoiced", "C4", "index:2"], SEMITONES, n_frames, "pitch") == [3, 0, 2]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["H4"], "steering.classes.pitch has no class 'H4'.*its classes are 'C4' to 'D4', 'unvoiced'"),
        (["index:4"], "has no class 'index:4'.*0 to 3"),
        ([59], "has no class '59'"),
        (["C4", 60], "steering.classes.pitch: C4, 60 are not all different classes"),
        (4, "4 are wanted and there are 3"),
    ],
)
def test_a_class_that_is_not_there_is_named(wanted, says):
    with pytest.raises(ValueError, match=says):
        choosing.class_indices(wanted, SEMITONES, np.ones(4), "pitch")
