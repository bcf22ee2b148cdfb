"""The transformer of a flow: the released code's numbers and names, what depends on what, half precision, training."""

import numpy as np
import pytest
import torch

from diffrhythm_files import N_HEADS, REFERENCE, shapes, state
from sonolens.generators.transformer import FlowTransformer, ResponseNorm, Sizes, TimeEmbedding

TINY = Sizes(64, 2, N_HEADS, 128, 8, 512, 1, 364, 2048)
RELEASED = Sizes(2048, 16, 32, 8192, 64, 512, 4, 364, 2048)
SMALL = Sizes(32, 4, 2, 48, 6, 20, 1, 5, 30, d_condition=12, has_duration=True)


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return {key: torch.from_numpy(file[key]) for key in file}


def tiny(has_duration: bool = False) -> FlowTransformer:
    network = FlowTransformer(TINY._replace(has_duration=has_duration))
    network.load_state_dict({key.removeprefix("transformer."): weight for key, weight in state(has_duration).items()})
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    return tiny()


def drawn(sizes: Sizes, n_rows: int, n_frames: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Arguments of a forward pass, at random."""
    rng = torch.Generator().manual_seed(seed)
    states = [torch.randn(n_rows, n_frames, sizes.d_latent, generator=rng) for _ in range(2)]
    t, start, duration = torch.rand(3, n_rows, generator=rng)
    return {
        "x": states[0],
        "cond": states[1],
        "tokens": torch.randint(sizes.n_tokens, (n_rows, n_frames), generator=rng),
        "t": t,
        "style": torch.randn(n_rows, sizes.d_condition, generator=rng),
        "start": start,
        "duration": duration,
    }


def of_reference(reference: dict, is_null: bool) -> dict[str, torch.Tensor]:
    tokens = reference["text"].long()
    return {
        "x": reference["x"],
        "cond": torch.zeros_like(reference["x"]),
        "tokens": torch.zeros_like(tokens) if is_null else tokens,
        "t": torch.tensor([0.25]),
        "style": reference["negative_style" if is_null else "style"],
        "start": torch.zeros(1),
        "duration": torch.tensor([0.7]),
    }


@pytest.mark.parametrize(("is_null", "expected"), [(False, "velocity"), (True, "velocity_null")])
def test_velocities_are_those_of_the_released_code(network, reference, is_null, expected):
    torch.testing.assert_close(network(**of_reference(reference, is_null)), reference[expected], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("table", "has_duration", "n_tensors", "n_parameters"),
    [("keys_2048", False, 219, 1_109_315_648), ("keys_6144", True, 223, 1_109_709_888)],
)
def test_keys_and_shapes_are_those_of_the_released_code(table, has_duration, n_tensors, n_parameters):
    with torch.device("meta"):
        built = FlowTransformer(RELEASED._replace(has_duration=has_duration))
    found = {f"transformer.{key}": tuple(tensor.shape) for key, tensor in built.state_dict().items()}
    assert found == shapes(table) and len(found) == n_tensors
    assert sum(weight.numel() for weight in built.parameters()) == n_parameters


def test_a_text_prepared_once_serves_all_rows_and_times(network):
    given = drawn(TINY, 3, 24)
    given["tokens"] = given["tokens"][:1].expand(3, -1)
    expected = network(**given)
    words = network.prepare(given.pop("tokens")[:1])
    assert len(words.fused) == TINY.depth // 2
    torch.testing.assert_close(network.velocity(words=words, **given), expected, atol=1e-5, rtol=0)


def test_rows_do_not_depend_on_their_company(network):
    given = drawn(TINY, 5, 24)
    together = network(**given)
    for row in range(5):
        alone = network(**{name: value[row : row + 1] for name, value in given.items()})
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("changed", ["x", "cond", "tokens", "t", "style", "start", "duration"])
def test_everything_given_counts(changed):
    network = tiny(has_duration=True)
    given, other = drawn(TINY, 1, 24), drawn(TINY, 1, 24, seed=1)
    assert (network(**given) - network(**given | {changed: other[changed]})).abs().max() > 1e-3


def test_only_a_network_of_songs_is_told_how_long_they_are(network):
    given = drawn(TINY, 2, 24)
    assert torch.equal(network(**given), network(**given | {"duration": torch.zeros(2)}))


def test_every_frame_hears_every_other(network):
    given = drawn(TINY, 1, 200)
    before = network(**given)
    for frame, far in ((0, -1), (-1, 0)):  # beyond what the convolutions reach
        changed = given["x"].clone()
        changed[:, frame] += 1
        assert (network(**given | {"x": changed}) - before)[:, far].abs().max() > 1e-4


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 3e-3), (torch.bfloat16, 3e-2)])
def test_half_precision_is_near_float32(network, dtype, bound):
    """Within a share of the velocity's spread; at late times, where sinusoids of a rounded time were others."""
    given = drawn(TINY, 4, 64) | {"t": torch.tensor([0.7321, 0.8517, 0.9123, 0.9871])}
    halved = {name: value.to(dtype) if name in ("x", "cond", "style") else value for name, value in given.items()}
    expected, found = network(**given), tiny().to(dtype)(**halved)
    assert found.dtype == dtype
    assert (found.float() - expected).square().mean().sqrt() < bound * expected.std()


def test_times_are_counted_in_float32():
    embedding = TimeEmbedding(16).requires_grad_(False)
    t = torch.tensor([0.9871])
    torch.testing.assert_close(embedding.bfloat16()(t).float(), embedding.float()(t), atol=2e-2, rtol=0)


def test_the_length_of_a_channel_may_be_beyond_half_precision():
    norm = ResponseNorm(4).requires_grad_(False)
    norm.gamma.fill_(0.5)
    x = torch.full((1, 2048, 4), 3000.0) * torch.tensor([1.0, 0.5, 0.25, 0.25])
    torch.testing.assert_close(norm.half()(x.half()).float(), norm.float()(x), atol=0, rtol=2e-3)


@pytest.mark.parametrize("n_text_blocks", [0, 1])
def test_a_small_one_learns_and_all_of_it_takes_part(n_text_blocks):
    network = FlowTransformer(SMALL._replace(n_text_blocks=n_text_blocks))
    given = drawn(SMALL, 8, 16)
    wanted = given["x"].roll(1, 1) + given["style"][:, None, :6]
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = (network(**given) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    still = [name for name, weight in network.named_parameters() if not weight.grad.abs().max() > 0]
    assert not still


def test_without_text_blocks_a_token_is_its_embedding():
    network = FlowTransformer(SMALL._replace(n_text_blocks=0))
    tokens = torch.tensor([[3, 0, 3]])
    assert torch.equal(network.prepare(tokens).embedded, network.text_embed.text_embed.weight[tokens])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"d_model": 40, "n_heads": 4}, "d_model 40 has to be a multiple of 16"),
        ({"n_heads": 3}, "an even number for each of n_heads 3"),
        ({"n_heads": 32}, "an even number for each of n_heads 32"),
        ({"d_text": 21}, "d_text 21 has to be even"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        FlowTransformer(SMALL._replace(**changes))


def test_more_frames_than_it_knows_are_refused():
    with pytest.raises(ValueError, match="31 frames are more than the 30"):
        FlowTransformer(SMALL)(**drawn(SMALL, 1, 31))
