"""Embeddings: CREPE's own layer, VGGish against its documented formulas, CLAP against transformers, and their files."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from sonolens import experiment, plugins
from sonolens.embeddings import clap, crepe, vggish

MODULES = ("clap", "crepe", "vggish")
RATE_HZ = 16_000


def options(module: str, **changes) -> dict:
    """The card's defaults."""
    filled = dict(changes)
    experiment.check(filled, plugins.card("embeddings", module)["options"])
    return filled


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def tone(f0_hz: float, n_samples: int = RATE_HZ, level: float = 0.2) -> np.ndarray:
    """A sound of ten harmonics."""
    phase = 2 * np.pi * f0_hz * np.arange(n_samples) / RATE_HZ
    return (level * sum(np.sin(k * phase) / k for k in range(1, 11))).astype(np.float32)


# Cards


def test_every_embedding_has_a_card():
    assert plugins.available("embeddings") == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_cards_say_what_is_needed_and_close_their_options(module):
    card = plugins.card("embeddings", module)
    assert set(card) == {"title", "description", "licence", "citation", "gpu", "needs_weights", "options"}
    assert card["options"]["additionalProperties"] is False
    assert all("default" in schema and "description" in schema for schema in card["options"]["properties"].values())
    with pytest.raises(experiment.ConfigError, match="wrong"):
        options(module, wrong=1)


@pytest.mark.parametrize("module", MODULES)
def test_weights_are_given_where_the_card_asks_for_them(module):
    is_needed = plugins.card("embeddings", module)["needs_weights"]
    with pytest.raises(ValueError, match="weights"):
        plugins.load("embeddings", module).load([] if is_needed else ["any"], options(module), "cpu")


# CREPE


@pytest.fixture(scope="module")
def tiny():
    return crepe.load([], options("crepe"), "cpu")


@pytest.mark.parametrize(("model", "n_windows"), [("tiny", 40), ("full", 3)])
def test_crepe_gives_the_layer_that_torchcrepe_embeds_with(model, n_windows):
    embedding = crepe.load([], options("crepe", model=model), "cpu")
    audio = noise(1024 * n_windows) + tone(220, 1024 * n_windows)
    with torch.inference_mode():
        layer = crepe.torchcrepe.embed(torch.from_numpy(audio)[None], RATE_HZ, 1024, model, pad=False)
    expected = layer.reshape(n_windows, -1).numpy()  # the same order, not only the same numbers
    found = embedding.embed(audio)
    assert found.dtype == np.float32
    assert found.shape == (n_windows, embedding.d_embedding) == expected.shape
    # activations of order 1, in another order of summation
    assert np.abs(found - expected).max() < 1e-4
    assert expected.std() > 0.01


def test_crepe_cuts_windows_that_do_not_overlap_and_leaves_the_tail_out(tiny):
    audio = noise(5 * 1024)
    assert tiny.embed(np.append(audio, noise(1023, 1))).tolist() == tiny.embed(audio).tolist()
    # each in a batch that is filled up with it
    assert np.array_equal(tiny.embed(audio)[3:4], tiny.embed(audio[3 * 1024 : 4 * 1024]))
    half = crepe.load([], options("crepe", hop_samples=512), "cpu").embed(audio)
    assert len(half) == 9
    assert np.array_equal(half[::2], tiny.embed(audio))


def test_crepe_does_not_depend_on_how_much_there_is(tiny):
    audio = noise(200 * 1024)
    assert np.array_equal(tiny.embed(audio)[:7], tiny.embed(audio[: 7 * 1024]))


def test_crepe_leaves_silence_out(tiny):
    silence, dither = np.zeros(4096, np.float32), noise(4096) * 1e-3  # RMS -80 dBFS
    assert tiny.embed(silence).shape == tiny.embed(dither).shape == (0, 256)
    sound = noise(2048)
    assert np.array_equal(tiny.embed(np.concatenate([silence, sound, dither])), tiny.embed(sound))
    low = crepe.load([], options("crepe", level_floor_dbfs=-90), "cpu")
    assert len(low.embed(dither)) == 4


def test_crepe_does_not_hear_level(tiny):
    assert np.abs(tiny.embed(tone(200)) - tiny.embed(tone(200) / 8)).max() < 1e-3


def test_crepe_hears_pitch_and_timbre(tiny):
    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(tiny.embed(a).mean(axis=0) - tiny.embed(b).mean(axis=0)))

    sine = (0.2 * np.sin(2 * np.pi * 220 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)
    later = np.roll(tone(220), 4321)
    assert apart(tone(220), tone(330)) > 5 * apart(tone(220), later)
    assert apart(tone(220), sine) > 5 * apart(tone(220), later)


# VGGish


def state_of_vggish() -> dict[str, torch.Tensor]:
    """Random weights with the keys and shapes of vggish-10086976.pth, of a scale that keeps activations of order 1."""
    generator, state = torch.Generator().manual_seed(0), {}
    for layer, (n_out, n_in) in {
        0: (64, 1),
        3: (128, 64),
        6: (256, 128),
        8: (256, 256),
        11: (512, 256),
        13: (512, 512),
    }.items():
        state[f"features.{layer}.weight"] = torch.empty(n_out, n_in, 3, 3).normal_(
            0, (2 / 9 / n_in) ** 0.5, generator=generator
        )
        state[f"features.{layer}.bias"] = torch.empty(n_out).normal_(0, 0.05, generator=generator)
    for layer, (n_out, n_in) in {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}.items():
        state[f"embeddings.{layer}.weight"] = torch.empty(n_out, n_in).normal_(
            0, (2 / n_in) ** 0.5, generator=generator
        )
        state[f"embeddings.{layer}.bias"] = torch.empty(n_out).normal_(0, 0.05, generator=generator)
    return state


@pytest.fixture(scope="module")
def vggish_state():
    return state_of_vggish()


@pytest.fixture(scope="module")
def loaded_vggish(vggish_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vggish") / "vggish-10086976.pth"
    torch.save(vggish_state, path)  # 0.3 GB
    embedding = vggish.load([str(path)], options("vggish"), "cpu")
    path.unlink()
    return embedding


def log_mel_by_formula(audio: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram (n_frames, 64) of audio (n_samples,) in fp64, as AudioSet's documentation states it."""
    window = np.hanning(401)[:400]
    transform = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    frames = [audio[first : first + 400] * window for first in range(0, len(audio) - 399, 160)]
    magnitude = np.abs(np.array(frames, np.float64) @ transform)
    # 2595 log10(1 + f / 700) is 1127 ln(1 + f / 700) but for 0.003 %
    mels = 2595 * np.log10(1 + np.arange(257) * 31.25 / 700)
    edges = np.linspace(2595 * np.log10(1 + 125 / 700), 2595 * np.log10(1 + 7500 / 700), 66)
    bands = np.stack([np.interp(mels, edges, row, left=0, right=0) for row in np.eye(66)[1:-1]])
    return np.log(magnitude @ bands.T + 0.01)


def test_the_front_end_is_the_documented_one(loaded_vggish):
    audio = noise(2 * 15360 + 240) + tone(523, 2 * 15360 + 240)
    windows = torch.from_numpy(np.stack([audio[:15600], audio[15360 : 15360 + 15600]]))
    found = loaded_vggish.log_mel(windows).numpy()
    assert found.shape == (2, 96, 64)
    expected = log_mel_by_formula(audio)
    assert expected.shape == (192, 64)
    # frames follow one another across windows; float32 against fp64 in logarithms of order 1
    assert np.abs(found.reshape(192, 64) - expected).max() < 1e-3


def test_silence_is_the_logarithm_of_the_offset(loaded_vggish):
    assert np.allclose(loaded_vggish.log_mel(torch.zeros(1, 15600)).numpy(), np.log(0.01))
    found = loaded_vggish.embed(np.zeros(3 * 15360 + 240, np.float32))
    assert found.shape == (3, 128)
    assert np.array_equal(found[0], found[2])


def test_the_network_is_the_released_one(loaded_vggish, vggish_state):
    audio = noise(15600) + tone(300, 15600)
    x = torch.from_numpy(log_mel_by_formula(audio)).float()[None, None]
    for layer, pools in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        x = F.relu(
            F.conv2d(x, vggish_state[f"features.{layer}.weight"], vggish_state[f"features.{layer}.bias"], padding=1)
        )
        x = F.max_pool2d(x, 2) if pools else x
    # TensorFlow's order: time, frequency, channels
    x = torch.tensor([[x[0, channel, t, f] for t in range(6) for f in range(4) for channel in range(512)]])
    for layer in (0, 2, 4):
        x = F.linear(x, vggish_state[f"embeddings.{layer}.weight"], vggish_state[f"embeddings.{layer}.bias"])
        x = F.relu(x) if layer < 4 else x
    found = loaded_vggish.embed(audio)
    assert found.shape == (1, 128)
    assert found.dtype == np.float32
    assert (found < 0).any()  # before the last ReLU
    assert np.abs(found - x.numpy()).max() < 1e-3 * x.std()


def test_vggish_windows_are_whole_and_do_not_depend_on_their_company(loaded_vggish):
    audio = noise(9 * 15360 + 240)
    found = loaded_vggish.embed(audio)
    assert found.shape == (9, 128)
    assert np.array_equal(found[8:], loaded_vggish.embed(audio[8 * 15360 :]))
    assert loaded_vggish.embed(audio[:-1]).shape == (8, 128)


def faulty(state: dict, tmp_path, **changes) -> str:
    """A file of `state` without its large tensors' numbers, some keys changed; the path."""
    path = tmp_path / "vggish-10086976.pth"
    small = {key: torch.zeros(1).expand(tensor.shape) for key, tensor in state.items()} | changes
    torch.save({key: tensor for key, tensor in small.items() if tensor is not None}, path)
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embeddings.4.bias": None}, r"1 key missing \(embeddings.4.bias \(128,\)\)"),
        ({"pproc.pca_means": torch.zeros(128, 1)}, r"1 key not expected \(pproc.pca_means \(128, 1\)\)"),
        (
            {"features.3.weight": torch.zeros(128, 64, 1, 1)},
            r"features.3.weight \(128, 64, 1, 1\), expected \(128, 64, 3",
        ),
        ({"epoch": 3}, "is no state dict"),
    ],
)
def test_another_file_is_named_with_the_key_at_fault(vggish_state, tmp_path, changes, said):
    path = faulty(vggish_state, tmp_path, **changes)
    with pytest.raises(ValueError, match=said) as raised:
        vggish.load([path], options("vggish"), "cpu")
    assert path in str(raised.value)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "vggish-10086976.pth"
    path.write_bytes(b"PK\3\4 cut off")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        vggish.load([str(path)], options("vggish"), "cpu")
    with pytest.raises(ValueError, match="needs one path under `weights`"):
        vggish.load([str(path), str(path)], options("vggish"), "cpu")


# CLAP


def test_clap_says_what_a_folder_lacks(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"lacks model.safetensors, preprocessor_config.json"):
        clap.load([str(tmp_path)], options("clap"), "cpu")


def write_clap(folder, is_fused: bool = False, **of_extractor) -> str:
    """A small CLAP with random weights, as save_pretrained writes it; the folder."""
    audio = {
        "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 32,
        "num_hidden_layers": 2, "enable_fusion": is_fused, "projection_dim": 24,
    }  # fmt: skip
    text = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 16, "projection_dim": 24}
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=24)
    transformers.ClapModel(config).save_pretrained(folder)
    truncation = "fusion" if is_fused else "rand_trunc"
    transformers.ClapFeatureExtractor(truncation=truncation, **of_extractor).save_pretrained(folder)
    return str(folder)


def clap_noise(seconds: float, seed: int = 0) -> np.ndarray:
    return noise(round(seconds * clap.SAMPLE_RATE_HZ), seed)


@pytest.mark.parametrize("is_fused", [False, True])
def test_clap_gives_what_transformers_gives(tmp_path, is_fused):
    embedding = clap.load([write_clap(tmp_path, is_fused)], options("clap"), "cpu")
    audio = clap_noise(21)
    found = embedding.embed(audio)
    assert (embedding.sample_rate_hz, embedding.d_embedding) == (48000, 24)
    assert found.shape == (2, 24)
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.array_equal(found, embedding.embed(audio))
    assert np.array_equal(found[1:], embedding.embed(audio[480_000:]))
    model = transformers.ClapModel.from_pretrained(tmp_path, local_files_only=True).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path, local_files_only=True)
    given = extractor([audio[:480_000], audio[480_000:960_000]], sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        features = model.get_audio_features(
            given["input_features"].float(), is_longer=torch.zeros(2, 1, dtype=torch.bool)
        )
    expected = getattr(features, "pooler_output", features).numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_clap_pads_short_audio_with_zeros(tmp_path):
    embedding = clap.load([write_clap(tmp_path)], options("clap"), "cpu")
    audio = clap_noise(3)
    # and does not repeat it, as the extractor would
    assert np.array_equal(embedding.embed(audio), embedding.embed(np.pad(audio, (0, 480_000 - len(audio)))))
    assert np.isfinite(embedding.embed(np.zeros(10, np.float32))).all()


def test_a_clap_that_lacks_weights_is_not_filled_with_random_ones(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = write_clap(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({key: state[key] for key in state if key != "audio_projection.linear2.weight"}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 key missing: audio_projection.linear2.weight") as raised:
        clap.load([folder], options("clap"), "cpu")
    assert folder in str(raised.value)


def test_a_folder_that_is_no_clap_of_48_khz_is_named(tmp_path):
    (tmp_path / "slow").mkdir()
    with pytest.raises(ValueError, match="is a CLAP of 16000 Hz"):
        clap.load([write_clap(tmp_path / "slow", sampling_rate=16000)], options("clap"), "cpu")
    (tmp_path / "slow" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"slow cannot be read as a CLAP"):
        clap.load([str(tmp_path / "slow")], options("clap"), "cpu")


# What all share


@pytest.fixture(params=["crepe", "vggish"])
def either(request, tiny):
    return tiny if request.param == "crepe" else request.getfixturevalue("loaded_vggish")


def test_short_audio_is_one_window_with_zeros_behind(either):
    window_samples = {"crepe_tiny": 1024, "vggish": 15600}[either.name]
    padded = np.pad(noise(700), (0, window_samples - 700))
    found = either.embed(noise(700))
    assert found.shape == (1, either.d_embedding)
    assert np.array_equal(found, either.embed(padded))


def test_what_is_no_audio_is_refused(either):
    for audio in (np.zeros((1, 9000), np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ValueError, match=rf"{either.name} embeds audio of shape \(n_samples,\), got"):
            either.embed(audio)
    with pytest.raises(ValueError, match="not finite"):
        either.embed(np.array([0, np.inf], np.float32))
