"""EnCodec beside the package itself, on files as its authors released them."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import encodec_files
from sonolens import experiment, plugins
from sonolens.encoders import encodec, seanet
from sonolens.encoders.frame_time import decide_frame_time, measure_offset
from sonolens.encoders.networks import frozen, network_dtype
from sonolens.encoders.pieces import encode_in_pieces
from sonolens.files import read_json

MODELS = ("24khz", "48khz")
CHANNELS = {"24khz": 1, "48khz": 2}


def options(model: str, **changes) -> dict:
    filled = {"model": model} | changes
    card = plugins.card("encoders", "encodec")
    experiment.check(filled, card["options"])
    return filled


def noise(model: str, n_samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, n_samples])
    return (0.2 * rng.standard_normal((CHANNELS[model], n_samples))).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return {model: encodec_files.write(tmp_path_factory.mktemp(model), model) for model in MODELS}


@pytest.fixture(scope="module")
def upstream():
    return {model: encodec_files.upstream(model) for model in MODELS}


@pytest.fixture(scope="module")
def loaded(files):
    """A function that loads a model with options, each combination once."""
    known = {}

    def load(model, **changes):
        key = (model, *sorted(changes.items()))
        if key not in known:
            known[key] = encodec.load([str(files[model])], options(model, **changes), "cpu")
        return known[key]

    return load


def decoded_by(encoder, latents, audio) -> np.ndarray:
    return encoder.decode(latents, encoder.side(audio)) if hasattr(encoder, "side") else encoder.decode(latents)


def in_pieces_of(encoder, batch_frames: int):
    for part in (encoder.encoder, encoder.decoder):
        part.batch_frames = batch_frames
    return encoder


@torch.inference_mode()
def upstream_latents(model, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents (n_frames, 128) and decoded audio by the package's own encode and decode."""
    segments = model.encode(torch.from_numpy(audio)[None])
    latents = torch.cat([model.quantizer.decode(codes.transpose(0, 1)) for codes, _ in segments], dim=-1)
    return latents[0].T.numpy(), model.decode(segments)[0].numpy()


# Beside the package


@pytest.mark.parametrize("bandwidth_kbps", [3.0, 6.0, 24.0])
@pytest.mark.parametrize("model", MODELS)
def test_latents_and_sound_are_those_of_the_package(loaded, upstream, model, bandwidth_kbps):
    upstream[model].set_target_bandwidth(bandwidth_kbps)
    encoder = loaded(model, bandwidth_kbps=bandwidth_kbps)
    assert encoder.n_codebooks == {3.0: 4, 6.0: 8, 24.0: 32}[bandwidth_kbps] // CHANNELS[model]
    for n_samples in (encoder.sample_rate_hz, 2 * encoder.sample_rate_hz + 1, 777):
        audio = noise(model, n_samples)
        expected, sound = upstream_latents(upstream[model], audio)
        latents = encoder.encode(audio)
        assert latents.shape == (encoder.geometry.n_frames(n_samples), 128)
        np.testing.assert_allclose(latents, expected, atol=1e-5)
        assert expected.std() > 0.5 and len(np.unique(expected, axis=0)) > len(expected) / 2  # it says something
        decoded = decoded_by(encoder, latents, audio)
        assert decoded.shape == sound.shape and sound.std() > 0.05
        np.testing.assert_allclose(decoded, sound, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_pre_quantised_latents_are_what_the_network_gives(loaded, upstream, model):
    encoder, audio = loaded(model, latent="pre_quantised"), noise(model, 20_000)
    given_to_it = audio
    if model == "48khz":  # a segment is divided by its loudness
        given_to_it = audio / (np.sqrt(np.square(audio.mean(axis=0)).mean()) + 1e-8)
    with torch.inference_mode():
        expected = upstream[model].encoder(torch.from_numpy(given_to_it)[None])[0].T.numpy()
    np.testing.assert_allclose(encoder.encode(audio), expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(loaded(model).encode(audio) - encoder.encode(audio)).max() > 0.1


def test_bandwidths_of_the_model(files):
    card = plugins.card("encoders", "encodec")
    (narrower,) = plugins.options_of_variant(card, options("48khz"))
    with pytest.raises(experiment.ConfigError, match=r"bandwidth_kbps: 1.5 is not one of \[3.0, 6.0, 12.0, 24.0\]"):
        experiment.check(options("48khz", bandwidth_kbps=1.5), narrower)
    assert plugins.options_of_variant(card, options("24khz")) == []


@pytest.mark.parametrize("model", MODELS)
def test_the_card_states_the_constants(loaded, model):
    card, encoder = plugins.with_variant(plugins.card("encoders", "encodec"), options(model)), loaded(model)
    for constant in ("sample_rate_hz", "n_channels", "d_latent", "hop_samples"):
        assert card[constant] == getattr(encoder, constant)
    (file,) = card["files"]
    assert file["name"] == f"encodec_{model}-{file['sha256']}.th" and file["url"].endswith(file["name"])


# Pieces and batches


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 40 * 320), min_size=1, max_size=5), batch_frames=st.sampled_from([20, 30]))
def test_pieces_and_company_change_no_latent(loaded, lengths, batch_frames):
    encoder = loaded("24khz", latent="pre_quantised")
    audios = [noise("24khz", n_samples, seed) for seed, n_samples in enumerate(lengths)]
    alone = [in_pieces_of(encoder, 10_000).encode(audio) for audio in audios]
    together = in_pieces_of(encoder, batch_frames).encode_batch(audios)
    for latents, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(latents, expected, atol=1e-4)


def test_segments_in_company_are_those_alone(loaded):
    encoder = loaded("48khz", latent="pre_quantised")
    audios = [noise("48khz", n_samples, seed) for seed, n_samples in enumerate((48_000, 100_000, 47_520, 500))]
    encoder.batch_segments = 3
    together = encoder.encode_batch(audios)
    encoder.batch_segments = 1
    for audio, latents in zip(audios, together, strict=True):
        np.testing.assert_allclose(latents, encoder.encode(audio), atol=2e-5 * np.abs(latents).max())


def test_a_piece_cut_one_frame_too_short_shows(loaded, monkeypatch):
    encoder, audio = loaded("24khz", latent="pre_quantised"), noise("24khz", 60 * 320)
    whole = in_pieces_of(encoder, 10_000).encode(audio)
    right = seanet.encoder_reach
    monkeypatch.setattr(seanet, "encoder_reach", lambda layers: right(layers)._replace(left=right(layers).left - 1))
    assert np.abs(in_pieces_of(encoder, 20).encode(audio) - whole).max() > 1e-3


def test_the_lstm_remembers_across_stretches_and_recordings_do_not_meet(loaded, monkeypatch):
    encoder = loaded("24khz")
    sequences = [np.random.default_rng(n).standard_normal((n, 512)).astype(np.float32) for n in (90, 31, 64, 1)]
    alone = [seanet.run_lstm(encoder.encoder.lstm, [sequence])[0] for sequence in sequences]
    monkeypatch.setattr(seanet, "LSTM_FRAMES", 40)
    monkeypatch.setattr(seanet, "N_SIDE_BY_SIDE", 3)
    for output, expected in zip(seanet.run_lstm(encoder.encoder.lstm, sequences), alone, strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_decoding_in_pieces_is_decoding_in_one(loaded):
    encoder = loaded("24khz")
    latents = np.random.default_rng(7).standard_normal((100, 128)).astype(np.float32)
    whole = in_pieces_of(encoder, 10_000).decode(latents)
    np.testing.assert_allclose(in_pieces_of(encoder, 15).decode(latents), whole, atol=1e-4 * np.abs(whole).max())


def test_no_layer_ever_sees_more_than_a_batch(loaded, monkeypatch):
    encoder, seen = in_pieces_of(loaded("24khz"), 50), []

    def watched(encode, *arguments):
        def counted(x):
            seen.append(x.shape[0] * x.shape[2] / arguments[1])
            return encode(x)

        return encode_in_pieces(counted, *arguments)

    monkeypatch.setattr(seanet, "encode_in_pieces", watched)
    encoder.encode_batch([noise("24khz", n) for n in (200 * 320, 33 * 320 + 5, 7)])
    assert 25 < max(seen) <= 50


# Any latent, any sound


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("model", MODELS)
def test_latents_that_no_audio_gave_are_decoded(loaded, model, scale):
    encoder = loaded(model)
    latents = (scale * np.random.default_rng(7).standard_normal((160, 128))).astype(np.float32)
    decoded = encoder.decode(latents)
    assert decoded.shape[0] == CHANNELS[model] and np.isfinite(decoded).all()


def test_loudness_comes_back_with_the_side_and_only_with_it(loaded):
    encoder, quiet = loaded("48khz"), 0.01 * noise("48khz", 60_000)
    loud = 100 * quiet
    np.testing.assert_allclose(encoder.encode(quiet), encoder.encode(loud), atol=1e-3)  # latents do not know it
    side = encoder.side(quiet)
    assert side.shape == (len(encoder.encode(quiet)), 1)
    assert side[0, 0] == pytest.approx(np.sqrt(np.square(quiet[:, :48_000].mean(axis=0)).mean()), rel=1e-4)
    assert np.unique(side).size == 2  # two segments
    with_side = encoder.decode(encoder.encode(quiet), side)
    again = encoder.decode(encoder.encode(loud), encoder.side(loud))
    np.testing.assert_allclose(100 * with_side, again, atol=2e-3)
    assert encoder.decode(encoder.encode(quiet)).std() > 10 * with_side.std()
    with pytest.raises(ValueError, match=r"side is \(189, 1\) for these latents"):
        encoder.decode(encoder.encode(quiet), side[:-1])


def test_seconds_are_faded_by_triangles():
    ones, twos = np.ones((1, 10), np.float32), np.full((1, 6), 2.0, np.float32)
    faded = encodec._faded([ones, twos], 8)
    assert faded.shape == (1, 14)
    # weights of ten samples: 1..5, 5..1 elevenths; the last two of the first meet the first two of the second
    np.testing.assert_allclose(faded[0, 7:11], [1, (2 * 1 + 1 * 2) / 3, (1 * 1 + 2 * 2) / 3, 2], atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_what_cannot_be_encoded_is_refused_by_name(loaded, model):
    encoder, n_channels = loaded(model), CHANNELS[model]
    for shape in [(3 - n_channels, 1000), (1000,), (n_channels, 0)]:
        with pytest.raises(ValueError, match=rf"encodec_{model} encodes audio of shape \({n_channels}, n_samples\)"):
            encoder.encode(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="audio that is not finite"):
        encoder.encode(np.full((n_channels, 1000), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"decodes latents of shape \(n_frames, 128\)"):
        encoder.decode(np.zeros((4, 64), np.float32))


@pytest.mark.parametrize("model", MODELS)
def test_silence_and_less_than_a_frame_are_encoded(loaded, model):
    for audio in (np.zeros((CHANNELS[model], 5000), np.float32), noise(model, 1)):
        latents = loaded(model).encode(audio)
        assert len(latents) == -(-audio.shape[1] // 320) and np.isfinite(latents).all()


# When a frame is


@pytest.mark.parametrize("model", MODELS)
def test_clicks_say_when_a_frame_is(loaded, model):
    encoder = loaded(model, latent="pre_quantised")
    found = measure_offset(encoder, n_clicks=12)
    assert found.standard_error < 0.15
    # With any weights the mono model's frames speak of what was, and the stereo model's of their own hop
    assert found.mean < -0.5 if model == "24khz" else abs(found.mean - 0.5) < 0.25


def test_a_step_changes_its_own_hop_and_none_before(loaded):
    encoder, audio = loaded("24khz", latent="pre_quantised"), noise("24khz", 60 * 320)
    for step in (40 * 320, 40 * 320 + 1, 41 * 320 - 1):
        louder = audio.copy()
        louder[:, step:] *= 4
        change = np.abs(encoder.encode(louder) - encoder.encode(audio)).max(axis=1)
        assert change[:40].max() < 1e-4 < 1e-2 < change[40]


def test_labels_are_aligned_by_what_is_declared_or_else_measured(loaded, tmp_path):
    encoder = loaded("24khz", latent="pre_quantised")
    for declared in (None, 0.25):
        decide_frame_time(encoder, declared, str(tmp_path / "time.json"), seed=0)
        found = read_json(tmp_path / "time.json")
        assert found["declared"] == declared and found["hop_ms"] == pytest.approx(40 / 3)
        assert found["used"] == (found["measured"] if declared is None else 0.25)
        assert found["measured"] == pytest.approx(measure_offset(encoder, 48, 0).mean, abs=1e-3)

    class Deaf(type(encoder)):
        def embed(self, audios):
            return [np.zeros((len(frames), 128), np.float32) for frames in super().embed(audios)]

    deaf = copy.copy(encoder)
    deaf.__class__ = Deaf
    decide_frame_time(deaf, 0.5, str(tmp_path / "time.json"), seed=0)
    assert read_json(tmp_path / "time.json")["measured"] is None
    with pytest.raises(ValueError, match=r"clicks do not move the latents of encodec_24khz.*frame_offset_frames"):
        decide_frame_time(deaf, None, str(tmp_path / "time.json"), seed=0)


def test_the_stereo_models_frames_begin_anew_every_second(loaded):
    geometry = loaded("48khz").geometry
    np.testing.assert_array_equal(
        geometry.first_sample(np.array([0, 149, 150, 151, 300])), [0, 47680, 47520, 47840, 95040]
    )
    encoder, audio = loaded("48khz", latent="pre_quantised"), noise("48khz", 150_000)
    moved = audio.copy()
    moved[:, 110_080] += 1
    change = np.square(encoder.encode(moved) - encoder.encode(audio)).sum(axis=1)
    begins = geometry.first_sample(np.arange(len(change)))
    assert abs(begins[int(change.argmax())] + 160 - 110_080) < 5 * 320


# Files


def damaged(path, tmp_path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    target = tmp_path / path.name
    torch.save(state, target)
    return target


def test_files_that_do_not_fit_are_refused_by_name(files, tmp_path):
    def loading(path, model="24khz"):
        return encodec.load([str(path)], options(model), "cpu")

    with pytest.raises(ValueError, match=r"encodec_48khz-.*holds other weights than EncodecModel has: \d+ keys"):
        loading(files["48khz"])
    missing = damaged(files["24khz"], tmp_path, lambda state: state.pop("decoder.model.0.conv.conv.bias"))
    with pytest.raises(ValueError, match=r"1 key missing \(decoder.model.0.conv.conv.bias \(512,\)\)"):
        loading(missing)
    surplus = damaged(files["24khz"], tmp_path, lambda state: state.update(extra=torch.zeros(2)))
    with pytest.raises(ValueError, match=r"1 key not expected \(extra \(2,\)\)"):
        loading(surplus)
    cut = tmp_path / "cut.th"
    cut.write_bytes(files["24khz"].read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"cut.th cannot be read as a checkpoint.*delete it and run again"):
        loading(cut)
    other = tmp_path / "other.th"
    torch.save([1, 2], other)
    with pytest.raises(ValueError, match=r"other\.th holds a list"):
        loading(other)


# Half precision


def test_half_precision_is_for_gpus(loaded, capsys):
    encoder, audio = loaded("24khz", precision="bfloat16", latent="pre_quantised"), noise("24khz", 9600)
    expected = loaded("24khz", latent="pre_quantised").encode(audio)
    np.testing.assert_allclose(encoder.encode(audio), expected, atol=1e-4)
    assert network_dtype("bfloat16", "cpu") is torch.float32 and "computes in float32" in capsys.readouterr().out
    assert network_dtype("bfloat16", "cuda") is torch.bfloat16


def test_halves_come_near(upstream, files, loaded):
    """The very path of a GPU: weights, convolutions and LSTM in bfloat16, latents returned in float32."""
    audio = noise("24khz", 9600)
    expected = loaded("24khz", latent="pre_quantised").encode(audio)
    model = encodec_files.upstream("24khz")
    halves = seanet.SeanetEncoder(model.encoder, "cpu", torch.bfloat16)
    (latents,) = halves.encode([audio])
    assert latents.dtype == np.float32 and next(halves.lstm.parameters()).dtype is torch.bfloat16
    error = np.linalg.norm(latents - expected) / np.linalg.norm(expected)
    assert 1e-4 < error < 0.05


def test_folded_weights_are_the_same_weights(upstream):
    model = encodec_files.upstream("24khz")
    folded = frozen(model.encoder, "cpu", torch.float32)
    assert not [key for key in folded.state_dict() if key.endswith("weight_g")]
    x = torch.from_numpy(noise("24khz", 3200))[None]
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), upstream["24khz"].encoder(x), atol=1e-5, rtol=0)
