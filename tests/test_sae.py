"""The autoencoder, its loss and its training: hand-computed cases and invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens import tables
from sonolens.files import read_json
from sonolens.latents import Scaling
from sonolens.sae import blocks, cell, evaluation, training, weights
from sonolens.sae.loss import objective
from sonolens.sae.model import SparseAutoencoder, rms_norm


def small_model(d_latent: int = 2, n_features: int = 2) -> SparseAutoencoder:
    model = SparseAutoencoder(d_latent, n_features)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def settings_of(**changes) -> training.Settings:
    standard = {
        "n_features": 16,
        "lam": 0.01,
        "l1_on": "normalised",
        "steps": 60,
        "batch_frames": 64,
        "learning_rate": 3e-3,
        "warmup_share": 0.1,
        "decay_share": 0.3,
        "history_rows": 4,
        "seed": 0,
    }
    return training.Settings(**(standard | changes))


def test_loss_equals_the_hand_computed_one():
    model = small_model()
    with torch.no_grad():
        model.W_enc.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        model.b_enc.copy_(torch.tensor([0.0, -1.0]))
        model.W_dec.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        model.b_dec.copy_(torch.tensor([0.5, 0.0]))
    x = torch.tensor([[3.0, 5.0]])
    # h = (3, 4); rms = sqrt((9 + 16) / 2) = 3.535534; f = (0.848528, 1.131371); x̂ = (1.348528, 2.262742)
    code = model.encode(x)
    assert code.h.tolist() == [[3.0, 4.0]]
    torch.testing.assert_close(code.f, torch.tensor([[0.848528, 1.131371]]))
    x_hat = model.decode(code.f)
    torch.testing.assert_close(x_hat, torch.tensor([[1.348528, 2.262742]]))
    mse = (3 - 1.348528) ** 2 + (5 - 2.262742) ** 2
    on_f = objective(x, x_hat, code, 0.1, "normalised")
    on_h = objective(x, x_hat, code, 0.1, "hidden")
    assert on_f.mse.item() == pytest.approx(mse, rel=1e-5)
    assert on_f.total.item() == pytest.approx(mse + 0.1 * (0.848528 + 1.131371), rel=1e-5)
    assert on_h.total.item() == pytest.approx(mse + 0.1 * 7, rel=1e-5)


def test_the_loss_is_a_mean_over_the_batch_and_a_sum_over_the_width():
    model = small_model(4, 8)
    x = torch.randn(5, 4)
    code = model.encode(x)
    whole = objective(x, model.decode(code.f), code, 0.3, "normalised").total
    single = []
    for row in x:
        code = model.encode(row[None])
        single.append(objective(row[None], model.decode(code.f), code, 0.3, "normalised").total)
    torch.testing.assert_close(whole, torch.stack(single).mean())


@given(st.integers(1, 6), st.integers(1, 40), st.floats(0.1, 1e4))
@settings(max_examples=30, deadline=None)
def test_the_norm_fixes_the_length_and_forgets_the_scale(n_frames, n_features, scale):
    h = torch.rand(n_frames, n_features, dtype=torch.float64) + 0.1
    f = rms_norm(h)
    torch.testing.assert_close(f.norm(dim=1), torch.full((n_frames,), n_features**0.5).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(rms_norm(h * scale), f, rtol=1e-4, atol=1e-6)


def test_an_all_zero_code_stays_zero_and_has_a_gradient():
    h = torch.zeros(1, 8, requires_grad=True)
    f = rms_norm(h)
    assert (f == 0).all()
    f.sum().backward()
    assert torch.isfinite(h.grad).all()


def test_forward_is_decode_of_encode():
    model = small_model(4, 8)
    x = torch.randn(7, 4)
    assert torch.equal(model(x), model.decode(model.encode(x).f))


@pytest.mark.parametrize("n_features", [1024, 16384])
def test_training_starts_near_the_identity(n_features):
    model = small_model(64, n_features)
    x = torch.randn(256, 64)
    residual = (model(x) - x).norm() / x.norm()
    assert residual < 0.5, residual


def test_learning_rate_rises_stays_and_falls():
    config = settings_of(steps=100, warmup_share=0.1, decay_share=0.2, learning_rate=1.0)
    rates = [training.learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)


def test_lambda_rises_and_stays():
    config = settings_of(steps=100, lam=0.5, lam_warmup_share=0.2)
    assert training.lam_at(0, config) == pytest.approx(0.5 / 20)
    assert training.lam_at(9, config) == pytest.approx(0.25)
    assert [training.lam_at(step, config) for step in (19, 50, 99)] == [0.5] * 3
    assert training.lam_at(0, settings_of(lam=0.5)) == 0.5


def sparse_data(rng, n_frames=2000, d_latent=8, n_directions=16):
    """Frames made of two out of `n_directions` directions each."""
    directions = rng.standard_normal((n_directions, d_latent))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights = np.zeros((n_frames, n_directions))
    for row in weights:
        row[rng.choice(n_directions, 2, replace=False)] = rng.uniform(0.5, 1.5, 2)
    return weights @ directions


@pytest.fixture
def cell_files(latent_files, tmp_path):
    from sonolens.latents import measure_scaling

    files = latent_files(sparse_data(np.random.default_rng(0)))
    files["scaling"] = str(tmp_path / "scaling.json")
    measure_scaling(files["latents"], files["frames"], files["manifests"], files["scaling"])
    return files


def train(files, tmp_path, name, **changes):
    names = {"model": "model.safetensors", "config": "config.json", "metrics": "metrics.json", "history": "h.parquet"}
    outputs = {key: str(tmp_path / name / file) for key, file in names.items()}
    cell.train_cell(files, outputs, "toy", settings_of(**changes), "cpu")
    return outputs


def test_a_cell_learns_and_its_files_agree(cell_files, tmp_path):
    outputs = train(cell_files, tmp_path, "cell", steps=400, lam=0.005)
    metrics = read_json(outputs["metrics"])
    history = tables.read(outputs["history"], tables.SAE_HISTORY)
    assert history["step"].tolist() == [100, 200, 300, 400]
    assert history["validation_explained_variance"].iloc[-1] > 0.8
    assert metrics["explained_variance_low"] < metrics["explained_variance"] < metrics["explained_variance_high"]
    assert metrics["sparsity"] == pytest.approx(1 - metrics["l0"] / 16)
    assert metrics["dead_share"] == metrics["n_dead"] / 16
    assert sum(metrics["activation_frequency"]["counts"]) == 16 - metrics["n_dead"]
    # the model that is stored is the one that was measured
    model, scaling = weights.load(outputs["model"])
    stored = Scaling.read(cell_files["scaling"])
    assert np.array_equal(scaling.mean, stored.mean)
    assert scaling.scale == stored.scale
    latents = np.concatenate([np.load(path) for path in cell_files["latents"]])
    assert model(torch.from_numpy(scaling.apply(latents))).shape == latents.shape
    assert history["validation_explained_variance"].iloc[-1] == pytest.approx(
        metrics["validation"]["explained_variance"], abs=1e-6
    )


def test_same_seed_same_bits_other_seed_other_bits(cell_files, tmp_path):
    first, second, other = (
        train(cell_files, tmp_path, name, seed=seed) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    read = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert read[0] == read[1] != read[2]
    assert tables.read(first["history"], tables.SAE_HISTORY).equals(tables.read(second["history"], tables.SAE_HISTORY))
    assert read_json(first["metrics"])["mse"] != read_json(other["metrics"])["mse"]


def test_lambda_buys_sparsity_with_reconstruction(cell_files, tmp_path):
    figures = [
        read_json(train(cell_files, tmp_path, f"lam{lam}", lam=lam, steps=400)["metrics"]) for lam in (0.001, 0.03, 0.3)
    ]
    sparsity = [figure["sparsity"] for figure in figures]
    variance = [figure["explained_variance"] for figure in figures]
    assert sparsity == sorted(sparsity)
    assert variance == sorted(variance, reverse=True)
    assert sparsity[2] - sparsity[0] > 0.1


def test_a_loss_that_explodes_is_an_error_that_says_what_to_do(cell_files, tmp_path):
    with pytest.raises(FloatingPointError, match=r"learning_rate"):
        train(cell_files, tmp_path, "nan", learning_rate=1e30, warmup_share=0.0, steps=100)
    assert not list((tmp_path).glob("nan/*"))


def test_evaluation_equals_the_plain_formulas(cell_files, monkeypatch):
    from sonolens.latents import LatentStore, ScaledFrames

    store = LatentStore(cell_files["latents"])
    frames = ScaledFrames(store, np.arange(300), Scaling.read(cell_files["scaling"]))
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", 1)  # blocks of 32 frames
    model = small_model(8, 16)
    measured = evaluation.evaluate(model, frames)
    x = torch.from_numpy(frames[slice(0, 300)])
    code = model.encode(x)
    residual = x - model.decode(code.f)
    expected = 1 - residual.square().sum() / (x - x.mean(dim=0)).square().sum()
    assert measured.explained_variance == pytest.approx(expected.item(), abs=1e-5)
    assert measured.l0 == pytest.approx((code.f > 0).sum(dim=1).float().mean().item())
    assert measured.n_active.tolist() == (code.f > 0).sum(dim=0).tolist()
    assert measured.hidden_norm == pytest.approx(code.h.norm(dim=1).mean().item(), rel=1e-5)


def test_frames_that_are_all_alike_are_an_error_and_one_clip_of_them_is_not():
    model = small_model()
    with pytest.raises(ValueError, match="all 30 latents of a split are alike"):
        evaluation.evaluate(model, np.full((30, 2), 0.7, np.float32))
    frames = np.full((30, 2), 0.7, np.float32)
    frames[20:] = np.random.default_rng(0).standard_normal((10, 2))
    squared_error = evaluation.evaluate(model, frames).squared_error
    clips = np.repeat([0, 1, 2], 10)
    # clips 0 and 1 are of one code: drawn by themselves they leave nothing to explain but their distance to the mean
    low, high = evaluation.explained_variance_interval(squared_error, frames, clips, seed=0)
    assert np.isfinite([low, high]).all() and low <= high
    constant = np.zeros((20, 2), np.float32)
    constant[10:] = [[1, 1], [-1, -1]] * 5  # the mean is that of the first clip, whose variance is nought
    low, high = evaluation.explained_variance_interval(np.ones(20), constant, np.repeat([0, 1], 10), seed=0)
    assert np.isfinite([low, high]).all()


def test_a_damaged_model_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.safetensors is not a sparse autoencoder"):
        weights.load(path)
