"""Latents on disk: global rows, splits, scaling, memory maps."""

import numpy as np
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
    rows = latents.split_rows(latents.clip_and_split(files["frames"], files["manifests"]), "train")
    assert read_json(path)["n_frames"] == len(rows) == 600
    x = latents.ScaledFrames(store, rows, scaling)[slice(None)]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
    assert (x**2).sum(axis=1).mean() / 3 == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(scaling.invert(x), store.gather(rows), rtol=1e-4, atol=1e-4)


def test_rows_are_gathered_over_shards_in_the_order_asked_for(latent_files):
    data = np.arange(400, dtype=np.float32).reshape(200, 2)
    files = latent_files(data)
    store = latents.LatentStore(files["latents"])
    rows = np.array([199, 0, 100, 5, 99, 100])
    np.testing.assert_array_equal(store.gather(rows), data[files["order"]][rows])


def test_frames_too_many_for_the_budget_are_read_from_disk_with_the_same_values(latent_files, monkeypatch):
    files = latent_files(np.random.default_rng(0).standard_normal((200, 4)))
    scaling = latents.Scaling(np.ones(4, np.float32), 2.0)
    store, rows = latents.LatentStore(files["latents"]), np.arange(20, 150)
    in_memory = latents.ScaledFrames(store, rows, scaling)
    monkeypatch.setattr(latents, "MEMORY_BUDGET_BYTES", 0)
    on_disk = latents.ScaledFrames(store, rows, scaling)
    assert on_disk._in_memory is None
    positions = np.random.default_rng(1).permutation(130)[:50]
    np.testing.assert_array_equal(in_memory[positions], on_disk[positions])
    np.testing.assert_array_equal(in_memory[slice(10, 20)], on_disk[slice(10, 20)])


def test_constant_latents_are_an_error(latent_files, tmp_path):
    files = latent_files(np.ones((100, 3)))
    with pytest.raises(ValueError, match="do not vary"):
        latents.measure_scaling(files["latents"], files["frames"], files["manifests"], tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()
