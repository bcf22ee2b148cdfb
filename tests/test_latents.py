"""Latents on disk: global rows, splits, scaling, memory maps."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from sonolens import latents
from sonolens.files import read_json


def test_scaling_gives_zero_mean_and_unit_mean_square_on_the_train_split_alone(latent_files, tmp_path):
    data = np.random.default_rng(0).normal(3, [1, 5, 0.1], (1000, 3))
    data[600:] += 100  # validation and test, which must not count
    files = latent_files(data)
    path = tmp_path / "scaling.json"
    latents.measure_scaling(files["latents"], files["frames"], files["manifests"], path)
    scaling = latents.Scaling.read(path)
    store = latents.LatentStore(files["latents"])
    rows = latents.split_runs(latents.clip_runs(files["frames"], files["manifests"]), "train")
    assert read_json(path)["n_frames"] == len(rows) == 600
    x = latents.ScaledFrames(store, rows, scaling)[slice(None)]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
    assert (x**2).sum(axis=1).mean() / 3 == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(scaling.invert(x), store.gather(rows[:]), rtol=1e-4, atol=1e-4)


def test_rows_are_gathered_over_shards_in_the_order_asked_for(latent_files):
    data = np.arange(400, dtype=np.float32).reshape(200, 2)
    files = latent_files(data)
    store = latents.LatentStore(files["latents"])
    rows = np.array([199, 0, 100, 5, 99, 100])
    np.testing.assert_array_equal(store.gather(rows), data[files["order"]][rows])


def test_scaled_frames_are_those_of_their_rows(latent_files):
    data = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    files = latent_files(data)
    scaling = latents.Scaling(np.ones(4, np.float32), 2.0)
    rows = np.r_[20:60, 90:150]
    frames = latents.ScaledFrames(latents.LatentStore(files["latents"]), rows, scaling)
    expected = (data[files["order"]][rows] - 1) / 2
    positions = np.random.default_rng(1).permutation(100)[:50]
    np.testing.assert_allclose(frames[positions], expected[positions])
    np.testing.assert_allclose(frames[10:55], expected[10:55])


def test_runs_of_clips_say_what_the_table_of_frames_says(latent_files, monkeypatch):
    files = latent_files(np.zeros((200, 4)))
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", in_pieces(pq.ParquetFile.iter_batches, 7))
    runs = latents.clip_runs(files["frames"], files["manifests"])
    frames = latents.clip_and_split(files["frames"], files["manifests"])
    assert len(runs) == 10  # also where a clip goes on in the next piece of the file
    for column in ("clip_id", "split", "kind"):
        assert np.repeat(runs[column].to_numpy(), runs["n_frames"]).tolist() == frames[column].astype(str).tolist()
    assert frames["frame_index"].tolist() == list(range(20)) * 10
    for split in ("train", "validation", "test"):
        assert latents.split_runs(runs, split)[:].tolist() == np.flatnonzero(frames["split"] == split).tolist()
    with pytest.raises(ValueError, match="no latent frame belongs to the split 'tests'"):
        latents.split_runs(runs, "tests")


def in_pieces(iter_batches, n_rows: int):
    """Row groups of a large table, on a small one."""
    return lambda file, **which: iter_batches(file, batch_size=n_rows, **which)


def test_constant_latents_are_an_error(latent_files, tmp_path):
    files = latent_files(np.ones((100, 3)))
    with pytest.raises(ValueError, match="do not vary"):
        latents.measure_scaling(files["latents"], files["frames"], files["manifests"], tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()
