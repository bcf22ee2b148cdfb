"""The Fréchet distance against closed forms, and what extrapolation leaves of the bias of small sets."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from sonolens import frechet
from sonolens.frechet import Moments, NestedMoments, extrapolated_distance, frechet_distance


def moments_of(embeddings: np.ndarray) -> Moments:
    moments = Moments(embeddings.shape[1])
    moments.add(embeddings)
    return moments


def nested_of(embeddings: np.ndarray, seed: int = 0) -> NestedMoments:
    nested = NestedMoments(embeddings.shape[1], seed)
    nested.add(embeddings)
    return nested


def same(a: Moments, b: Moments) -> bool:
    return a.count == b.count and np.allclose(a.mean, b.mean) and np.allclose(a.scatter, b.scatter)


def noise(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def turned(d: int, angle: float, seed: int) -> np.ndarray:
    """Two orthogonal matrices, the second turned from the first by about `angle` in each direction: (2, d, d)."""
    first = np.linalg.qr(noise(d, d, seed))[0]
    return np.stack([first, np.linalg.qr(first + angle * noise(d, d, seed + 1))[0]])


# Moments


def test_moments_are_those_of_the_whole_set_however_it_comes():
    embeddings = noise(9000, 5) * np.arange(1, 6) + np.arange(5)
    whole, pieces = moments_of(embeddings), Moments(5)
    for first, last in ((0, 1), (1, 1), (1, 4500), (4500, 9000)):
        pieces.add(embeddings[first:last])
    for moments in (
        whole,
        pieces,
        frechet.merged([moments_of(embeddings[::2]), Moments(5), moments_of(embeddings[1::2])]),
    ):
        assert moments.count == 9000
        assert np.allclose(moments.mean, embeddings.mean(axis=0), rtol=0, atol=1e-12)
        assert np.allclose(moments.covariance, np.cov(embeddings.T), rtol=0, atol=1e-11)


def test_a_mean_far_from_zero_costs_no_digits():
    embeddings = noise(2000, 3)
    # sums of squares minus squares of sums would leave nothing of a variance of 1 beside 1e18
    far = moments_of(embeddings + 2.0**30)
    assert np.allclose(far.covariance, np.cov(embeddings.T), rtol=1e-6, atol=1e-6)


def test_float32_embeddings_are_summed_in_float64():
    embeddings = (noise(5000, 2) + 1000).astype(np.float32)
    assert np.allclose(
        moments_of(embeddings).covariance, np.cov(embeddings.astype(np.float64).T), rtol=1e-10, atol=1e-10
    )


def test_what_is_no_embedding_is_refused():
    with pytest.raises(ValueError, match=r"embeddings \(N, 3\) are expected, got an array of shape \(2, 4\)"):
        Moments(3).add(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="got an array of shape"):
        Moments(3).add(np.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        Moments(2).add(np.array([[0, np.nan]]))
    with pytest.raises(ValueError, match="at least 2 embeddings, there are 1"):
        frechet_distance(moments_of(noise(1, 3)), moments_of(noise(9, 3)))
    with pytest.raises(ValueError, match="widths 3 and 4"):
        frechet_distance(moments_of(noise(9, 3)), moments_of(noise(9, 4)))


# The distance


def test_one_dimension_by_hand():
    # of two normal distributions (μ1 − μ2)² + (σ1 − σ2)²
    a, b = Moments.known(2, np.array([1.0]), np.array([[4.0]])), Moments.known(9, np.array([4.0]), np.array([[25.0]]))
    assert frechet_distance(a, b) == pytest.approx(9 + 9)


def test_covariances_with_the_same_axes_by_hand():
    axes = turned(4, 0, 0)[0]
    of_a, of_b = np.array([4.0, 1, 9, 0]), np.array([1.0, 1, 16, 4])
    a = Moments.known(5, np.zeros(4), axes * of_a @ axes.T)
    b = Moments.known(5, np.array([0, 1.0, 0, 2]), axes * of_b @ axes.T)
    assert frechet_distance(a, b) == pytest.approx(5 + np.square(np.sqrt(of_a) - np.sqrt(of_b)).sum())


def test_the_formula_as_it_is_published():
    a, b = moments_of(noise(400, 20) @ noise(20, 20, 1)), moments_of(noise(500, 20, 2) @ noise(20, 20, 3) + 0.3)
    expected = np.square(a.mean - b.mean).sum() + np.trace(
        a.covariance + b.covariance - 2 * sqrtm(a.covariance @ b.covariance).real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_a", [2, 10, 500])
def test_it_is_symmetric_and_never_negative_and_zero_to_itself(n_a):
    # with 2 and 10 embeddings the covariance has rank 1 and 9 of 40
    a, b = moments_of(noise(n_a, 40) + 3), moments_of(noise(30, 40, 1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    assert frechet_distance(a, b) > 1
    assert 0 <= frechet_distance(a, a) < 1e-12 * np.trace(a.covariance)


def test_sets_without_any_spread_are_as_far_apart_as_their_means():
    a, b = moments_of(np.ones((5, 3))), moments_of(np.zeros((5, 3)))
    assert frechet_distance(a, b) == pytest.approx(3)
    assert frechet_distance(a, a) == 0


# Parts


def test_how_embeddings_are_split_into_calls_does_not_matter():
    embeddings = noise(1000, 3)
    at_once, pieces = nested_of(embeddings, seed=4), NestedMoments(3, seed=4)
    for piece in np.split(embeddings, [0, 1, 3, 8, 500, 777]):
        pieces.add(piece)
    assert all(same(a, b) for a, b in zip(at_once.parts, pieces.parts, strict=True))
    assert same(at_once.whole, moments_of(embeddings))


def test_parts_are_equal_and_drawn_by_the_seed():
    numbers = np.arange(8000)
    drawn = frechet._part_of(numbers, 0)
    assert (np.sort(drawn.reshape(-1, 8), axis=1) == np.arange(8)).all()
    # each place of a block falls to each part about as often: 125 times, and 5 standard deviations of 10
    places = np.stack([np.bincount(drawn[place::8], minlength=8) for place in range(8)])
    assert np.abs(places - 125).max() < 53
    # another seed is another draw: one number in eight goes to the same part, by chance
    assert np.mean(drawn == frechet._part_of(numbers, 1)) == pytest.approx(1 / 8, abs=0.02)
    assert (drawn == frechet._part_of(numbers, 0)).all()


def test_a_recording_goes_into_one_part_whole():
    nested, again = NestedMoments(2), NestedMoments(2)
    for recording in range(16):
        nested.add(noise(5, 2, recording), recording)
    for recording in reversed(range(16)):
        again.add(noise(2, 2, recording)[:0], recording)
        again.add(noise(5, 2, recording)[:2], recording)
        again.add(noise(5, 2, recording)[2:], recording)
    assert [part.count for part in nested.parts] == [10] * 8
    assert all(same(a, b) for a, b in zip(nested.parts, again.parts, strict=True))


# Extrapolation


def test_the_line_by_hand():
    nested, reference = nested_of(noise(80, 4)), moments_of(noise(500, 4, 1))
    found = extrapolated_distance(nested, reference)
    lacking = [frechet.merged([part for part in nested.parts if part is not left_out]) for left_out in nested.parts]
    plain, smaller = frechet_distance(nested.whole, reference), [frechet_distance(rest, reference) for rest in lacking]
    line = np.polynomial.Polynomial.fit([1 / 80, 1 / 70], [plain, np.mean(smaller)], 1)
    assert found.value == pytest.approx(line(0))
    assert found.largest_n_value == pytest.approx(plain)
    assert found.n == 80


CASES = {"flat": 0.0, "falling": 1.0}  # power by which variances fall from axis to axis
# What is left of the plain bias, at most. Measured with 12 sets each, flat and falling: .09 and .08 (300 of 128), .03
# and .02 (1000 of 128), .04 and .03 (1000 of 256), .01 and .00 (3000 of 256); where there are hardly more
# embeddings than numbers, .30 and .23 (300 of 256).
SIZES = {(300, 128): 0.15, (1000, 128): 0.07, (300, 256): 0.34, (1000, 256): 0.08, (3000, 256): 0.05}


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_the_bias_of_small_sets_is_extrapolated_away(case, n, d):
    variance = np.arange(1, d + 1.0) ** -CASES[case]
    axes_a, axes_b = turned(d, 0.02, d)
    shift = 0.05 * noise(1, d, 7)[0] * np.sqrt(variance.mean())
    known = Moments.known(10**9, np.zeros(d), axes_a * variance @ axes_a.T)
    reference = Moments.known(10**9, shift, axes_b * (1.1 * variance) @ axes_b.T)
    truth = frechet_distance(known, reference)
    sets = [noise(n, d, seed) * np.sqrt(variance) @ axes_a.T for seed in range(100, 104)]
    found = [extrapolated_distance(nested_of(embeddings), reference) for embeddings in sets]
    plain = np.mean([each.largest_n_value for each in found]) - truth
    left = np.mean([each.value for each in found]) - truth
    assert plain > 0.1 * truth  # there is a bias to speak of
    # the mean of four sets scatters by half of what one does, 1 % of the plain bias at 300 and 4 % at 3000
    assert abs(left) < SIZES[n, d] * plain


def test_few_recordings_of_many_windows_count_as_few():
    # Windows share 30 % of their variance with their recording: of 100 recordings of 20 windows, what random windows
    # extrapolate to still has most of the bias that comes from the recordings.
    d, n_recordings, n_windows = 64, 100, 20
    reference = Moments.known(10**9, np.zeros(d), np.eye(d))
    by_recording, by_window = NestedMoments(d), NestedMoments(d)
    for number in range(n_recordings):
        of_recording = noise(1, d, 2 * number)
        windows = math.sqrt(0.3) * of_recording + math.sqrt(0.7) * noise(n_windows, d, 2 * number + 1)
        by_recording.add(windows, number)
        by_window.add(windows)
    plain = extrapolated_distance(by_recording, reference).largest_n_value
    assert plain == pytest.approx(frechet_distance(by_window.whole, reference))
    assert abs(extrapolated_distance(by_recording, reference).value) < 0.2 * plain
    assert extrapolated_distance(by_window, reference).value > 0.5 * plain


def test_few_recordings_are_extrapolated_from_as_many_parts_as_there_are():
    reference, nested = moments_of(noise(500, 3, 1)), NestedMoments(3)
    for recording in range(3):
        nested.add(noise(20, 3, recording), recording)
    assert sum(part.count > 0 for part in nested.parts) == 3
    assert math.isfinite(extrapolated_distance(nested, reference).value)


@pytest.mark.parametrize("n_windows", [[5], [1, 1], [5, 1]])
def test_what_cannot_be_extrapolated_has_a_plain_value_only(n_windows):
    reference, nested = moments_of(noise(500, 3, 1)), NestedMoments(3)
    for recording, count in enumerate(n_windows):
        nested.add(noise(count, 3, recording), recording)
    found = extrapolated_distance(nested, reference)
    assert math.isnan(found.value)
    assert math.isfinite(found.largest_n_value)
    assert found.n == sum(n_windows)


def test_the_same_set_gives_a_value_about_zero_on_both_sides():
    reference = Moments.known(10**9, np.zeros(16), np.eye(16))
    values = [extrapolated_distance(nested_of(noise(400, 16, seed)), reference).value for seed in range(20)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 0.1 * np.mean(
        [frechet_distance(moments_of(noise(400, 16, seed)), reference) for seed in range(20)]
    )
