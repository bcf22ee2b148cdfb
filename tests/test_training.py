"""What a training offers beyond the paper: each option does what it says, and none is on by itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sonolens.latents import LatentStore, ScaledFrames, Scaling
from sonolens.sae import dictionary, elementwise, gradients, products, sparse_products, training
from sonolens.sae.loss import objective
from sonolens.sae.model import Code, rms_norm
from test_gradients import model_of
from test_sae import settings_of, sparse_data

CPU = torch.device("cpu")


@pytest.fixture
def frames(latent_files):
    files = latent_files(sparse_data(np.random.default_rng(0)))
    store, scaling = LatentStore(files["latents"]), Scaling(np.zeros(8, np.float32), 1.0)
    return ScaledFrames(store, np.arange(1200), scaling), ScaledFrames(store, np.arange(1200, 1600), scaling)


def trained(frames, **changes) -> training.Trained:
    return training.train(*frames, settings_of(**changes), CPU)


def norms(model) -> torch.Tensor:
    return model.W_dec.detach().norm(dim=0)


def one_step(now: training._Training, x: torch.Tensor, settings: training.Settings) -> None:
    training._step(now, x, gradients.ChunkedGradients(now.model, "normalised", now.n_active), settings)


def test_columns_of_one_norm_stay_so_and_learn(frames):
    model = trained(frames, unit_norm_decoder=True, steps=200).model
    torch.testing.assert_close(norms(model), torch.full((16,), (8 / 16) ** 0.5))
    free = trained(frames, steps=200).model
    assert norms(free).std() > 0.01
    history = trained(frames, unit_norm_decoder=True, steps=200).history
    assert history["mse"].iloc[-1] < 0.5 * history["mse"].iloc[0]


def test_the_gradient_of_a_fixed_norm_is_across_the_column():
    model = model_of(6, 20, 0, torch.float32)
    gradients.ChunkedGradients(model, "normalised", torch.zeros(20, dtype=torch.int64))(torch.randn(50, 6), 0.1)
    before = model.W_dec.grad.clone()
    dictionary.keep_gradient_off_norms(model)
    columns = model.W_dec.detach()
    along = (before * columns).sum(dim=0) / columns.square().sum(dim=0) * columns
    assert along.abs().max() > 1e-3
    torch.testing.assert_close(model.W_dec.grad, before - along, rtol=1e-4, atol=1e-6)
    assert (model.W_dec.grad * columns).sum(dim=0).abs().max() < 1e-5


def test_a_long_gradient_is_shortened_and_a_short_one_is_left(frames):
    plain, wide = trained(frames), trained(frames, max_gradient_norm=1e9)
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), wide.model.parameters(), strict=True))
    now = training._Training(8, settings_of(), CPU)
    one_step(now, torch.randn(64, 8), settings_of(max_gradient_norm=0.25))
    length = torch.cat([parameter.grad.flatten() for parameter in now.model.parameters()]).norm()
    assert length.item() == pytest.approx(0.25, rel=1e-4)


def test_lambda_rises_in_training_and_is_told(frames):
    history = trained(frames, lam=0.2, lam_warmup_share=0.5).history
    assert history["lam_at_step"].round(6).tolist() == [0.1, 0.2, 0.2, 0.2]
    assert history["validation_l0"].iloc[0] > trained(frames, lam=0.2).history["validation_l0"].iloc[0]


def test_features_that_no_frame_activates_are_counted_while_it_trains():
    now = training._Training(8, settings_of(), CPU)
    with torch.no_grad():
        now.model.b_enc[:5] = -1e6
    x, settings = torch.randn(3, 64, 8), settings_of()
    expected = 0
    for batch in x:
        expected += (now.model.encode(batch).h > 0).sum(dim=0)
        one_step(now, batch, settings)
    assert torch.equal(now.n_active, expected)
    assert torch.equal(now.unlearned_since(0), torch.arange(16) < 5)
    assert torch.equal(now.unlearned_since(2), now.last_learned < 3)


def test_dead_features_begin_anew_where_frames_are_reconstructed_badly():
    settings = settings_of(resample_steps=2, steps=100, learning_rate=1e-9)
    now = training._Training(8, settings, CPU)
    with torch.no_grad():
        now.model.b_enc[:5] = -1e6
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) * 0.01
    x[7] = 30  # by far the worst, and in no direction of its own
    one_step(now, x, settings)
    before = {name: value.clone() for name, value in now.model.state_dict().items()}
    assert (now.model.b_enc[:5] < -1e5).all()  # not yet
    for moment in (*now.optimiser.means, *now.optimiser.mean_squares):
        moment.fill_(1)
    one_step(now, x, settings)
    model = now.model.requires_grad_(False)
    assert (model.b_enc[:5] == 0).all()
    direction = (x[7] - model.b_dec) / (x[7] - model.b_dec).norm()
    for feature in range(5):
        torch.testing.assert_close(model.W_enc[feature] / model.W_enc[feature].norm(), direction, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.W_dec[:, feature] / norms(model)[feature], direction, atol=1e-5, rtol=0)
    row_norm = 0.2 * before["W_enc"][5:].norm(dim=1).mean().item()
    assert model.W_enc[:5].norm(dim=1).tolist() == pytest.approx([row_norm] * 5)
    assert norms(model)[:5].tolist() == pytest.approx([norms(model)[5:].mean().item()] * 5, rel=1e-4)
    torch.testing.assert_close(model.W_enc[5:], before["W_enc"][5:], atol=1e-6, rtol=0)  # the living are left alone
    optimiser = now.optimiser
    of_parameters = dict(
        zip(optimiser.parameters, zip(optimiser.means, optimiser.mean_squares, strict=True), strict=True)
    )
    for moment in (0, 1):
        of_features = [of_parameters[weight][moment] for weight in (model.W_enc, model.b_enc)]
        of_features.append(of_parameters[model.W_dec][moment].T)
        assert all((moment[:5] == 0).all() and (moment[5:] != 0).any() for moment in of_features)
        assert (of_parameters[model.b_dec][moment] != 0).all()
    assert (model.encode(x).h[:, :5] > 0).any()


def test_nothing_begins_anew_once_the_rate_falls_or_if_nothing_lives(monkeypatch):
    calls = []
    monkeypatch.setattr(dictionary, "resample", lambda *given: calls.append(given))
    settings = settings_of(resample_steps=10, steps=60, decay_share=0.5)
    now = training._Training(8, settings, CPU)
    for _ in range(60):
        one_step(now, torch.randn(16, 8), settings)
    assert len(calls) == 2  # at 10 and 20, not at 30 and later
    monkeypatch.undo()
    with torch.no_grad():
        now.model.b_enc[:] = -1e6
    before = now.model.W_enc.clone()
    every = torch.ones(16, dtype=torch.bool)
    dictionary.resample(now.model, now.optimiser, every, torch.randn(16, 8), np.random.default_rng(0))
    dictionary.resample(now.model, now.optimiser, ~every, torch.randn(16, 8), np.random.default_rng(0))
    assert torch.equal(now.model.W_enc, before)


bf16 = pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(), reason="this processor does not multiply bf16 in hardware"
)


@bf16
@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
@pytest.mark.parametrize("has_kernels", [True, False])
def test_products_in_bf16_are_near_and_sums_are_kept_in_fp32(l1_on, has_kernels, monkeypatch):
    monkeypatch.setattr(elementwise, "has_kernels", lambda tensor: has_kernels)  # else what a GPU runs
    model = model_of(64, 1024, 0, torch.float32)
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(1))
    code = model.encode(x)
    exact = objective(x, model.decode(code.f), code, 0.02, l1_on)
    expected = torch.autograd.grad(exact.total, list(model.parameters()))
    n_active = torch.zeros(1024, dtype=torch.int64)
    loss = gradients.ChunkedGradients(model, l1_on, n_active, torch.bfloat16)(x, 0.02)
    assert loss.total.item() == pytest.approx(exact.total.item(), rel=2e-3)
    for parameter, reference in zip(model.parameters(), expected, strict=True):
        assert parameter.grad.dtype == torch.float32
        assert ((parameter.grad - reference).norm() / reference.norm()).item() < 0.03


@bf16
@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
def test_in_bf16_only_codes_are_rounded_where_few_are_active(l1_on):
    """Given the rounded codes, all that follows is exact."""
    model = model_of(64, 1024, 0, torch.float32)
    with torch.no_grad():
        model.b_enc -= 1.7
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(1))
    n_active = torch.zeros(1024, dtype=torch.int64)
    loss = gradients.ChunkedGradients(model, l1_on, n_active, torch.bfloat16)(x, 0.02)
    found = [parameter.grad.double() for parameter in model.parameters()]
    h = torch.relu((x.bfloat16() @ model.W_enc.bfloat16().T).float() + model.b_enc).bfloat16().double().detach()
    assert 0.01 < (h > 0).double().mean() < sparse_products.most_active(64, torch.bfloat16)
    exact, x = model.double(), x.double()
    code = Code(h.requires_grad_(), rms_norm(h))
    expected = objective(x, exact.decode(code.f), code, 0.02, l1_on)
    of_h, *of_decoder = torch.autograd.grad(expected.total, [h, exact.W_dec, exact.b_dec])
    of_h = of_h * (h > 0)
    assert loss.total.item() == pytest.approx(expected.total.item(), rel=1e-5)
    for gradient, reference in zip(found, (of_h.T @ x, of_h.sum(dim=0), *of_decoder), strict=True):
        assert ((gradient - reference).norm() / reference.norm()).item() < 1e-5


@bf16
def test_a_training_in_bf16_ends_where_one_in_fp32_does(frames):
    half, full = trained(frames, precision="bf16", steps=400), trained(frames, steps=400)
    assert (half.products.precision, full.products.precision) == ("bf16", "fp32")
    assert 1e-3 < half.products.largest_error < 1
    assert half.model.W_enc.dtype == torch.float32
    assert not torch.equal(half.model.W_enc, full.model.W_enc)
    for column in ("validation_explained_variance", "validation_sparsity"):
        assert half.history[column].iloc[-1] == pytest.approx(full.history[column].iloc[-1], abs=0.02)


def test_what_a_processor_does_not_have_is_done_in_fp32_and_said(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    for precision in ("bf16", "tf32"):
        assert products.products_for_training(precision, CPU).precision == "fp32"


def test_memory_does_not_grow_with_the_frames(tmp_path):
    """Eight times the frames, all on disk: what the process holds by itself is the same."""
    script = """
import sys
from pathlib import Path
import numpy as np, torch
from sonolens import shuffling
from sonolens.latents import LatentStore, RowRuns, ScaledFrames, Scaling
from sonolens.sae import training
from test_sae import settings_of
torch.set_num_threads(1)
shuffling.RESIDENT_BYTES = shuffling.POOL_BYTES = 8 << 20
n_frames = int(sys.argv[1])
path = f"{sys.argv[2]}/latents.npy"
stored = np.lib.format.open_memmap(path, "w+", np.float16, (n_frames, 64))
for start in range(0, n_frames, 10_000):
    stored[start:start + 10_000] = np.random.default_rng(start).standard_normal((10_000, 64))
del stored
store, scaling = LatentStore([path]), Scaling(np.zeros(64, np.float32), 1.0)
train = ScaledFrames(store, RowRuns(np.array([0]), np.array([n_frames - 1000])), scaling)
validation = ScaledFrames(store, RowRuns(np.array([n_frames - 1000]), np.array([1000])), scaling)
step, peak = training._step, 0
def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])
def watched(*given):
    global peak
    step(*given)
    peak = max(peak, anonymous())
training._step = watched
before = anonymous()
settings = settings_of(n_features=64, steps=n_frames // 4096, batch_frames=4096)
training.train(train, validation, settings, torch.device("cpu"))
print(peak - before)
"""
    grown = []
    for n_frames in (100_000, 800_000):
        done = subprocess.run(
            [sys.executable, "-c", script, str(n_frames), str(tmp_path)],
            env={"PYTHONPATH": f"{Path(training.__file__).parents[2]}:{Path(__file__).parent}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        grown.append(int(done.stdout.split()[-1]) / 1e3)
    assert abs(grown[1] - grown[0]) < 15, grown  # megabytes; the frames themselves are 205 in fp32
