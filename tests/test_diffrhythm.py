"""DiffRhythm: the released code's path from noise to latents, guidance, its files whole and damaged, its card."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from diffrhythm_files import N_HEADS, REFERENCE, state, write_checkpoint, write_files
from sonolens import experiment, plugins
from sonolens.downloads.licences import licence
from sonolens.generators import diffrhythm, diffrhythm_prompts

CARD = plugins.card("generators", "diffrhythm")
N_FRAMES = 24
LATE, LAYER = 0.8, "transformer.transformer_blocks.0.mlp.gate_proj.weight"


def options(**changes) -> dict:
    """The card's defaults, for the tiny network."""
    filled = {"n_heads": N_HEADS, "n_frames": N_FRAMES} | changes
    experiment.check(filled, CARD["options"])
    return filled


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return {key: torch.from_numpy(file[key]) for key in file}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Files of the tiny network of either kind, by whether it is told how long the song is, in float32."""
    return {kind: write_files(tmp_path_factory.mktemp("files"), kind, torch.float32) for kind in (False, True)}


@pytest.fixture(scope="module")
def loaded(released):
    """A function that loads one with some options."""

    def load(has_duration: bool = False, **changes):
        return diffrhythm.load(released[has_duration], options(**changes), "cpu")

    return load


@pytest.fixture(scope="module")
def generator(loaded):
    return loaded()


def drawn(n_rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """States and styles."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n_rows, N_FRAMES, 8, generator=rng), torch.randn(n_rows, 512, generator=rng)


# The released code's numbers


def test_the_path_is_that_of_the_released_code(loaded, reference):
    generator = loaded(n_frames=40, guidance=4.0)
    # that path has a text, which no prompt here has: one row with it, one without
    texts = reference["text"].long()
    generator.words = generator.network.prepare(torch.cat([texts, torch.zeros_like(texts)]))
    x, times = reference["trajectory"][0], reference["times"]
    path = [x]
    for t, following in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        x = x + (following - t) * generator.velocity(x, t, reference["style"])
        path.append(x)
    assert len(path) == 32
    torch.testing.assert_close(torch.stack(path), reference["trajectory"], atol=1e-4, rtol=0)


def test_guidance_leads_away_from_the_negative_style_without_text_or_melody(loaded, reference):
    x, styles = drawn(3)
    network = loaded().network

    def plain(style):
        nothing = torch.zeros(3)
        tokens = torch.zeros(3, N_FRAMES, dtype=torch.long)
        return network(x, torch.zeros_like(x), tokens, torch.full((3,), LATE), style, nothing, nothing)

    wanted, null = plain(styles), plain(reference["negative_style"].expand(3, -1))
    assert (wanted - null).abs().max() > 0.1
    for guidance in (0.0, 1.5):
        found = loaded(guidance=guidance).velocity(x, LATE, styles)
        torch.testing.assert_close(found, wanted + guidance * (wanted - null), atol=1e-4, rtol=0)


def test_rows_do_not_depend_on_their_company(generator):
    x, styles = drawn(4)
    together = generator.velocity(x, LATE, styles)
    assert together.dtype == torch.float32 and together.shape == x.shape
    for row in range(4):
        alone = generator.velocity(x[row : row + 1], LATE, styles[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


def test_a_network_of_songs_is_told_that_the_song_ends_with_its_frames(loaded):
    generator = loaded(has_duration=True, guidance=0.0)
    x, styles = drawn(1)
    network, tokens = generator.network, torch.zeros(1, N_FRAMES, dtype=torch.long)
    t, start = torch.tensor([LATE]), torch.zeros(1)
    expected, other = (
        network(x, torch.zeros_like(x), tokens, t, styles, start, torch.tensor([share])) for share in (24 / 6144, 1.0)
    )
    found = generator.velocity(x, LATE, styles)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - other).abs().max() > 1e-2


def test_latents_are_the_states_themselves(generator):
    x, _ = drawn(2)
    found = generator.latents(x.double())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x.numpy())


# Sizes and precision


@pytest.mark.parametrize(("has_duration", "max_frames"), [(False, 2048), (True, 6144)])
def test_what_it_generates_is_read_off_the_file(loaded, has_duration, max_frames):
    generator = loaded(has_duration, n_frames=None)
    assert (generator.n_frames, generator.d_latent, generator.d_condition) == (max_frames, 8, 512)
    assert generator.network.sizes == (64, 2, N_HEADS, 128, 8, 512, 1, 364, max_frames, 512, has_duration)


def test_more_frames_than_the_network_has_are_refused(loaded):
    with pytest.raises(ValueError, match="n_frames 2049 is more than the 2048"):
        loaded(n_frames=2049)


def test_released_weights_are_computed_with_in_float32_on_a_cpu(tmp_path, capsys):
    files = write_files(tmp_path)
    network = diffrhythm.load(files, options(), "cpu").network
    assert capsys.readouterr().out == ""
    for key, weight in state().items():
        assert torch.equal(network.state_dict()[key.removeprefix("transformer.")], weight.half().float())
    assert not any(weight.requires_grad for weight in network.parameters())
    diffrhythm.load(files, options(precision="bfloat16"), "cpu")
    assert "computes in float32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("auto", torch.float16), ("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float32", torch.float32)],
)
def test_precision_on_a_gpu(precision, expected):
    assert diffrhythm.precision_of(options(precision=precision), "cuda") == expected


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 0.005), (torch.bfloat16, 0.05)])
def test_half_precision_is_near_float32(released, generator, dtype, bound):
    """Within a share of the velocity's spread; guidance by 4 makes errors larger."""
    checkpoint, style = released[False]
    network = diffrhythm.read_network(checkpoint, N_HEADS, "cpu", dtype)
    halved = diffrhythm.DiffRhythm(network, diffrhythm.read_style(style, 512), N_FRAMES, 4.0, "cpu")
    x, styles = drawn(2)
    expected, found = generator.velocity(x, LATE, styles), halved.velocity(x, LATE, styles)
    assert found.dtype == torch.float32
    assert (found - expected).square().mean().sqrt() < bound * expected.std()


@pytest.mark.parametrize(
    ("n_rows", "n_frames", "width"), [(2, N_FRAMES, 512), (1, N_FRAMES - 1, 512), (1, N_FRAMES, 64)]
)
def test_states_and_styles_of_other_shapes_are_refused(generator, n_rows, n_frames, width):
    with pytest.raises(ValueError, match="takes states"):
        generator.velocity(torch.zeros(n_rows, n_frames, 8), LATE, torch.zeros(1, width))


# Files


def load_checkpoint(path: Path, released: dict):
    return diffrhythm.load([str(path), released[False][1]], options(), "cpu")


def test_buffers_that_follow_from_sizes_may_be_in_the_file(tmp_path, released, generator):
    buffers = {
        "transformer.text_embed.freqs_cis": torch.zeros(16, 512),
        "transformer.rotary_emb.inv_freq": torch.zeros(16),
    }
    path = write_checkpoint(tmp_path / "cfm_model.pt", state() | buffers, torch.float32)
    x, styles = drawn(1)
    found = load_checkpoint(path, released).velocity(x, LATE, styles)
    assert torch.equal(found, generator.velocity(x, LATE, styles))


def without(key: str) -> dict:
    return {other: weight for other, weight in state().items() if other != key}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (without(LAYER), f"{LAYER} is missing"),
        (without("transformer.proj_out.weight"), "proj_out.weight is missing"),
        (without("transformer.proj_out.bias"), r"1 key missing \(proj_out.bias \(8,\)\)"),
        (without("transformer.time_embed.time_mlp.0.bias"), "1 key missing"),
        (state() | {"transformer.extra.weight": torch.zeros(3)}, r"not expected \(extra.weight \(3,\)\)"),
        (state() | {LAYER: torch.zeros(100, 64)}, "of another shape"),
        (state() | {LAYER: torch.zeros(128)}, rf"{LAYER} is of shape \(128,\)"),
        (state() | {"transformer.proj_out.bias": torch.zeros(9)}, r"proj_out.bias \(9,\), expected \(8,\)"),
        (state() | {"transformer.proj_out.bias": torch.full((8,), torch.nan)}, "not finite"),
        (state() | {"step": torch.zeros(1)}, r"1 keys that do not start with transformer. \(step\)"),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path, released, weights, said):
    path = write_checkpoint(tmp_path / "cfm_model.pt", weights)
    with pytest.raises(ValueError, match=said) as raised:
        load_checkpoint(path, released)
    assert str(path) in str(raised.value)


def torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)


def with_a_turned_byte(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 0xFF
    path.write_bytes(content)


UNREADABLE, OTHER = "cannot be read as a checkpoint", "holds no model_state_dict"
SPOILT = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-1000]), UNREADABLE),
    "empty": (lambda path: path.write_bytes(b""), UNREADABLE),
    "web page": (lambda path: path.write_text("<!doctype html><title>Sign in</title>"), UNREADABLE),
    "turned byte": (with_a_turned_byte, "wrong checksum"),
    "autoencoder": (torchscript, UNREADABLE),
    "other archive": (lambda path: zipfile.ZipFile(path, "w").writestr("a/b", "c"), UNREADABLE),
    "code": (lambda path: torch.save({"model_state_dict": Path("x")}, path), UNREADABLE),
    "other content": (lambda path: torch.save([1, 2], path), OTHER),
    "bare weights": (lambda path: torch.save(state(), path), OTHER),
}


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_spoilt_and_foreign_files_are_refused(tmp_path, released, kind):
    spoil, said = SPOILT[kind]
    path = write_checkpoint(tmp_path / "cfm_model.pt", state())
    spoil(path)
    with pytest.raises(ValueError, match=said) as raised:
        load_checkpoint(path, released)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_called_so(tmp_path, released):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        load_checkpoint(tmp_path / "gone.pt", released)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: np.save(path, np.zeros((2, 512))), r"\(1, 512\) but \(2, 512\)"),
        (lambda path: np.save(path, np.full((1, 512), np.nan)), "no finite style"),
        (lambda path: path.write_text("<!doctype html>"), "cannot be read as an array"),
        (lambda path: path.write_bytes(b""), "cannot be read as an array"),
    ],
)
def test_another_negative_style_is_refused(tmp_path, released, write, said):
    path = tmp_path / "vocal.npy"
    write(path)
    with pytest.raises(ValueError, match=said) as raised:
        diffrhythm.load([released[False][0], str(path)], options(), "cpu")
    assert str(path) in str(raised.value)


# The card


def test_the_card_names_the_files_of_every_variant_each_under_a_name_of_its_own():
    assert set(CARD["variants"]) == set(CARD["options"]["properties"]["variant"]["enum"])
    files = [variant["files"] for variant in CARD["variants"].values()]
    checkpoints, styles, *of_prompts = zip(*files, strict=True)
    assert len({file["name"] for file in checkpoints}) == len({file["url"] for file in checkpoints}) == 4
    assert {file["name"] for file in styles} == {"vocal.npy"}
    assert [{file["name"] for file in same} for same in of_prompts] == [
        {diffrhythm_prompts.CHECKPOINT},
        {diffrhythm_prompts.TOKENIZER},
    ]
    assert CARD["prompt_files"] == [diffrhythm_prompts.CHECKPOINT, diffrhythm_prompts.TOKENIZER]
    assert not any(licence(file["licence"]).restricts for file in checkpoints + styles)


@pytest.mark.parametrize(("variant", "n_frames"), [("v1_2", 2048), ("v1_2_full", 6144), ("base", 2048), ("full", 6144)])
def test_the_card_states_what_a_variant_generates(variant, n_frames):
    stated = plugins.with_variant(CARD, {"variant": variant})
    assert (stated["n_frames"], stated["d_latent"], stated["d_condition"]) == (n_frames, 64, 512)


def test_defaults_are_those_of_the_authors():
    assert {key: options()[key] for key in ("guidance", "variant", "precision")} == {
        "guidance": 4.0,
        "variant": "v1_2",
        "precision": "auto",
    }
    filled = {}
    experiment.check(filled, CARD["options"])
    assert (filled["n_heads"], filled["n_frames"], filled["styles"]) == (32, None, None)
