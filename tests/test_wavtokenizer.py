"""WavTokenizer: its released code's numbers, its decoder's parts worked out by hand, its files, lengths, alignment."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deterministic_weights import test_tone as tone
from sonolens import experiment, plugins
from sonolens.encoders import vocos, wavtokenizer
from wavtokenizer_files import VARIANTS, layout, shapes, state, write_checkpoint, write_files, write_layout

REFERENCE = Path(__file__).parent / "data" / "wavtokenizer_frame40.npz"
AT_75_HZ, AT_40_HZ = "medium_music_audio_75token", "large_unify_40token"
HOPS = {AT_75_HZ: 320, AT_40_HZ: 600}


def options(**changes) -> dict:
    """The card's defaults."""
    filled = dict(changes)
    experiment.check(filled, plugins.card("encoders", "wavtokenizer")["options"])
    return filled


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, n_samples))).astype(np.float32)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    """Files of both variants with a small decoder."""
    return {variant: write_files(tmp_path_factory.mktemp(variant), variant, is_small=True) for variant in VARIANTS}


@pytest.fixture(scope="module")
def small(small_files):
    """A function that loads one of them with other options; the same ones once."""
    loaded = {}

    def load(variant: str, **changes):
        key = (variant, *sorted(changes.items()))
        if key not in loaded:
            loaded[key] = wavtokenizer.load(small_files[variant], options(variant=variant, **changes), "cpu")
        return loaded[key]

    return load


# The released code's numbers


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The 40 Hz variant at its real size: pre-quantised, and with bandwidth 3."""
    folder = tmp_path_factory.mktemp("full")
    files = write_files(folder, AT_40_HZ)
    encoders = [
        wavtokenizer.load(files, options(variant=AT_40_HZ, latent=latent, bandwidth_id=bandwidth_id), "cpu")
        for latent, bandwidth_id in (("pre_quantised", 0), ("post_quantised", 3))
    ]
    for path in files:
        Path(path).unlink()
    return encoders


def test_latents_and_codes_are_those_of_the_released_code(full, reference):
    embedded = full[0].encode(tone())
    np.testing.assert_allclose(embedded, reference["pre_quantised"][0].T, atol=1e-5)
    np.testing.assert_array_equal(full[0].codes(embedded), reference["codes"][0, 0])
    quantised = full[1].encode(tone())
    mean, std = reference["post_quantised_check"]
    assert float(quantised.mean(dtype=np.float64)) == pytest.approx(mean, abs=1e-6)
    assert float(quantised.std(dtype=np.float64, ddof=1)) == pytest.approx(std, abs=1e-6)


def test_audio_is_that_of_the_released_code(full, reference):
    quantised = full[1].encode(tone())
    for encoder, expected in zip(full, ("audio_bandwidth_id_0", "audio_bandwidth_id_3"), strict=True):
        np.testing.assert_allclose(encoder.decode(quantised), reference[expected], atol=1e-5)
    from_no_audio = np.random.default_rng(7).standard_normal((1, 512, 23)).astype(np.float32)[0].T
    np.testing.assert_allclose(full[0].decode(from_no_audio), reference["audio_from_rng7_latent"], atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys_and_shapes_are_those_of_the_released_code(variant, tmp_path):
    network = wavtokenizer.empty_network(
        wavtokenizer.read_layout(write_layout(tmp_path / "layout.yaml", layout(variant)))
    )
    found = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert found == shapes(variant) and len(found) == 289


# Parts of the decoder, worked out another way


def test_the_inverse_transform_is_the_weighted_sum_of_windowed_frames():
    n_fft, hop, n_frames = 8, 2, 5
    rng = np.random.default_rng(0)
    spectrum = (rng.standard_normal((5, n_frames)) + 1j * rng.standard_normal((5, n_frames))).astype(np.complex64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    times_counted = np.array([1, 2, 2, 2, 1])  # a bin stands for its mirror image, too, but for the first and the last
    total, power = np.zeros((2, (n_frames + 3) * hop))
    for frame in range(n_frames):
        for sample in range(n_fft):
            turned = spectrum[:, frame] * np.exp(2j * np.pi * np.arange(5) * sample / n_fft)
            total[frame * hop + sample] += window[sample] * (times_counted * turned.real).sum() / n_fft
            power[frame * hop + sample] += window[sample] ** 2
    kept = slice(3, 3 + n_frames * hop)
    found = vocos.SpectrumInversion(n_fft, hop)(torch.from_numpy(spectrum)[None])
    np.testing.assert_allclose(found[0].numpy(), total[kept] / power[kept], atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), [(1280, 320), (2400, 600)])
def test_the_inverse_transform_gives_back_what_was_transformed(n_fft, hop):
    audio = torch.from_numpy(noise(7 * hop))
    padded = torch.nn.functional.pad(audio, ((n_fft - hop) // 2,) * 2)
    inversion = vocos.SpectrumInversion(n_fft, hop)
    spectrum = torch.fft.rfft(padded.unfold(-1, n_fft, hop) * inversion.window).transpose(1, 2)
    torch.testing.assert_close(inversion(spectrum), audio, atol=1e-5, rtol=0)


def test_the_head_turns_numbers_into_magnitude_and_phase():
    head = vocos.SpectrumHead(4, 8, 2)
    log_magnitude, phase = np.array([0.0, 1.0, 9.0, -2.0, 0.5]), np.array([0.0, 1.0, 20.0, -3.0, 3.2])
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.copy_(torch.from_numpy(np.concatenate([log_magnitude, phase])))
    magnitude = np.minimum(np.exp(log_magnitude), 100.0)  # e⁹ is above what it may be
    spectrum = np.repeat((magnitude * np.exp(1j * phase))[:, None], 3, axis=1).astype(np.complex64)
    with torch.no_grad():
        torch.testing.assert_close(
            head(torch.zeros(1, 3, 4)), head.istft(torch.from_numpy(spectrum)[None]), atol=1e-4, rtol=0
        )


def test_the_adaptive_norm_by_hand():
    norm = vocos.AdaptiveLayerNorm(2, 4)
    x = np.array([[1.0, 2.0, 3.0, 6.0], [0.0, 0.0, 1.0, -1.0]], np.float32)
    standard = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
    with torch.no_grad():
        norm.scale.weight.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 3.0, 4.0, 5.0]]))
        norm.shift.weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.5]]))
        np.testing.assert_allclose(norm(torch.from_numpy(x), 0), standard, atol=1e-6)
        expected = standard * np.array([2.0, 3.0, 4.0, 5.0]) + np.array([1.0, 0.0, -1.0, 0.5])
        np.testing.assert_allclose(norm(torch.from_numpy(x), 1), expected, atol=1e-5)


@pytest.mark.parametrize("query_frames", [100, 4])
def test_attention_by_its_matrix(monkeypatch, query_frames):
    monkeypatch.setattr(vocos, "QUERY_FRAMES", query_frames)
    width, n_frames = 64, 11
    block = vocos.AttentionBlock(width).requires_grad_(False)
    x = torch.randn(1, width, n_frames)
    # groups of two channels, each over the whole clip
    groups = x.numpy().reshape(32, -1)
    normed = (groups - groups.mean(axis=1, keepdims=True)) / np.sqrt(groups.var(axis=1, keepdims=True) + 1e-6)
    normed = normed.reshape(width, n_frames)
    projected = {
        name: getattr(block, name).weight[:, :, 0].numpy() @ normed + getattr(block, name).bias.numpy()[:, None]
        for name in "qkv"
    }
    scores = np.exp(projected["q"].T @ projected["k"] / np.sqrt(width))
    attended = projected["v"] @ (scores / scores.sum(axis=1, keepdims=True)).T
    expected = x[0].numpy() + block.proj_out.weight[:, :, 0].numpy() @ attended + block.proj_out.bias.numpy()[:, None]
    np.testing.assert_allclose(block(x)[0].numpy(), expected, atol=1e-5)


# The decoder as a whole


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=10, deadline=None)
@given(n_frames=st.integers(1, 120), decoded_frames=st.integers(1, 60))
def test_the_local_part_of_the_decoder_in_pieces_is_that_in_one(small, variant, n_frames, decoded_frames):
    encoder = small(variant)
    latents = np.random.default_rng(n_frames).standard_normal((n_frames, 512))
    whole = encoder.decode(latents)
    before, encoder.decoded_frames = encoder.decoded_frames, decoded_frames
    try:
        np.testing.assert_allclose(encoder.decode(latents), whole, atol=1e-5)
    finally:
        encoder.decoded_frames = before


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_local_part_reaches_as_far_as_it_says_and_no_further(small, variant):
    encoder = small(variant)
    reach = encoder.backbone.reach_frames + encoder.head.reach_frames
    surveyed = np.random.default_rng(0).standard_normal((60, 64)).astype(np.float32)
    changed = surveyed.copy()
    changed[30] += np.random.default_rng(1).standard_normal(64).astype(np.float32)
    moved = np.abs(encoder._refine(changed, 0) - encoder._refine(surveyed, 0))[0]
    frames = np.flatnonzero(moved.reshape(60, encoder.hop_samples).max(axis=1))
    assert (frames.min(), frames.max()) == (30 - reach, 30 + reach)


def test_a_part_decoded_alone_is_not_the_part_of_the_whole(small):
    encoder = small(AT_75_HZ)
    latents = np.random.default_rng(0).standard_normal((200, 512))
    whole, part = encoder.decode(latents), encoder.decode(latents[:100])
    middle = slice(40 * 320, 60 * 320)  # beyond the reach of every convolution
    assert np.abs(whole[:, middle] - part[:, middle]).max() > 0.01


def test_the_bandwidth_chooses_the_tables_rows(small):
    latents = np.random.default_rng(0).standard_normal((9, 512))
    assert not np.allclose(small(AT_75_HZ).decode(latents), small(AT_75_HZ, bandwidth_id=2).decode(latents), atol=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6, 1e12])
def test_latents_that_no_audio_gave_are_decoded(small, scale):
    latents = scale * np.random.default_rng(7).standard_normal((9, 512))
    for variant in VARIANTS:
        decoded = small(variant).decode(latents)
        # n_fft / hop = 4 windows, each of all bins at the largest magnitude, over a sum of squares above 0.7
        assert np.isfinite(decoded).all() and np.abs(decoded).max() <= 4 * vocos.LARGEST_MAGNITUDE / 0.7


def test_latents_beyond_the_number_format_are_refused(small):
    with pytest.raises(
        ValueError, match=r"wavtokenizer_.* cannot decode latents as large as 3e\+38: its numbers overflow"
    ):
        small(AT_75_HZ).decode(np.full((9, 512), 3e38, np.float32) * np.sign(noise(512)))


# Encoding


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(n_samples=st.integers(1, 3000))
def test_shapes_of_any_length(small, variant, n_samples):
    encoder, hop = small(variant), HOPS[variant]
    latents = encoder.encode(noise(n_samples))
    n_frames = -(-n_samples // hop)
    assert latents.shape == (n_frames, 512) and latents.dtype == np.float32
    decoded = encoder.decode(latents)
    assert decoded.shape == (1, n_frames * hop) and decoded.dtype == np.float32


@pytest.mark.parametrize(("variant", "counts"), [(AT_75_HZ, (75, 76, 39)), (AT_40_HZ, (40, 41, 21))])
def test_frames_of_the_lengths_that_the_released_code_was_asked_for(small, variant, counts):
    assert tuple(len(small(variant).encode(noise(n))) for n in (24000, 24001, 12345)) == counts


@pytest.mark.parametrize("variant", VARIANTS)
def test_recordings_side_by_side_are_encoded_as_alone(small, variant):
    encoder = small(variant, latent="pre_quantised")
    audios = [noise(n_samples, n_samples) for n_samples in (1, 50_001, 7200, 130_000)]
    for together, audio in zip(encoder.encode_batch(audios), audios, strict=True):
        np.testing.assert_allclose(together, encoder.encode(audio), atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_latent_is_the_nearest_code_vector(small, small_files, variant):
    audio = noise(30 * HOPS[variant])
    embedded, latents = small(variant, latent="pre_quantised").encode(audio), small(variant).encode(audio)
    code_vectors = state(variant, is_small=True)["feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed"]
    distances = np.linalg.norm(embedded[:, None] - code_vectors.numpy()[None], axis=2)
    np.testing.assert_array_equal(latents, code_vectors.numpy()[distances.argmin(axis=1)])
    assert len(np.unique(distances.argmin(axis=1))) > 1


def test_codes_are_chosen_a_few_frames_at_a_time(small, monkeypatch):
    encoder = small(AT_75_HZ, latent="pre_quantised")
    embedded = encoder.encode(noise(20 * 320))
    whole = encoder.codes(embedded)
    monkeypatch.setattr(wavtokenizer, "QUANTISED_FRAMES", 7)
    np.testing.assert_array_equal(encoder.codes(embedded), whole)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_click_in_the_middle_of_a_hop_moves_its_neighbours_evenly(small, variant):
    encoder, hop = small(variant, latent="pre_quantised"), HOPS[variant]
    background, click = noise(60 * hop), noise(60 * hop)
    click[0, 30 * hop + hop // 2] += 1
    moved = np.abs(encoder.encode(click) - encoder.encode(background)).sum(axis=1)
    # what the convolutions carry; the LSTM's memory of it is below and lasts
    carried = np.flatnonzero(moved > 0.3 * moved.max())
    assert (carried.min() + carried.max()) / 2 == 30
    assert carried.min() - 1 <= np.flatnonzero(moved).min() and np.flatnonzero(moved).max() > carried.max() + 3
    assert encoder.geometry.frame_time_s(np.array([30]))[0] == pytest.approx((30.5 * hop) / 24000)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_is_where_it_is(small, variant):
    encoder, hop = small(variant, latent="pre_quantised"), HOPS[variant]
    background, step = noise(60 * hop), noise(60 * hop)
    step[0, 30 * hop :] += noise(30 * hop, 1)[0] * 5
    moved = np.abs(encoder.encode(step) - encoder.encode(background)).sum(axis=1)
    # the convolutions see four frames ahead, and before that there is nothing to see
    assert np.flatnonzero(moved > 1e-3 * moved[35:55].mean())[0] == 26
    assert np.abs(moved[35:55] / moved[35:55].mean() - 1).max() < 0.5


# What is refused


def test_wrong_input_is_refused_by_name(small):
    encoder = small(AT_75_HZ)
    for shape in [(2, 1000), (1000,), (1, 0)]:
        with pytest.raises(ValueError, match=r"wavtokenizer_medium.* encodes audio of shape \(1, n_samples\)"):
            encoder.encode(np.zeros(shape, np.float32))
    for shape in [(5, 511), (512,), (0, 512)]:
        with pytest.raises(ValueError, match=r"wavtokenizer_medium.* decodes latents of shape \(n_frames, 512\)"):
            encoder.decode(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="audio that is not finite"):
        encoder.encode(np.full((1, 1000), np.nan, np.float32))
    with pytest.raises(ValueError, match="latents that are not finite"):
        encoder.decode(np.full((3, 512), np.inf, np.float32))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_card_states_the_constants(small, variant):
    card = plugins.with_variant(plugins.card("encoders", "wavtokenizer"), {"variant": variant})
    for constant in ("sample_rate_hz", "n_channels", "d_latent", "hop_samples"):
        assert card[constant] == getattr(small(variant), constant)
    assert [Path(file["name"]).suffix for file in card["files"]] == [".ckpt", ".yaml"]
    assert all(file["url"].endswith(f"/{file['name']}") and file["licence"] == "mit" for file in card["files"])


def test_a_cpu_says_that_it_computes_in_float32(small_files, capsys):
    files = small_files[AT_75_HZ]
    encoder = wavtokenizer.load(files, options(variant=AT_75_HZ, precision="float16"), "cpu")
    assert "float16" in capsys.readouterr().out
    assert encoder.decode(np.zeros((3, 512))).dtype == np.float32


def load(tmp_path, weights: dict | None = None, content: dict | None = None, variant: str = AT_75_HZ, **changes):
    """Load small files of which one is another; the checkpoint is a few megabytes, so it is left to `tmp_path`."""
    files = [
        str(write_checkpoint(tmp_path / "model.ckpt", state(variant, is_small=True) if weights is None else weights)),
        str(write_layout(tmp_path / "model.yaml", layout(variant, is_small=True) if content is None else content)),
    ]
    return wavtokenizer.load(files, options(variant=variant, **changes), "cpu")


def test_foreign_keys_are_dropped_and_class_paths_not_read(tmp_path, small):
    encoder = load(tmp_path, content=layout(AT_75_HZ, is_small=True, package="vocos"))
    latents = np.random.default_rng(0).standard_normal((9, 512))
    np.testing.assert_array_equal(encoder.decode(latents), small(AT_75_HZ).decode(latents))


CODEBOOK = "feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("backbone.embed.bias"), r"1 key missing \(backbone.embed.bias \(64,\)\)"),
        (lambda weights: weights.pop("feature_extractor.encodec.decoder.model.0.conv.conv.bias"), r"1 key missing"),
        (lambda weights: weights.update({"head.extra": torch.zeros(2)}), r"1 key not expected \(head.extra \(2,\)\)"),
        (
            lambda weights: weights.update({CODEBOOK: torch.zeros(63, 512)}),
            r"of another shape \(.*_codebook.embed \(63, 512\), expected \(64, 512\)\)",
        ),
    ],
)
def test_a_checkpoint_of_other_keys_is_refused_with_both_files_named(tmp_path, change, message):
    weights = state(AT_75_HZ, is_small=True)
    change(weights)
    with pytest.raises(ValueError, match=rf"model\.ckpt .*model\.yaml.*{message}"):
        load(tmp_path, weights)


@pytest.mark.parametrize(("own", "other"), [(AT_75_HZ, AT_40_HZ), (AT_40_HZ, AT_75_HZ)])
def test_weights_of_the_other_variant_are_refused(tmp_path, own, other):
    message = rf"model\.ckpt holds a network of {HOPS[other]} samples a frame, .*model\.yaml is a layout of {HOPS[own]}"
    with pytest.raises(ValueError, match=message):
        load(tmp_path, weights=state(other, is_small=True), variant=own)
    with pytest.raises(ValueError, match=rf"model\.yaml is a layout of {HOPS[other]} samples.*{own} has {HOPS[own]}"):
        load(tmp_path, weights=state(other, is_small=True), content=layout(other, is_small=True), variant=own)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("backbone", "dim", None, "lacks model.init_args.backbone.init_args.dim"),
        ("feature_extractor", "dowmsamples", None, "lacks model.init_args.feature_extractor.init_args.dowmsamples"),
        ("backbone", "num_layers", "twelve", "backbone.num_layers is 'twelve'"),
        ("backbone", "num_layers", 0, "backbone.num_layers is 0"),
        ("feature_extractor", "dowmsamples", [8, 5, 4], r"strides \[8, 5, 4\] for a hop of 320"),
        ("feature_extractor", "dowmsamples", [8, 5, 4, "2"], "dowmsamples is"),
        ("feature_extractor", "num_quantizers", 8, "8 codebooks, not 1"),
        ("backbone", "input_channels", 128, "latents of width 128, not 512"),
        ("head", "dim", 32, "a head of width 32 on a backbone of 64"),
        ("head", "padding", "center", "padding 'center', not 'same'"),
        ("head", "n_fft", 1281, "windows of 1281 for a hop of 320"),
    ],
)
def test_a_layout_that_is_none_is_refused_with_its_key(tmp_path, part, key, value, message):
    content = layout(AT_75_HZ, is_small=True)
    if value is None:
        del content["model"]["init_args"][part]["init_args"][key]
    else:
        content["model"]["init_args"][part]["init_args"][key] = value
    with pytest.raises(ValueError, match=rf"model\.yaml.*{message}"):
        wavtokenizer.read_layout(write_layout(tmp_path / "model.yaml", content))


@pytest.mark.parametrize("text", [b"", b"- a\n- b\n", b"model: [", b"\xff\xfe\x00"])
def test_a_file_that_is_no_layout_is_refused(tmp_path, text):
    (tmp_path / "model.yaml").write_bytes(text)
    with pytest.raises(ValueError, match=r"model\.yaml"):
        wavtokenizer.read_layout(tmp_path / "model.yaml")


def test_a_bandwidth_that_the_layout_lacks_is_refused(tmp_path):
    content = layout(AT_75_HZ, is_small=True)
    content["model"]["init_args"]["backbone"]["init_args"]["adanorm_num_embeddings"] = 2
    with pytest.raises(ValueError, match=r"bandwidth_id is 3, but .*model\.yaml has 2 rows"):
        load(tmp_path, content=content, bandwidth_id=3)


def test_a_checkpoint_cut_off_or_of_something_else_is_refused(tmp_path, small_files):
    checkpoint, layout_file = small_files[AT_75_HZ]
    cut_off = tmp_path / "cut_off.ckpt"
    cut_off.write_bytes(Path(checkpoint).read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"cut_off\.ckpt cannot be read"):
        wavtokenizer.load([str(cut_off), layout_file], options(), "cpu")
    for name, content in (("list", [1, 2]), ("bare", {"backbone.embed.bias": torch.zeros(64)})):
        torch.save(content, tmp_path / f"{name}.ckpt")
        with pytest.raises(ValueError, match=rf"{name}\.ckpt has no state_dict"):
            wavtokenizer.load([str(tmp_path / f"{name}.ckpt"), layout_file], options(), "cpu")
