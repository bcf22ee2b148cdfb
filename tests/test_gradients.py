"""The gradient worked out by hand is autograd's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens.device import torch_threads
from sonolens.sae import elementwise, gradients, products, sparse_products
from sonolens.sae.loss import objective
from sonolens.sae.model import EPS, SparseAutoencoder


def model_of(d_latent: int, n_features: int, seed: int, dtype=torch.float64) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(seed)
    model = SparseAutoencoder(d_latent, n_features)
    model.initialise(generator)
    with torch.no_grad():
        model.b_enc.copy_(torch.randn(n_features, generator=generator) * 0.3)
        model.b_dec.copy_(torch.randn(d_latent, generator=generator))
    return model.to(dtype)


def by_autograd(model, x, lam, l1_on):
    code = model.encode(x)
    loss = objective(x, model.decode(code.f), code, lam, l1_on)
    return loss, torch.autograd.grad(loss.total, list(model.parameters()))


def by_hand(model, x, lam, l1_on, chunk_frames):
    n_active = torch.zeros(model.n_features, dtype=torch.int64)
    compute = gradients.ChunkedGradients(model, l1_on, n_active)
    compute.chunk_frames = chunk_frames
    loss = compute(x, lam)
    assert torch.equal(n_active, (model.encode(x[:chunk_frames]).h > 0).sum(dim=0))
    return loss, [parameter.grad.clone() for parameter in model.parameters()]


@torch.no_grad()
def largest_term(model, x, lam) -> torch.Tensor:
    """Of those that add up to the gradient of W_enc or b_enc."""
    code = model.encode(x)
    r = torch.rsqrt(code.h.square().mean(dim=1) + EPS).where(code.h.any(dim=1), 0)
    e = (model.decode(code.f) - x) * 2 / len(x)
    g = (e @ model.W_dec).abs().amax(dim=1) + lam / len(x)
    return (r * g * x.abs().amax(dim=1).clamp_min(1)).max()


def assert_same(found, expected, tolerance, term=0.0):
    """With `term`, what the gradients of W_enc and b_enc consist of, for where these cancel: a single active feature
    has f = sqrt(F) whatever h is, and what is left of its gradient is rounding."""
    for value, reference in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(value, reference.detach(), rtol=tolerance, atol=tolerance)
    largest = max(reference.abs().max() for reference in expected[1])
    terms = (term, term, 0.0, 0.0)  # W_enc, b_enc, W_dec, b_dec
    for gradient, reference, of_gradient in zip(found[1], expected[1], terms, strict=True):
        scale = reference.abs().max().clamp(min=1e-3 * max(largest, of_gradient))
        assert ((gradient - reference).abs().max() / scale).item() < tolerance


@given(
    st.integers(1, 9), st.integers(2, 40), st.integers(1, 30), st.sampled_from([0.0, 0.005, 0.15, 30.0]),
    st.sampled_from(["normalised", "hidden"]), st.sampled_from([1e-3, 1.0, 1e3]), st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equals_autograd_in_float64(d_latent, n_features, n_frames, lam, l1_on, scale, seed):
    model = model_of(d_latent, n_features, seed)
    x = torch.randn(n_frames, d_latent, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
    found = by_hand(model, x, lam, l1_on, 7)
    assert_same(found, by_autograd(model, x, lam, l1_on), 1e-10, largest_term(model, x, lam))


class Listed(list):
    """Codes above 0 of each chunk in which only these were multiplied."""

    n_without_forming = 0  # chunks whose codes were listed but never stood side by side


@pytest.fixture
def listed(monkeypatch) -> Listed:
    counts, kind = Listed(), sparse_products.ActiveCodesOfTraining
    take, take_activated = kind.take, kind.take_activated

    def counted(active, h):
        counts.append(int((h > 0).sum()))
        take(active, h)

    def counted_if_done(active, z, bias, hidden_sums):
        is_done = take_activated(active, z, bias, hidden_sums)
        if is_done:
            counts.append(int((z + bias > 0).sum()))
            counts.n_without_forming += 1
        return is_done

    monkeypatch.setattr(kind, "take", counted)
    monkeypatch.setattr(kind, "take_activated", counted_if_done)
    return counts


def with_few_active(model: SparseAutoencoder, x: torch.Tensor, share: float) -> SparseAutoencoder:
    """About this share of its codes of x is above 0, of some frames none."""
    with torch.no_grad():
        model.b_enc.zero_()
        model.b_enc -= model.encode(x).h.flatten().quantile(1 - share)
    return model


@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("n_features", [40, 64, 7, 133])
@pytest.mark.parametrize("d_latent", [16, 21, 91])
@pytest.mark.parametrize("tile_features", [24, 1000])
def test_multiplying_only_active_codes_equals_autograd_in_float64(
    monkeypatch, listed, tile_features, d_latent, n_features, scale, l1_on
):
    monkeypatch.setattr(sparse_products, "TILE_BYTES", tile_features * d_latent * 8)
    for seed, share in enumerate((0.003, 0.05, 0.1)):
        x = torch.randn(70, d_latent, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
        x[::6] = 0
        model = with_few_active(model_of(d_latent, n_features, seed), x, share)
        h = model.encode(x).h
        assert (h[:, :3] == 0).all(dim=1).any()
        found = by_hand(model, x, 0.15, l1_on, 32)
        assert_same(found, by_autograd(model, x, 0.15, l1_on), 1e-10, largest_term(model, x, 0.15))
        assert sum(listed) == (h > 0).sum() and len(listed) == 3  # all its chunks
        listed.clear()


def test_each_chunk_is_counted_for_itself(listed):
    x = torch.randn(96, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = with_few_active(model_of(21, 64, 0), x, 0.1)
    x[32:64] *= 100  # against the same bias half of the codes are active
    assert_same(by_hand(model, x, 0.1, "normalised", 32), by_autograd(model, x, 0.1, "normalised"), 1e-10)
    assert len(listed) == 2


@pytest.fixture
def added_frames(monkeypatch) -> list[int]:
    """Of how many frames gradients of listed codes were added up together, each time."""
    counts, add_gradients = [], sparse_products.ActiveCodesOfTraining.add_gradients

    def counted(active, W_dec_t, x, *given):
        counts.append(len(x))
        add_gradients(active, W_dec_t, x, *given)

    monkeypatch.setattr(sparse_products.ActiveCodesOfTraining, "add_gradients", counted)
    return counts


@pytest.mark.parametrize(
    ("n_chunks", "share", "together"),
    [
        (1, 0.01, [32] * 7 + [20]),
        (3, 0.01, [96, 96, 52]),
        (100, 0.01, [244]),
        (100, 0.1, [64, 64, 64, 52]),  # of which there is no room for more
    ],
)
@pytest.mark.parametrize("tile_features", [24, 1000])
def test_chunks_of_few_active_codes_are_added_up_together(
    monkeypatch, listed, added_frames, tile_features, n_chunks, share, together
):
    monkeypatch.setattr(sparse_products, "TILE_BYTES", tile_features * 21 * 8)
    monkeypatch.setattr(sparse_products, "FRAMES_BYTES", n_chunks * 32 * 21 * 8)
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    for module in (sparse_products, gradients):
        monkeypatch.setattr(module, "most_active", lambda n_columns, dtype: 0.25)
    x = torch.randn(244, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = with_few_active(model_of(21, 133, 0), x, share)
    assert_same(by_hand(model, x, 0.1, "normalised", 32), by_autograd(model, x, 0.1, "normalised"), 1e-10)
    assert sum(listed) == (model.encode(x).h > 0).sum() and len(listed) == 8
    assert added_frames == together and listed.n_without_forming == 7


@pytest.mark.parametrize(
    ("shares", "together", "n_without_forming"),
    [
        ((0.05, 0.05, 0.05, 0.2), [96, 32], 2),  # there is no room for the last chunk, which nobody expected
        ((0.05, 0.19, 0.02), [64, 32], 1),  # for the second there is room, but too little to be sure of beforehand
    ],
)
def test_chunks_of_more_active_codes_than_expected(
    monkeypatch, listed, added_frames, shares, together, n_without_forming
):
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    for module in (sparse_products, gradients):
        monkeypatch.setattr(module, "most_active", lambda n_columns, dtype: 0.25)
    model, n_active = model_of(64, 64, 0), [round(64 * share) for share in shares]
    x = torch.eye(64, dtype=torch.float64).repeat_interleave(32, dim=0)[: 32 * len(shares)]
    with torch.no_grad():
        model.b_enc.zero_()
        for chunk, n in enumerate(n_active):  # the codes of a frame of this chunk are a column of W_enc
            model.W_enc[:, chunk] = torch.where(torch.arange(64) < n, 0.5, -0.5)
    assert_same(by_hand(model, x, 0.1, "normalised", 32), by_autograd(model, x, 0.1, "normalised"), 1e-10)
    assert list(listed) == [32 * n for n in n_active] and added_frames == together
    assert listed.n_without_forming == n_without_forming


def test_many_active_codes_between_few_are_not_listed(monkeypatch, listed, added_frames):
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    x = torch.randn(160, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = with_few_active(model_of(21, 64, 0), x, 0.05)
    x[64:96] *= 100  # against the same bias half of the codes are active
    assert_same(by_hand(model, x, 0.1, "normalised", 32), by_autograd(model, x, 0.1, "normalised"), 1e-10)
    assert len(listed) == 4 and added_frames == [64, 64]


def test_rounding_does_not_depend_on_the_batch_before(monkeypatch, listed):
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    model = with_few_active(model_of(64, 256, 0, torch.float32), x, 0.1)
    compute = gradients.ChunkedGradients(model, "normalised", torch.zeros(256, dtype=torch.int64))
    losses, found = [], []
    for _ in range(2):
        losses.append(compute(x, 0.1))
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert losses[0] == losses[1] and len(listed) == 4
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_several_chunks_of_few_active_codes_in_bf16(monkeypatch, listed, added_frames):
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    x = torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    model = with_few_active(model_of(64, 256, 0, torch.float32), x, 0.03)
    compute = gradients.ChunkedGradients(model, "normalised", torch.zeros(256, dtype=torch.int64), torch.bfloat16)
    loss = compute(x, 0.1)
    expected, gradient = by_autograd(model, x, 0.1, "normalised")
    torch.testing.assert_close(loss.total, expected.total.detach(), rtol=0.02, atol=0)
    for parameter, reference in zip(model.parameters(), gradient, strict=True):
        assert (parameter.grad - reference).norm() < 0.1 * reference.norm()
    assert len(listed) == 3 and listed.n_without_forming == 0 and added_frames == [96]


@pytest.mark.parametrize(
    ("has_matrix_units", "share", "together"),
    [(False, 0.12, [64, 32]), (True, 0.12, []), (True, 0.07, [96])],  # room is for a quarter of a chunk in both cases
)
def test_matrix_units_multiply_all_codes_in_bf16_where_fewer_are_active(
    monkeypatch, added_frames, has_matrix_units, share, together
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_matrix_units)
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 32)
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    model = with_few_active(model_of(64, 256, 0, torch.float32), x, share)
    gradients.ChunkedGradients(model, "normalised", torch.zeros(256, dtype=torch.int64), torch.bfloat16)(x, 0.1)
    assert added_frames == together


@pytest.mark.parametrize("tile_features", [8, 32])
def test_as_many_active_codes_as_there_is_room_for(listed, monkeypatch, tile_features):
    monkeypatch.setattr(sparse_products, "TILE_BYTES", tile_features * 64 * 8)
    for module in (sparse_products, gradients):
        monkeypatch.setattr(module, "most_active", lambda n_columns, dtype: 0.25)
    monkeypatch.setattr(gradients, "chunk_frames", lambda *given: 64)
    model, x = model_of(64, 32, 0), torch.eye(64, dtype=torch.float64)  # the code of a frame is a column of W_enc
    is_active = torch.zeros(64, 32, dtype=torch.bool)
    is_active[:31, :16] = is_active[31, :14] = is_active[-1, 0] = True
    assert is_active.sum() == 512 - 1
    for frame in (-1, -2):  # and one more in the end, which makes a quarter: then all are multiplied
        is_active[frame, 0] = True
        with torch.no_grad():
            model.b_enc.zero_()
            model.W_enc.copy_(torch.where(is_active.T, 0.5, -0.5))
        assert_same(by_hand(model, x, 0.1, "normalised", 64), by_autograd(model, x, 0.1, "normalised"), 1e-10)
    assert listed == [512 - 1]


@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
def test_multiplying_only_active_codes_is_as_exact_as_float32_allows(listed, l1_on):
    x = torch.randn(512, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact, single = (with_few_active(model_of(64, 1024, 0), x, 0.05) for _ in range(2))
    loss, found = by_hand(single.float(), x.float(), 0.02, l1_on, 128)
    as_double = type(loss)(*(value.double() for value in loss)), [gradient.double() for gradient in found]
    assert_same(as_double, by_autograd(exact, x, 0.02, l1_on), 2e-5)
    assert len(listed) == 4


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The operations of torch that a GPU runs, in place of the kernels for a CPU."""
    monkeypatch.setattr(elementwise, "has_kernels", lambda tensor: False)


@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_what_a_gpu_runs_equals_autograd_in_float64(as_on_a_gpu, l1_on, scale):
    for seed in range(5):
        model = model_of(7, 40, seed)
        x = torch.randn(30, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
        x[::4] = 0
        with torch.no_grad():
            model.b_enc[:9] = -1e6  # dead
        assert_same(by_hand(model, x, 0.15, l1_on, 11), by_autograd(model, x, 0.15, l1_on), 1e-10)


def test_threads_share_the_chunks_and_give_what_one_gives():
    model = model_of(16, 64, 0)
    x = torch.randn(500, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    alone, before = by_hand(model, x, 0.1, "normalised", 32), torch.get_num_threads()
    for n_threads in (2, 3, 40):
        with torch_threads(n_threads):
            together = by_hand(model, x, 0.1, "normalised", 32)
            again = by_hand(model, x, 0.1, "normalised", 32)
        assert torch.get_num_threads() == before
        assert_same(together, alone, 1e-12)
        assert all(torch.equal(one, other) for one, other in zip(together[1], again[1], strict=True))


def test_bf16_is_rounded_as_torch_rounds_it():
    generator = torch.Generator().manual_seed(0)
    h, g = (torch.randn(50, 300, generator=generator).bfloat16() for _ in range(2))
    bias, sums, square_sums = torch.randn(300, generator=generator), torch.empty(50), torch.empty(50)
    terms = elementwise.RowTerms.empty(50, 4, torch.empty(0))
    active = (h.float() + bias).relu().bfloat16()
    elementwise.relu_with_sums(h, bias, sums, square_sums)
    assert torch.equal(h, active)
    torch.testing.assert_close(sums, active.float().sum(dim=1))
    torch.testing.assert_close(square_sums, active.float().square().sum(dim=1))
    terms.addend.fill_(0.37)
    terms.factor.copy_(torch.rand(50, generator=generator))
    exact = g.double() + terms.addend[:, None].double() - terms.factor[:, None].double() * h.double()
    terms.inverse_rms.fill_(0.5)
    b_enc_gradient = torch.ones(300)
    elementwise.where_active(g, h, terms, b_enc_gradient)
    expected = 1 + 0.5 * exact.where(h > 0, 0).sum(dim=0)
    torch.testing.assert_close(b_enc_gradient, expected.float(), rtol=1e-5, atol=1e-5)
    assert (g[h == 0] == 0).all()
    rounded = exact.float().bfloat16()
    assert (g == rounded)[h > 0].float().mean() > 0.999  # but where a fused product ends up on the other side of a tie
    assert (g.double() - exact)[h > 0].abs().max() <= (exact[h > 0].abs() * 2**-8).max()


def test_a_nan_is_not_lost_on_the_way():
    broken = model_of(4, 8, 0, torch.float32)
    with torch.no_grad():
        broken.W_enc[3] = float("nan")
    assert not by_hand(broken, torch.randn(10, 4), 0.1, "normalised", 8)[0].total.isfinite()
    model = model_of(4, 8, 0, torch.float32)
    for value in (float("nan"), float("inf")):
        x = torch.randn(10, 4)
        x[3, 2] = value
        assert not by_hand(model, x, 0.1, "normalised", 8)[0].total.isfinite()


@pytest.mark.parametrize("n_features", [64, 61])  # eight are looked at at once, and the rest one by one
@pytest.mark.parametrize("n_frames", [32, 64])  # of which the second 32 are listed without forming codes
def test_a_nan_among_few_active_codes_is_not_lost(listed, n_frames, n_features):
    x = torch.randn(n_frames, 21, dtype=torch.float64)
    model = with_few_active(model_of(21, n_features, 0), x, 0.02)
    with torch.no_grad():
        model.b_enc[-1] = -1e6
        model.W_enc[-1, 0], x[:, 0] = 0, 0
        x[-1, 0] = torch.inf  # times 0 this is not a number, and times other weights it is without end
        model.W_enc[:-1, 0] = -1.0
    loss, found = by_hand(model, x, 0.1, "normalised", 32)
    assert len(listed) == n_frames // 32 and not loss.total.isfinite()
    assert not found[0][-1].isfinite().any()


@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
def test_frames_that_activate_nothing_and_dead_features(l1_on):
    model = model_of(6, 20, 0)
    with torch.no_grad():
        model.b_enc[:5] = -1e6  # dead
    x = torch.randn(30, 6, dtype=torch.float64)
    x[::3] = 0
    with torch.no_grad():
        model.b_enc[5:] = -0.1  # so that the zero frames activate nothing
    assert (model.encode(x).h[::3] == 0).all()
    found = by_hand(model, x, 0.05, l1_on, 32)
    assert_same(found, by_autograd(model, x, 0.05, l1_on), 1e-10)
    assert (found[1][0][:5] == 0).all()


@pytest.mark.parametrize("l1_on", ["normalised", "hidden"])
def test_float32_is_as_exact_as_float32_allows(l1_on):
    exact, single = model_of(64, 1024, 0), model_of(64, 1024, 0, torch.float32)
    x = torch.randn(512, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_same(
        tuple(
            [value.double() for value in part] if index else type(part)(*(value.double() for value in part))
            for index, part in enumerate(by_hand(single, x.float(), 0.02, l1_on, 128))
        ),
        by_autograd(exact, x, 0.02, l1_on),
        2e-5,
    )


def test_products_are_exact_in_the_library_that_was_chosen():
    said = products.use_fast_exact_products()
    a, b = torch.randn(300, 200), torch.randn(200, 400)
    assert (a @ b - a.double() @ b.double()).abs().max() < 1e-3, str(said)
    assert (said.precision, said.dtype) == ("fp32", torch.float32) and said.largest_error < 1e-3


def test_a_library_that_rounds_to_bf16_is_found_out(monkeypatch):
    """On a processor with matrix units for bf16 the permission means what it says."""
    errors = iter([0.1, 1e-5])
    monkeypatch.setattr(products, "_is_intel", lambda: False)
    monkeypatch.setattr(products, "_product_error", lambda dtype, device: next(errors))
    assert products.use_fast_exact_products() == ("torch's own", "fp32", 1e-5)
    assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"


def test_buffers_are_kept_between_batches():
    model = model_of(4, 8, 0)
    compute = gradients.ChunkedGradients(model, "normalised", torch.zeros(8, dtype=torch.int64))
    places = [parameter.grad.data_ptr() for parameter in model.parameters()]
    for n_frames in (5, 3, 40):
        x = torch.randn(n_frames, 4, dtype=torch.float64)
        loss = compute(x, 0.1)
        expected = by_autograd(model, x, 0.1, "normalised")
        torch.testing.assert_close(loss.total, expected[0].total.detach())
    assert [parameter.grad.data_ptr() for parameter in model.parameters()] == places
