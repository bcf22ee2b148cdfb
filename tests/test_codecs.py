"""The two mini codecs, on tiny nets: geometry, bottlenecks, training, files, and the measure of their quality."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sonolens import audio, codec_evaluation, codec_training, experiment, plugins, tables
from sonolens.codec_fitting import fit_codec
from sonolens.codec_quality import mean_interval, pitch_kept_share
from sonolens.encoders import minirvq, minivae, spectrogram_codec
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.quantiser import ResidualQuantiser, nearest
from sonolens.encoders.spectrogram_codec import D_LATENT, HOP, N_BINS, read_weights, write_weights
from sonolens.labels.fine import FineTrack

RATE_HZ = spectrogram_codec.SAMPLE_RATE_HZ
MODULES = {"minivae": minivae, "minirvq": minirvq}
TINY = {"steps": 4, "batch_clips": 2, "excerpt_seconds": 0.2, "width": 16, "n_blocks": 1}
CLIP_SAMPLES = 7900  # not a whole number of hops
TINY_RVQ = {"n_codebooks": 3, "codebook_size": 8}


def options(module: str, **changes) -> dict:
    """The card's defaults, at a tiny size."""
    filled = TINY | (TINY_RVQ if module == "minirvq" else {}) | changes
    experiment.check(filled, plugins.card("encoders", module)["options"])
    return filled


def tones(n_samples: int, seed: int = 0) -> np.ndarray:
    """A few sines and a little noise, (n_samples,) float32."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / RATE_HZ
    sines = sum(0.1 * np.sin(2 * np.pi * f0 * time_s) for f0 in rng.uniform(100, 2000, 4))
    return (sines + 0.003 * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files of both codecs, a few steps old."""
    paths = {}
    for name, module in MODULES.items():
        state, _ = module.train([tones(8000, 1), tones(8000, 2)], options(name), seed=0, device="cpu")
        paths[name] = tmp_path_factory.mktemp(name) / "weights.safetensors"
        write_weights(paths[name], state, {"module": name, "options": options(name)})
    return paths


@pytest.fixture
def codec(weights):
    """A function that loads one of the codecs with other options."""
    return lambda name, **changes: MODULES[name].load([weights[name]], options(name, **changes), "cpu")


def in_chunks_of(encoder, chunk_frames: int):
    encoder.chunk_frames = chunk_frames
    return encoder


# Geometry


@pytest.mark.parametrize("sample", [5 * HOP, 5 * HOP + HOP // 2, 5 * HOP + 200])
def test_a_frame_is_centred_on_the_middle_of_its_hop(sample):
    click = torch.zeros(12 * HOP)
    click[sample] = 1.0
    energy = spectrogram_codec.magnitudes(click).square().sum(dim=-1)
    centre = float((energy * (torch.arange(12) + 0.5)).sum() / energy.sum())
    assert centre == pytest.approx(sample / HOP, abs=0.02)  # in frames


@pytest.mark.parametrize("name", MODULES)
def test_a_click_moves_the_latents_of_its_own_frame_most_and_evenly_to_both_sides(codec, name):
    encoder = codec(name, latent={"minivae": "mean", "minirvq": "pre_quantised"}[name])
    silence, click = np.zeros((2, 1, 40 * HOP), np.float32)
    click[0, 20 * HOP + HOP // 2] = 1.0
    moved = np.abs(encoder.encode(click) - encoder.encode(silence)).sum(axis=1)
    assert abs(int(moved.argmax()) - 20) <= 1
    reach = np.flatnonzero(moved > 1e-5)
    assert (reach.min() + reach.max()) / 2 == 20
    assert encoder.geometry.frame_time_s(np.array([20]))[0] == pytest.approx((20 * HOP + HOP / 2) / RATE_HZ)


@given(n_samples=st.integers(1, 5 * HOP))
def test_the_transform_is_inverted_exactly_at_any_length(n_samples):
    samples = torch.from_numpy(tones(n_samples, n_samples))
    back = spectrogram_codec.audio_of(torch.fft.rfft(spectrogram_codec.frames_of(samples)))
    assert back.shape == (-(-n_samples // HOP) * HOP,)
    torch.testing.assert_close(back[:n_samples], samples, atol=1e-5, rtol=0)


def test_compress_and_expand_are_inverse():
    magnitude = torch.tensor([0.0, 1e-3, 1.0, 256.0])
    torch.testing.assert_close(
        spectrogram_codec.expand(spectrogram_codec.compress(magnitude)), magnitude, atol=1e-5, rtol=1e-4
    )
    assert (spectrogram_codec.expand(torch.tensor([-20.0, -5.0])) == 0).all()


def test_phases_found_fit_the_magnitudes():
    magnitude = spectrogram_codec.magnitudes(torch.from_numpy(tones(RATE_HZ)))
    found = spectrogram_codec.griffin_lim(magnitude, 0)
    error = spectrogram_codec.magnitudes(found) - magnitude
    assert float(error.norm() / magnitude.norm()) < 0.15
    random = spectrogram_codec.audio_of(torch.polar(magnitude, torch.rand_like(magnitude) * 6.28))
    assert float((spectrogram_codec.magnitudes(random) - magnitude).norm() / magnitude.norm()) > 0.3
    assert torch.equal(found, spectrogram_codec.griffin_lim(magnitude, 0))


def test_an_initial_phase_follows_from_the_frame_alone():
    whole = spectrogram_codec._initial_phase(0, 600)
    np.testing.assert_array_equal(spectrogram_codec._initial_phase(250, 30), whole[250:280])
    assert len(np.unique(whole[:, 0])) > 590


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=15, deadline=None)
@given(n_samples=st.integers(1, 4 * HOP + 1))
def test_shapes_of_any_length(weights, name, n_samples):
    encoder = MODULES[name].load([weights[name]], options(name), "cpu")
    latents = encoder.encode(tones(n_samples)[None])
    n_frames = -(-n_samples // HOP)
    assert latents.shape == (n_frames, encoder.d_latent) and latents.dtype == np.float32
    decoded = encoder.decode(latents)
    assert decoded.shape == (1, n_frames * HOP) and decoded.dtype == np.float32
    assert np.isfinite(decoded).all()


@pytest.mark.parametrize("name", MODULES)
def test_latents_that_no_audio_gave_are_decoded(codec, name):
    encoder = codec(name)
    for scale in (0.0, 1.0, 1e4):
        latents = scale * np.random.default_rng(7).standard_normal((9, D_LATENT)).astype(np.float32)
        decoded = encoder.decode(latents)
        assert np.isfinite(decoded).all() and np.abs(decoded).max() < 20


def test_a_decoder_driven_out_of_range_is_held_to_what_audio_can_be(codec):
    encoder = codec("minivae")
    encoder.net.up[-1].bias += 100
    decoded = encoder.decode(np.zeros((9, D_LATENT), np.float32))
    # every bin at full scale is an impulse of N_FFT / 2 per frame at worst
    assert np.isfinite(decoded).all() and np.abs(decoded).max() <= spectrogram_codec.N_FFT / 2


@pytest.mark.parametrize("name", MODULES)
def test_wrong_shapes_are_refused_by_name(codec, name):
    encoder = codec(name)
    for shape in [(2, 1000), (1000,), (1, 0)]:
        with pytest.raises(ValueError, match=rf"{name} encodes audio of shape \(1, n_samples\)"):
            encoder.encode(np.zeros(shape, np.float32))
    for shape in [(5, D_LATENT - 1), (D_LATENT,), (0, D_LATENT)]:
        with pytest.raises(ValueError, match=rf"{name} decodes latents of shape \(n_frames, 64\)"):
            encoder.decode(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        encoder.decode(np.full((3, D_LATENT), np.nan, np.float32))


@pytest.mark.parametrize("name", MODULES)
def test_the_card_states_the_constants(codec, name):
    card, encoder = plugins.card("encoders", name), codec(name)
    for constant in ("sample_rate_hz", "n_channels", "d_latent", "hop_samples"):
        assert card[constant] == getattr(encoder, constant)
    assert card["trained"] and set(card["encode_only"]) <= set(card["options"]["properties"])
    assert all("default" in schema and "description" in schema for schema in card["options"]["properties"].values())


# Chunks


EDGES = [20 * HOP, 20 * HOP + 1, 20 * HOP - 1, 40 * HOP, 40 * HOP + 1, 41 * HOP]


@pytest.mark.parametrize(("name", "latent"), [("minivae", "mean"), ("minivae", "sample"), ("minirvq", "pre_quantised")])
@settings(max_examples=8, deadline=None)
@given(n_samples=st.sampled_from(EDGES) | st.integers(HOP, 70 * HOP))
@example(n_samples=EDGES[1])
def test_encoding_in_chunks_is_encoding_in_one_piece(weights, name, latent, n_samples):
    encoder = MODULES[name].load([weights[name]], options(name, latent=latent), "cpu")
    samples = tones(n_samples, n_samples)[None]
    whole = in_chunks_of(encoder, 10_000).encode(samples)
    np.testing.assert_allclose(in_chunks_of(encoder, 20).encode(samples), whole, atol=1e-4)


def test_codes_in_chunks_are_those_of_one_piece_but_for_near_ties(codec):
    encoder, samples = codec("minirvq"), tones(300 * HOP)[None]
    whole = in_chunks_of(encoder, 10_000).encode(samples)
    same = np.isclose(in_chunks_of(encoder, 20).encode(samples), whole, atol=1e-4).all(axis=1)
    assert same.mean() >= 0.99


@pytest.mark.parametrize("name", MODULES)
def test_decoding_in_chunks_is_decoding_in_one_piece(codec, name):
    encoder = codec(name)
    latents = encoder.encode(tones(450 * HOP)[None])
    whole = in_chunks_of(encoder, 10_000).decode(latents)
    np.testing.assert_allclose(in_chunks_of(encoder, 120).decode(latents), whole, atol=1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_latents_do_not_depend_on_what_else_is_encoded(codec, name):
    first, second = tones(9000, 1)[None], tones(20_000, 2)[None]
    alone = codec(name).encode(second)
    encoder = codec(name)
    encoder.encode(first)
    np.testing.assert_array_equal(encoder.encode(second), alone)


# The continuous bottleneck


def test_divergence_by_hand():
    mean, log_scale = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, np.log(2.0)]])
    # ½·1² for the first, ½(4 − 1) − ln 2 for the second
    assert float(minivae.divergence_nats(mean, log_scale)[0]) == pytest.approx(0.5 + 1.5 - np.log(2), abs=1e-6)
    assert float(minivae.divergence_nats(torch.zeros(3), torch.zeros(3))) == 0.0


def test_a_sample_is_seeded_and_spread_as_the_posterior(codec):
    samples = tones(60 * HOP)[None]
    mean = codec("minivae").encode(samples)
    drawn = codec("minivae", latent="sample").encode(samples)
    np.testing.assert_array_equal(drawn, codec("minivae", latent="sample").encode(samples))
    assert not np.array_equal(drawn, codec("minivae", latent="sample", sample_seed=1).encode(samples))
    # another recording gets other noise: the same noise on all would be a signal
    other = samples * np.float32(0.999)
    noise, noise_other = drawn - mean, codec("minivae", latent="sample").encode(other) - codec("minivae").encode(other)
    assert abs(np.corrcoef(noise.ravel(), noise_other.ravel())[0, 1]) < 0.1
    net = codec("minivae").net
    compressed = spectrogram_codec.compress(spectrogram_codec.magnitudes(torch.from_numpy(samples)))
    scale = minivae.split_posterior(net.encode(compressed)[0])[1].exp().numpy()
    assert (noise / scale).std() == pytest.approx(1.0, abs=0.05)
    assert (noise / scale).mean() == pytest.approx(0.0, abs=0.05)


# The discrete bottleneck


def quantiser(**changes) -> ResidualQuantiser:
    settings_ = {"n_codebooks": 2, "codebook_size": 2, "commitment_weight": 0.5, "decay": 0.5, "min_use": 0.0}
    return ResidualQuantiser(**(settings_ | changes))


def along(first: float, second: float = 0.0) -> torch.Tensor:
    vector = torch.zeros(D_LATENT)
    vector[:2] = torch.tensor([first, second])
    return vector


def test_the_nearest_vector_by_hand():
    codebook = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert nearest(torch.tensor([[1.0, 1.0], [2.0, 3.0], [3.0, 4.0]]), codebook).tolist() == [0, 1, 1]


def test_each_codebook_quantises_what_is_left_over():
    bottleneck = quantiser()
    bottleneck.codebooks.copy_(torch.stack([torch.stack([along(0), along(4)]), torch.stack([along(0), along(1, 1)])]))
    embedding, codes = bottleneck.quantise(torch.stack([along(4.9, 0.8), along(0.2)])[None])
    assert codes.tolist() == [[[1, 1], [0, 0]]]
    torch.testing.assert_close(embedding[0, :, :2], torch.tensor([[5.0, 1.0], [0.0, 0.0]]))


def test_the_latent_is_the_sum_of_code_vectors_and_the_option_gives_what_was_quantised(codec):
    samples = tones(40 * HOP)[None]
    post, pre = codec("minirvq").encode(samples), codec("minirvq", latent="pre_quantised").encode(samples)
    codebooks = codec("minirvq").net.bottleneck.codebooks
    embedding, codes = codec("minirvq").net.bottleneck.quantise(torch.from_numpy(pre))
    np.testing.assert_allclose(post, embedding.numpy(), atol=1e-5)
    by_code = sum(codebook[codes[:, stage]] for stage, codebook in enumerate(codebooks))
    np.testing.assert_allclose(post, by_code.numpy(), atol=1e-4)
    assert np.abs(post - pre).max() > 1e-3


def test_the_gradient_passes_straight_through():
    bottleneck = quantiser(commitment_weight=0.0)
    z = torch.randn(1, 3, D_LATENT, requires_grad=True)
    bottlenecked = bottleneck(z, torch.Generator())
    (bottlenecked.latents * 2).sum().backward()
    torch.testing.assert_close(z.grad, torch.full_like(z, 2.0))
    embedding, _ = bottleneck.quantise(z.detach())
    torch.testing.assert_close(bottlenecked.latents, embedding)


def test_commitment_by_hand():
    z = along(3.0, 4.0)[None, None]
    bottlenecked = quantiser(commitment_weight=0.5)(z, torch.Generator())  # all codes are nought
    assert float(bottlenecked.unweighted) == pytest.approx(25.0)
    assert float(bottlenecked.penalty) == pytest.approx(12.5)


def test_a_codebook_follows_the_mean_of_its_latents():
    bottleneck = quantiser(n_codebooks=1, decay=0.5)
    bottleneck.codebooks.copy_(torch.stack([along(0), along(10)])[None])
    bottleneck.total.copy_(bottleneck.codebooks)
    z = torch.stack([along(1), along(2), along(3), along(12)])[None]
    bottleneck.learn(z, bottleneck.quantise(z)[1], torch.Generator())
    # use: ½·1 + ½·3 = 2 and ½·1 + ½·1 = 1; sums: ½·0 + ½·6 = 3 and ½·10 + ½·12 = 11
    torch.testing.assert_close(bottleneck.codebooks[0, :, 0], torch.tensor([1.5, 11.0]))


def test_a_code_out_of_use_is_put_where_latents_are():
    bottleneck = quantiser(n_codebooks=1, decay=0.5, min_use=0.6)
    bottleneck.codebooks.copy_(torch.stack([along(0), along(1000)])[None])
    bottleneck.total.copy_(bottleneck.codebooks)
    z = torch.stack([along(1), along(2), along(2.5)])[None]
    bottleneck.learn(z, bottleneck.quantise(z)[1], torch.Generator().manual_seed(0))
    assert float(bottleneck.codebooks[0, 1, 0]) in (1.0, 2.0, 2.5)


def test_codebooks_start_from_latents():
    bottleneck, z = quantiser(n_codebooks=1, codebook_size=4), torch.randn(1, 50, D_LATENT)
    bottleneck.start(z, torch.Generator().manual_seed(0))
    distances = torch.cdist(bottleneck.codebooks[0], z[0])
    assert (distances.min(dim=1).values < 1e-4).all()


# Training


@pytest.mark.parametrize("name", MODULES)
def test_training_is_the_same_to_the_bit_and_follows_the_seed(name):
    recordings = [tones(8000, 1), tones(6000, 2)]
    runs = [MODULES[name].train(recordings, options(name), seed, "cpu") for seed in (3, 3, 4)]
    states = [state for state, _ in runs]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])
    pd.testing.assert_frame_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize("name", MODULES)
def test_training_lowers_the_loss_and_its_history_is_the_table(name, tmp_path):
    chosen = options(name, steps=80, batch_clips=4, width=32, learning_rate=3e-3)
    _, history = MODULES[name].train([tones(16_000)], chosen, 0, "cpu")
    assert history["step"].tolist() == [25, 50, 75, 80]
    assert history["reconstruction"].iloc[-1] < 0.6 * history["reconstruction"].iloc[0]
    tables.write(history, tmp_path / "history.parquet", tables.CODEC_HISTORY)


def test_a_diverging_training_says_so():
    with pytest.raises(ArithmeticError, match="not finite at step 1; lower"):
        minivae.train([np.full(8000, np.nan, np.float32)], options("minivae"), 0, "cpu")


def test_excerpts_lie_within_their_recording_and_are_uniform_over_time():
    long, short = np.arange(1, 901, dtype=np.float32), np.full(100, -5, np.float32)
    batch = codec_training.excerpts([long, short], 2000, 200, np.random.default_rng(0))
    of_short = batch[:, 0] == -5
    assert of_short.mean() == pytest.approx(0.1, abs=0.03)
    assert (batch[of_short] == np.repeat([-5, 0], 100)).all()
    starts = batch[~of_short, 0]
    assert (np.diff(batch[~of_short], axis=1) == 1).all()
    assert starts.min() <= 5 and starts.max() >= 696 and starts.mean() == pytest.approx(351, abs=20)


def test_the_loss_by_hand():
    target = spectrogram_codec.compress(torch.tensor([[[3.0, 4.0]]]))
    assert float(codec_training.spectral_loss(target, target)) == pytest.approx(0.0, abs=2e-4)
    decoded = spectrogram_codec.compress(torch.tensor([[[3.0, 7.0]]]))
    l1 = np.log(7.01 / 4.01) / 2
    assert float(codec_training.spectral_loss(decoded, target)) == pytest.approx(l1 + 3 / 5, abs=1e-3)


def test_the_learning_rate_rises_and_falls_to_nought():
    shares = [codec_training.schedule(step, 500) for step in range(500)]
    assert shares[0] == pytest.approx(1 / codec_training.WARM_UP_STEPS)
    assert shares.index(max(shares)) == codec_training.WARM_UP_STEPS - 1
    assert shares[-1] < 1e-4


# Files


def test_weights_of_another_codec_or_damaged_are_refused_by_name(weights, tmp_path):
    with pytest.raises(ValueError, match=r"weights\.safetensors holds a codec of minivae, not of minirvq"):
        read_weights(weights["minivae"], "minirvq")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights["minivae"].read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"damaged\.safetensors holds no trained codec"):
        read_weights(damaged, "minivae")


def manifest_of(tmp_path, splits: list[str], kinds: list[str]) -> str:
    """A manifest of half-second recordings; that of a clip whose split is 'none' does not exist."""
    rows = []
    for number, (split, kind) in enumerate(zip(splits, kinds, strict=True)):
        path = tmp_path / f"{number}.wav"
        audio.write_wav(path, tones(CLIP_SAMPLES, number)[None], RATE_HZ)
        rows.append(
            {"clip_id": f"toy/{number}", "dataset": "toy", "path": str(path), "group": f"g{number}", "split": split}
            | {"shard": 0, "duration_s": 0.5, "sample_rate_hz": RATE_HZ, "n_channels": 1, "kind": kind}
            | {"instrument": "sines", "truth_f0_path": "", "truth_notes_path": "", "sha256": ""}
        )
    tables.write(pd.DataFrame(rows), tmp_path / "manifest.parquet", tables.MANIFEST)
    return str(tmp_path / "manifest.parquet")


def test_a_codec_is_fitted_to_the_train_split_alone(tmp_path):
    manifest = manifest_of(tmp_path, ["train", "test", "validation", "train"], ["solo"] * 4)
    (tmp_path / "1.wav").unlink()
    (tmp_path / "2.wav").unlink()
    outputs = {key: str(tmp_path / name) for key, name in
               [("weights", "w.safetensors"), ("config", "config.json"), ("history", "history.parquet")]}  # fmt: skip
    fit_codec("minivae", [manifest], outputs, options("minivae"), 0, "cpu")
    config = json.loads((tmp_path / "config.json").read_text())
    assert (
        config["n_train_clips"] == 2
        and config["n_train_seconds"] == 2 * CLIP_SAMPLES / RATE_HZ
        and config["module"] == "minivae"
    )
    assert len(tables.read(outputs["history"], tables.CODEC_HISTORY)) == 1
    first = (tmp_path / "w.safetensors").read_bytes()
    fit_codec("minivae", [manifest], outputs, options("minivae"), 0, "cpu")
    assert (tmp_path / "w.safetensors").read_bytes() == first
    assert minivae.load([outputs["weights"]], options("minivae"), "cpu").encode(tones(999)[None]).shape == (4, 64)


def test_splits_that_are_missing_are_named(tmp_path):
    manifest = manifest_of(tmp_path, ["validation"], ["solo"])
    with pytest.raises(ValueError, match="split 'train', so minivae"):
        fit_codec("minivae", [manifest], {}, options("minivae"), 0, "cpu")
    with pytest.raises(ValueError, match="split 'test', so toy"):
        codec_evaluation.evaluate_codec("toy", None, [manifest], [], "", {}, 0, "cpu")


# Quality


def test_pitch_kept_by_hand():
    original = np.array([60, 60, 60, 60, np.nan, 72], np.float32)
    decoded = np.array([60.5, 59.4, np.nan, 60, 60, 60], np.float32)  # kept, a hair off, lost, kept, new, an octave off
    assert pitch_kept_share(original, decoded) == pytest.approx(2 / 5)
    assert pitch_kept_share(original, original) == 1.0
    assert np.isnan(pitch_kept_share(np.full(4, np.nan), np.zeros(4)))
    with pytest.raises(ValueError, match="one grid"):
        pitch_kept_share(np.zeros(4), np.zeros(5))


def test_an_interval_holds_its_mean_and_narrows():
    values = np.random.default_rng(0).normal(5, 1, 400)
    few, many = mean_interval(values[:20], 0), mean_interval(values, 0)
    for interval in (few, many):
        assert interval["low"] < interval["mean"] < interval["high"]
    assert many["high"] - many["low"] == pytest.approx(4 * 1.96 / 2 / 20, rel=0.2)
    assert few["high"] - few["low"] > 2 * (many["high"] - many["low"])
    assert mean_interval(np.array([np.nan, 2.0, 4.0]), 0)["mean"] == 3.0
    assert mean_interval(np.array([np.nan]), 0) is None


class Framed:
    """An encoder that loses nothing but 6 dB: a latent is a hop of samples."""

    name, sample_rate_hz, n_channels, d_latent, hop_samples = "framed", RATE_HZ, 1, HOP, HOP
    geometry = FrameGeometry(RATE_HZ, HOP)

    def encode(self, samples: np.ndarray) -> np.ndarray:
        return np.pad(samples[0], (0, -samples.shape[1] % HOP)).reshape(-1, HOP)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents.reshape(1, -1) / 2


def test_quality_of_a_codec_that_loses_6_db(tmp_path, monkeypatch):
    manifest = manifest_of(tmp_path, ["test", "test", "test", "train"], ["solo", "solo", "mix", "solo"])
    seen = []

    def measure(samples, sample_rate_hz, options, device):
        seen.append(len(samples))
        assert options == {"model": "tiny"} and sample_rate_hz == RATE_HZ
        return FineTrack(np.full(50, 60.0, np.float32), np.ones(50, np.float32))

    monkeypatch.setattr(codec_evaluation.pitch, "measure", measure)
    tracks = {
        "toy/0": np.full(50, 60.0),
        "toy/1": np.r_[np.full(25, 60.0), np.full(25, 61.0)],
        "toy/2": np.full(50, np.nan),
    }
    labels = pd.concat(
        pd.DataFrame({"clip_id": clip_id, "frame_index": np.arange(50, dtype=np.int32), "value": track, "weight": 1.0})
        for clip_id, track in tracks.items()
    )
    labels["clip_id"] = labels["clip_id"].astype("category")
    tables.write(labels, tmp_path / "pitch.parquet", tables.FINE_LABELS)
    output = tmp_path / "quality.json"
    arguments = (str(output), {"model": "tiny"}, 0, "cpu")
    codec_evaluation.evaluate_codec("framed", Framed(), [manifest], [str(tmp_path / "pitch.parquet")], *arguments)
    quality = json.loads(output.read_text())
    assert seen == [CLIP_SAMPLES] * 3, "only decoded sound is tracked, cut to the original's length"
    assert [clip["pitch_kept_share"] for clip in quality["clips"]] == [1.0, 0.5, None]
    assert quality["by_kind"]["solo"]["pitch_kept_share"]["mean"] == 0.75
    assert quality["by_kind"]["mix"] == {
        "pitch_kept_share": None,
        "log_spectral_distance_db": quality["by_kind"]["mix"]["log_spectral_distance_db"],
        "n_clips": 1,
    }
    assert quality["all"]["n_clips"] == 3 and quality["encoder"] == "framed"
    assert 4 < quality["all"]["log_spectral_distance_db"]["mean"] < 6.03
    codec_evaluation.evaluate_codec("framed", Framed(), [manifest], [], *arguments)
    assert len(seen) == 9, "without labels the originals are tracked too"


@pytest.mark.parametrize("has_labels", [True, False])
def test_no_pitch_of_a_kind_that_is_left_out_is_kept_or_lost(has_labels, tmp_path, monkeypatch):
    manifest = manifest_of(tmp_path, ["test", "test"], ["drums", "solo"])
    seen = []

    def measure(samples, sample_rate_hz, options, device):
        seen.append(len(samples))
        return FineTrack(np.full(50, 60.0, np.float32), np.ones(50, np.float32))

    monkeypatch.setattr(codec_evaluation.pitch, "measure", measure)
    frames = {"frame_index": np.arange(50, dtype=np.int32), "value": np.float32(60), "weight": np.float32(1)}
    labels = pd.concat(pd.DataFrame({"clip_id": f"toy/{number}"} | frames) for number in (0, 1))
    tables.write(labels, tmp_path / "pitch.parquet", tables.FINE_LABELS)
    output, paths = tmp_path / "quality.json", [str(tmp_path / "pitch.parquet")] if has_labels else []
    options = {"leave_out_kinds": ["drums"]}
    codec_evaluation.evaluate_codec("framed", Framed(), [manifest], paths, str(output), options, 0, "cpu")
    quality = json.loads(output.read_text())
    assert len(seen) == (1 if has_labels else 2), "drums are not tracked"
    assert {clip["clip_id"]: clip["pitch_kept_share"] for clip in quality["clips"]} == {"toy/0": None, "toy/1": 1.0}
    assert quality["by_kind"]["drums"]["pitch_kept_share"] is None
    assert quality["by_kind"]["drums"]["log_spectral_distance_db"]["mean"] > 4


def test_the_cards_are_of_one_schema():
    """What both train with is declared alike, so that a comparison of the two is fair."""
    vae, rvq = (plugins.card("encoders", name)["options"]["properties"] for name in MODULES)
    for shared in ("batch_clips", "excerpt_seconds", "learning_rate", "width", "n_blocks"):
        assert yaml.safe_dump(vae[shared]) == yaml.safe_dump(rvq[shared])


def test_a_spectrum_has_the_bins_that_the_net_reads():
    assert spectrogram_codec.magnitudes(torch.zeros(HOP)).shape == (1, N_BINS)
