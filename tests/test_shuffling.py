"""Batches of frames: every frame once, in no order, found again at any step, whatever fits in memory."""

import numpy as np
import pytest
import torch

from sonolens import shuffling
from sonolens.latents import LatentStore, RowRuns, ScaledFrames, Scaling
from sonolens.shuffling import ShuffledFrames

CPU = torch.device("cpu")
D = 4  # bytes of a frame: 16


def frames_of(latent_files, n_frames: int) -> ScaledFrames:
    """Frames whose first number is their position."""
    data = np.zeros((n_frames, D), np.float32)
    data[:, 1] = 1
    files = latent_files(data)
    for path, rows in zip(files["latents"], np.array_split(np.arange(n_frames), 2), strict=True):
        stored = np.load(path)
        stored[:, 0] = rows
        np.save(path, stored)
    return ScaledFrames(LatentStore(files["latents"]), np.arange(n_frames), Scaling(np.zeros(D, np.float32), 1.0))


@pytest.fixture
def large(monkeypatch):
    """A set larger than what may stay in memory: pools of 400 frames, blocks of 10."""
    monkeypatch.setattr(shuffling, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(shuffling, "POOL_BYTES", 400 * 16)
    monkeypatch.setattr(shuffling, "BLOCK_BYTES", 10 * 16)


def positions(shuffled: ShuffledFrames, first: int, last: int) -> np.ndarray:
    """(steps, B), checked against the frames that were handed out with them."""
    taken = list(shuffled.batches(first, last))
    for batch in taken:
        assert np.array_equal(batch.x[:, 0].numpy(), batch.positions)
        assert (batch.x[:, 1] == 1).all()
    return np.stack([batch.positions for batch in taken])


@pytest.mark.parametrize("size", ["resident", "large"])
def test_every_epoch_sees_every_frame_once_in_a_new_order(latent_files, size, request):
    if size == "large":
        request.getfixturevalue("large")
    shuffled = ShuffledFrames(frames_of(latent_files, 2000), 40, 5, 2, CPU)
    assert (shuffled.batches_per_epoch, shuffled._batches_per_pool) == (50, 50 if size == "resident" else 10)
    order = positions(shuffled, 0, 100)
    first, second = order[:50].ravel(), order[50:].ravel()
    assert np.array_equal(np.sort(first), np.arange(2000)) and np.array_equal(np.sort(second), np.arange(2000))
    assert (first == second).mean() < 0.01
    for seed, stream in ((6, 2), (5, 3)):
        other = ShuffledFrames(shuffled.frames, 40, seed, stream, CPU)
        assert (positions(other, 0, 50).ravel() == first).mean() < 0.01


@pytest.mark.parametrize("size", ["resident", "large"])
def test_the_batches_of_any_step_are_found_again(latent_files, size, request):
    if size == "large":
        request.getfixturevalue("large")
    shuffled = ShuffledFrames(frames_of(latent_files, 2010), 40, 5, 2, CPU)
    whole = positions(shuffled, 0, 120)
    for first, last in ((0, 1), (3, 9), (9, 11), (10, 20), (49, 51), (77, 120)):
        again = ShuffledFrames(shuffled.frames, 40, 5, 2, CPU)
        assert np.array_equal(positions(again, first, last), whole[first:last])
    assert np.array_equal(np.stack([batch.positions for batch in shuffled.epoch(1)]), whole[50:100])
    assert len(np.unique(whole[:50])) == 2000  # what is left over of 2010 is dropped, by chance
    assert set(np.unique(whole)) > set(range(2000, 2010)) or len(np.unique(whole)) > 2000


@pytest.mark.parametrize("size", ["resident", "large"])
def test_an_order_is_no_order(latent_files, size, request):
    """A batch is a fair sample of the whole set, and frames that were neighbours are so no more.

    Frames of a recording are alike: were they in a batch together, a step would be of a few notes.
    """
    n_frames, batch_frames = 40_000, 400
    frames = frames_of(latent_files, n_frames)
    if size == "large":  # as in earnest: a pool of a sixteenth of the set, of many more blocks than a batch has frames
        request.getfixturevalue("large")
        shuffling.POOL_BYTES, shuffling.BLOCK_BYTES = n_frames // 16 * 16, 2 * 16
    order = positions(ShuffledFrames(frames, batch_frames, 0, 2, CPU), 0, 100)
    assert abs(np.corrcoef(order.ravel()[:-1], order.ravel()[1:])[0, 1]) < 0.02
    # each tenth of the set in each batch: chi-square of 9 degrees of freedom, on the mean of 100 batches
    counts = np.stack([np.bincount(batch * 10 // n_frames, minlength=10) for batch in order])
    expected = batch_frames / 10
    chi_square = ((counts - expected) ** 2 / expected).sum(axis=1)
    mates = 0 if size == "resident" else (2 - 1) * batch_frames / (n_frames // 16)  # of a frame's block, in its batch
    assert 8 < chi_square.mean() < 10 * (1 + mates)
    # pairs within a recording of 500 frames that meet in a batch, against what a permutation of all gives
    recordings = np.stack([np.bincount(batch // 500, minlength=80) for batch in order])
    pairs = (recordings * (recordings - 1) / 2).sum(axis=1).mean()
    by_chance = batch_frames * (batch_frames - 1) / 2 * 499 / (n_frames - 1)
    assert pairs == pytest.approx(by_chance, rel=0.1 if size == "resident" else 0.3)
    # and where in the epoch a frame comes says nothing of where it lies
    step_of = np.empty(n_frames)
    step_of[order.ravel()] = np.repeat(np.arange(100), batch_frames)
    assert abs(np.corrcoef(step_of, np.arange(n_frames))[0, 1]) < 0.03
    assert not np.array_equal(np.argsort(step_of[:2000], kind="stable"), np.arange(2000))


def test_each_pool_has_an_order_of_its_own(latent_files, large):
    order = positions(ShuffledFrames(frames_of(latent_files, 2000), 40, 5, 2, CPU), 0, 20).reshape(2, 400)
    first, second = np.argsort(order, axis=1)  # of the frames of a pool as they lie on the disk, when each comes
    assert (first == second).mean() < 0.02


@pytest.mark.parametrize("size", ["resident", "large"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_batches_are_scaled_as_the_frames_are(latent_files, size, dtype, request):
    if size == "large":
        request.getfixturevalue("large")
    files = latent_files(np.random.default_rng(0).normal(3, 2, (1000, D)))
    for path in files["latents"]:
        np.save(path, np.load(path).astype(dtype))
    scaling = Scaling(np.array([3, 1, -2, 0.1], np.float32), 1.7)
    frames = ScaledFrames(LatentStore(files["latents"]), np.arange(100, 900), scaling)
    for batch in ShuffledFrames(frames, 40, 5, 2, CPU).batches(0, 30):
        assert batch.x.dtype == torch.float32
        assert np.array_equal(batch.x.numpy(), frames[batch.positions])


def test_one_can_begin_with_the_last_pool_of_an_epoch_which_is_a_short_one(latent_files, large):
    frames = frames_of(latent_files, 2200)
    whole = positions(ShuffledFrames(frames, 40, 5, 2, CPU), 0, 110)
    again = ShuffledFrames(frames, 40, 5, 2, CPU)
    assert (again.batches_per_epoch, again._batches_per_pool) == (55, 10)
    assert np.array_equal(positions(again, 52, 110), whole[52:])


def test_a_set_smaller_than_a_batch_is_one(latent_files):
    order = positions(ShuffledFrames(frames_of(latent_files, 20), 4096, 0, 2, CPU), 0, 3)
    assert order.shape == (3, 20)
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(20), (3, 1)))


def test_a_large_set_is_read_pool_by_pool_in_the_order_of_the_disk(latent_files, large, monkeypatch):
    frames = frames_of(latent_files, 2000)
    read = []
    gather = LatentStore.gather
    monkeypatch.setattr(
        LatentStore, "gather", lambda store, rows, *dtype: read.append(rows) or gather(store, rows, *dtype)
    )
    shuffled = ShuffledFrames(frames, 40, 0, 2, CPU)
    assert not read  # nothing before it is asked for
    list(shuffled.batches(0, 15))
    assert [len(rows) for rows in read] == [400, 400]  # two pools, the second no sooner than the first is used
    for rows in read:
        assert (np.diff(rows) > 0).all()
        runs = RowRuns.of(rows)
        assert np.median(runs.lengths) >= 10  # whole blocks


def test_rows_are_kept_as_runs():
    rows = np.array([3, 4, 5, 9, 10, 20])
    runs = RowRuns.of(rows)
    assert (runs.starts.tolist(), runs.lengths.tolist(), len(runs)) == ([3, 9, 20], [3, 2, 1], 6)
    assert runs[:].tolist() == rows.tolist()
    assert runs[1:5].tolist() == rows[1:5].tolist()
    assert runs[np.array([5, 0, 3, 3])].tolist() == [20, 3, 9, 9]
    assert len(RowRuns.of(np.array([], int))) == 0
