"""DiffRhythm-VAE from a TorchScript file as released, with the weights of a narrow Oobleck (tests/oobleck.py)."""

import copy
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oobleck
from sonolens import experiment, plugins
from sonolens.encoders import diffrhythm_vae
from sonolens.encoders.chunking import decode_in_chunks
from sonolens.encoders.diffrhythm_vae import D_LATENT, DECODER_REACH_FRAMES, ENCODER_REACH, HOP
from sonolens.encoders.pieces import Reach, encode_in_pieces

RATE_HZ = 44_100
WIDTH = 2
CHUNK_FRAMES = 32
# Of the spread of what is compared: convolutions of another length add up in another order
TOLERANCE = 5e-5


def options(**changes) -> dict:
    filled = dict(changes)
    experiment.check(filled, plugins.card("encoders", "diffrhythm_vae")["options"])
    return filled


@pytest.fixture(scope="module")
def model():
    return oobleck.Oobleck(WIDTH)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Written as training left it: loading is what freezes a network."""
    written = tmp_path_factory.mktemp("diffrhythm_vae") / "vae_model.pt"
    oobleck.write(written, oobleck.Oobleck(WIDTH).train().requires_grad_())
    return written


@pytest.fixture(scope="module")
def encoders(path):
    """The posterior's mean in one piece (of these lengths), and in pieces."""
    whole, pieces = (options(chunk_frames=n_frames) for n_frames in (4096, CHUNK_FRAMES))
    return diffrhythm_vae.load([str(path)], whole, "cpu"), diffrhythm_vae.load([str(path)], pieces, "cpu")


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    """White noise (2, n_samples) float32."""
    return (0.2 * np.random.default_rng([seed, n_samples]).standard_normal((2, n_samples))).astype(np.float32)


def random_latents(n_frames: int) -> np.ndarray:
    return np.random.default_rng(n_frames).standard_normal((n_frames, D_LATENT)).astype(np.float32)


def posterior(model, audio: np.ndarray) -> torch.Tensor:
    """Means and scales (T, 128) of audio (2, n) from the network itself, padded as the card says."""
    padded = np.pad(audio, ((0, 0), (0, -audio.shape[1] % HOP)))
    with torch.inference_mode():
        return model.encode_export(torch.from_numpy(padded)[None])[0].T


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE * float(np.std(np.asarray(expected))), rtol=0)


# The stand-in


def test_at_full_width_the_stand_in_has_the_tensors_of_the_released_network(monkeypatch):
    monkeypatch.setattr(oobleck.Oobleck, "_fill", lambda self, seed: None)
    with torch.device("meta"):
        state = oobleck.Oobleck().state_dict()
    assert len(state) == 365 and sum(tensor.numel() for tensor in state.values()) == 156_112_514
    assert state["decoder.layers.1.layers.1.weight_g"].shape == (2048, 1, 1)
    assert state["encoder.layers.5.layers.4.weight_v"].shape == (2048, 1024, 16)


def test_snake_by_hand():
    snake = oobleck.SnakeBeta(2)
    snake.alpha.data, snake.beta.data = torch.tensor([0.0, 1.0]), torch.tensor([0.0, -1.0])
    x = torch.tensor([[[0.5], [0.5]]])
    expected = [0.5 + np.sin(0.5) ** 2, 0.5 + np.sin(0.5 * np.e) ** 2 * np.e]
    np.testing.assert_allclose(snake(x).detach().flatten(), expected, rtol=1e-6)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(8192, 4), (8193, 4), (10239, 4), (44100, 21)])
def test_the_network_alone_drops_a_tail_and_the_encoder_keeps_it(model, encoders, n_samples, n_frames):
    with torch.inference_mode():
        assert model.encode_export(torch.zeros(1, 2, n_samples)).shape == (1, 128, n_frames)
    kept = encoders[0].encode(np.zeros((2, n_samples), np.float32))
    assert len(kept) == -(-n_samples // HOP)


# The same numbers as the network


@pytest.mark.parametrize("n_samples", [1, HOP - 1, HOP, HOP + 1, 5 * HOP, 21 * HOP + 700])
def test_latents_are_the_means_that_the_file_gives(model, encoders, n_samples):
    audio = noise(n_samples)
    latents = encoders[0].encode(audio)
    assert latents.shape == (-(-n_samples // HOP), D_LATENT) and latents.dtype == np.float32
    close(latents, posterior(model, audio)[:, :D_LATENT])


@pytest.mark.parametrize("n_frames", [1, 7])
def test_audio_is_what_the_file_gives(model, encoders, n_frames):
    latents = random_latents(n_frames)
    audio = encoders[0].decode(latents)
    assert audio.shape == (2, n_frames * HOP) and audio.dtype == np.float32
    with torch.inference_mode():
        close(audio, model.decode_export(torch.from_numpy(latents.T)[None])[0])


class Undecorated(torch.nn.Module):
    """The same network with methods that can be traced; those marked for the script compiler cannot."""

    def __init__(self, model: oobleck.Oobleck):
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder

    def encode_export(self, audio: torch.Tensor) -> torch.Tensor:
        return self.encoder(audio)

    def decode_export(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


def test_a_traced_file_serves_as_well_as_a_scripted_one(model, path, encoders, tmp_path):
    traced_path = tmp_path / "traced.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = {"encode_export": torch.zeros(1, 2, 3 * HOP), "decode_export": torch.zeros(1, D_LATENT, 3)}
        torch.jit.trace_module(Undecorated(model), examples).save(str(traced_path))
    traced = diffrhythm_vae.load([str(traced_path)], options(chunk_frames=CHUNK_FRAMES), "cpu")
    audio = noise(40 * HOP + 5)
    close(traced.encode(audio), encoders[0].encode(audio))
    close(traced.decode(random_latents(40)), encoders[0].decode(random_latents(40)))


# Pieces and batches


def test_the_stated_reach_is_the_networks():
    """By gradients, in float64: which samples a frame reads, and which frames a hop of audio."""
    model, centre = oobleck.Oobleck(WIDTH).double(), 20
    audio = torch.from_numpy(noise(41 * HOP)[None]).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model.encode_export(audio)[0, :, centre].sum(), audio)
    read = gradient.abs().sum(dim=(0, 1)).nonzero().flatten() - centre * HOP
    assert (int(read.min()), int(read.max())) == (-14885, 16932)
    assert ENCODER_REACH == (-(-14885 // HOP), -(-(16932 - HOP + 1) // HOP))
    latents = torch.from_numpy(random_latents(41).T[None]).double().requires_grad_()
    hop = model.decode_export(latents)[..., centre * HOP : (centre + 1) * HOP]
    furthest = []
    for sample in (0, HOP - 1):
        (gradient,) = torch.autograd.grad(hop[..., sample].sum(), latents, retain_graph=True)
        read = gradient.abs().sum(dim=(0, 1)).nonzero().flatten() - centre
        furthest += [-int(read.min()), int(read.max())]
    assert max(furthest) == DECODER_REACH_FRAMES


EDGES = [n * HOP + rest for n in (16, 24, 32, 33, 48) for rest in (0, 1, HOP - 1)]


@settings(max_examples=12, deadline=None)
@given(n_samples=st.sampled_from(EDGES) | st.integers(1, 100 * HOP))
def test_pieces_give_the_latents_of_the_whole(encoders, n_samples):
    whole, pieces = encoders
    audio = noise(n_samples)
    close(pieces.encode(audio), whole.encode(audio))


@settings(max_examples=12, deadline=None)
@given(n_frames=st.sampled_from([31, 32, 33, 42, 63, 64, 65]) | st.integers(1, 150))
def test_pieces_give_the_audio_of_the_whole(encoders, n_frames):
    whole, pieces = encoders
    latents = random_latents(n_frames)
    close(pieces.decode(latents), whole.decode(latents))


@pytest.mark.parametrize("batches_clips", [False, True])  # as on a CPU, and as on a GPU
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.sampled_from(EDGES) | st.integers(1, 60 * HOP), min_size=2, max_size=5))
def test_many_recordings_at_once_are_each_as_alone(encoders, batches_clips, lengths):
    whole = encoders[0]
    audios = [noise(n_samples, seed) for seed, n_samples in enumerate(lengths)]
    for encoder in map(copy.copy, encoders):
        assert not encoder.batches_clips
        encoder.batches_clips = batches_clips
        for latents, audio in zip(encoder.encode_batch(audios), audios, strict=True):
            close(latents, whole.encode(audio))


@pytest.mark.parametrize("reach", [Reach(6, 8), Reach(8, 6)])
def test_less_context_would_show_at_the_seams(encoders, reach):
    """Two frames less; of the outermost frame only samples are read that hardly weigh."""
    whole, pieces = encoders
    audio, latents = noise(80 * HOP), random_latents(80)
    (encoded,) = encode_in_pieces(pieces._encode_piece, [audio], HOP, reach, CHUNK_FRAMES)
    assert np.abs(encoded[:, :D_LATENT] - whole.encode(audio)).max() > 100 * TOLERANCE
    decoded = decode_in_chunks(pieces._decode_piece, latents, HOP, CHUNK_FRAMES, DECODER_REACH_FRAMES - 2)
    assert np.abs(decoded - whole.decode(latents)).max() > 100 * TOLERANCE


def test_no_more_than_a_chunk_is_computed_at_once(path):
    encoder = diffrhythm_vae.load([str(path)], options(chunk_frames=CHUNK_FRAMES), "cpu")
    seen = []

    class Spy:
        def encode_export(self, audio):
            seen.append(audio.shape[0] * audio.shape[2] / HOP)
            return encoder_network.encode_export(audio)

        def decode_export(self, latents):
            seen.append(latents.shape[0] * latents.shape[2] - 2 * DECODER_REACH_FRAMES)
            return encoder_network.decode_export(latents)

    encoder_network, encoder.network = encoder.network, Spy()
    encoder.decode(np.concatenate(encoder.encode_batch([noise(n * HOP + 9) for n in (150, 3, 40, 40)])))
    assert len(seen) > 10 and max(seen) <= CHUNK_FRAMES


def in_upstream_chunks(work, x: torch.Tensor, n_in: int, n_out: int, n_frames: int) -> torch.Tensor:
    """x (1, C, n_frames · n_in) in chunks of 128 frames, 96 apart and one flush with the end, as the authors do.

    Half of each overlap of 32 is dropped at either side, without a fade.
    """
    chunk, hop, dropped = 128, 96, 16
    starts = list(range(0, n_frames - chunk + 1, hop))
    if starts[-1] != n_frames - chunk:
        starts.append(n_frames - chunk)
    parts = None
    for start in starts:
        part = work(x[..., start * n_in : (start + chunk) * n_in])
        if parts is None:
            parts = torch.empty(*part.shape[:-1], n_frames * n_out)
        begin = 0 if start == 0 else dropped
        end = chunk if start == starts[-1] else chunk - dropped
        parts[..., (start + begin) * n_out : (start + end) * n_out] = part[..., begin * n_out : end * n_out]
    return parts


def test_upstreams_chunks_give_the_same(model, encoders):
    n_frames = 250
    audio, latents = noise(n_frames * HOP), random_latents(n_frames)
    with torch.inference_mode():
        encoded = in_upstream_chunks(model.encode_export, torch.from_numpy(audio)[None], HOP, 1, n_frames)
        decoded = in_upstream_chunks(model.decode_export, torch.from_numpy(latents.T)[None], 1, HOP, n_frames)
    close(encoders[1].encode(audio), encoded[0, :D_LATENT].T)
    close(encoders[1].decode(latents), decoded[0])


# Time


def test_a_click_moves_its_own_frame_most_and_evenly_to_both_sides(encoders):
    """The middle of frame 20, over many places of a click within it."""
    encoder = encoders[0]
    silence = encoder.encode(np.zeros((2, 41 * HOP), np.float32))
    moments = []
    for sample in range(20 * HOP + 64, 21 * HOP, 128):
        click = np.zeros((2, 41 * HOP), np.float32)
        click[:, sample] = 0.5
        moved = np.square(encoder.encode(click) - silence).sum(axis=1)
        assert abs(int(moved.argmax()) - 20) <= 1
        reached = np.flatnonzero(moved > 1e-9)
        assert reached.min() >= 20 - 8 and reached.max() <= 20 + 8
        moments.append((moved * encoder.geometry.frame_time_s(np.arange(41))).sum() / moved.sum())
    assert np.mean(moments) == pytest.approx(20.5 * HOP / RATE_HZ, abs=0.1 * HOP / RATE_HZ)


def test_a_step_is_heard_by_the_frames_around_it_alone(encoders):
    encoder, audio = encoders[0], noise(41 * HOP)
    other = audio.copy()
    other[:, 20 * HOP :] *= 0.1
    moved = np.abs(encoder.encode(audio) - encoder.encode(other)).sum(axis=1)
    # the last frame that ends before the step reads up to 7 hops beyond its end
    assert (moved[: 20 - ENCODER_REACH.right] < 1e-4).all() and (moved[20 - 5 :] > 1e-3).all()
    assert moved[19] < moved[20]


# The posterior


def test_a_sample_is_mean_plus_scale_times_noise(model, path):
    audio = noise(20 * HOP + 1)
    encoder = diffrhythm_vae.load([str(path)], options(latent="sample", sample_seed=3), "cpu")
    mean, scale = posterior(model, audio).split(D_LATENT, dim=1)
    spread = torch.log1p(torch.exp(scale.double())).numpy() + 1e-4
    drawn = np.random.default_rng([3, zlib.crc32(audio.tobytes())]).standard_normal((21, D_LATENT), dtype=np.float32)
    close(encoder.encode(audio), mean.numpy() + spread * drawn)


def test_a_sample_follows_from_the_seed_and_the_recording_alone(path):
    def load(**changes):
        return diffrhythm_vae.load([str(path)], options(latent="sample", **changes), "cpu")

    audio, other = noise(70 * HOP + 3), noise(70 * HOP + 3, seed=1)
    whole, pieces, reseeded = load(), load(chunk_frames=CHUNK_FRAMES), load(sample_seed=1)
    sample = whole.encode(audio)
    assert np.array_equal(sample, whole.encode(audio))
    close(pieces.encode_batch([other, audio])[1], sample)
    assert np.abs(reseeded.encode(audio) - sample).mean() > 0.1
    noises = [load().encode(a) - diffrhythm_vae.load([str(path)], options(), "cpu").encode(a) for a in (audio, other)]
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.1


def test_softplus_holds_at_both_ends():
    x = np.array([-200, -5, 0, 5, 200], np.float32)
    expected = torch.nn.functional.softplus(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(diffrhythm_vae.softplus(x), expected, rtol=1e-5)
    assert diffrhythm_vae.softplus(x).dtype == np.float32


# What is not as it should be


def test_latents_that_no_audio_gave_are_decoded(encoders):
    for scale in (0.0, 1.0, 1e4):
        assert np.isfinite(encoders[1].decode(scale * random_latents(9))).all()
    with pytest.raises(
        ValueError, match=r"diffrhythm_vae cannot decode latents as large as .*e\+38: its numbers overflow"
    ):
        encoders[1].decode(np.full((3, D_LATENT), 3e38, np.float32))


def test_wrong_input_is_refused_by_name(encoders):
    for shape in [(1, 1000), (3, 1000), (1000,), (2, 0)]:
        with pytest.raises(ValueError, match=r"diffrhythm_vae encodes audio of shape \(2, n_samples\)"):
            encoders[0].encode(np.zeros(shape, np.float32))
    for shape in [(5, 63), (64,), (0, 64)]:
        with pytest.raises(ValueError, match=r"diffrhythm_vae decodes latents of shape \(n_frames, 64\)"):
            encoders[0].decode(np.zeros(shape, np.float32))
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match="audio that is not finite"):
            encoders[0].encode_batch([noise(9), np.full((2, 9), number, np.float32)])
        with pytest.raises(ValueError, match="latents that are not finite"):
            encoders[0].decode(np.full((9, 64), number, np.float32))


class Foreign(torch.nn.Module):
    """A network with the methods of the released one, which do other things."""

    def __init__(self, n_channels: int, fault: str):
        super().__init__()
        self.n_channels, self.fault = n_channels, fault

    @torch.jit.export
    def encode_export(self, audio: torch.Tensor) -> torch.Tensor:
        assert self.fault != "fails", "out of order"
        frames = audio.new_zeros(audio.shape[0], self.n_channels, audio.shape[2] // 2048)
        return frames / 0 if self.fault == "not finite" else frames

    @torch.jit.export
    def decode_export(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.new_zeros(latents.shape[0], 2, latents.shape[2] * (1024 if self.fault == "hop" else 2048))


@pytest.mark.parametrize(
    ("n_channels", "fault", "message"),
    [
        (64, "", r"encode_export of \(1, 2, 4096\) .*gives \(1, 64, 2\), expected \(1, 128, 2\)"),
        (128, "hop", r"decode_export of \(1, 64, 2\) .*gives \(1, 2, 2048\), expected \(1, 2, 4096\)"),
        (128, "fails", r"encode_export .*fails: .*out of order"),
        (128, "not finite", r"encode_export .*not finite: its weights are damaged"),
    ],
)
def test_a_network_that_does_other_things_is_refused(tmp_path, n_channels, fault, message):
    path = tmp_path / "foreign.pt"
    oobleck.write(path, Foreign(n_channels, fault))
    with pytest.raises(ValueError, match=rf"foreign\.pt.*{message}"):
        diffrhythm_vae.load([str(path)], options(), "cpu")


def test_a_network_without_the_methods_is_refused(tmp_path):
    oobleck.write(tmp_path / "plain.pt", torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"plain\.pt holds a network without encode_export and decode_export"):
        diffrhythm_vae.load([str(tmp_path / "plain.pt")], options(), "cpu")


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "cause"),
    [(cut_off, "not a zip file"), (flipped, "wrong checksum of"), (lambda content: b"", "not a zip file")],
)
def test_a_damaged_file_is_named(path, tmp_path, damage, cause):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"broken\.pt cannot be read as TorchScript \(.*{cause}.*delete it and run"):
        diffrhythm_vae.load([str(broken)], options(), "cpu")


def test_a_file_of_another_kind_is_named(model, tmp_path):
    state, archive = tmp_path / "state.pt", tmp_path / "archive.zip"
    torch.save(model.state_dict(), state)
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("readme", "no network")
    for path in (state, archive):
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as TorchScript"):
            diffrhythm_vae.load([str(path)], options(), "cpu")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        diffrhythm_vae.load([str(tmp_path / "nowhere.pt")], options(), "cpu")


# Card and precision


def test_the_card_states_the_constants(encoders):
    card = plugins.card("encoders", "diffrhythm_vae")
    for constant in ("sample_rate_hz", "n_channels", "d_latent", "hop_samples"):
        assert card[constant] == getattr(encoders[0], constant)
    assert card["kind"] == "continuous" and card["trained"] is False
    assert all("default" in schema and "description" in schema for schema in card["options"]["properties"].values())
    smallest = card["options"]["properties"]["chunk_frames"]["minimum"]
    assert smallest > sum(ENCODER_REACH), "pieces must keep something"
    assert not encoders[0].network.training and not any(p.requires_grad for p in encoders[0].network.parameters())


def test_a_cpu_computes_in_float32_whatever_is_asked_and_says_so(path, encoders, capsys):
    encoder = diffrhythm_vae.load([str(path)], options(precision="float16"), "cpu")
    assert "precision float16 is for GPUs" in capsys.readouterr().out
    audio = noise(3 * HOP)
    assert np.array_equal(encoder.encode(audio), encoders[0].encode(audio))


@pytest.mark.parametrize(("dtype", "relative_error"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_a_network_in_half_precision_is_near(path, encoders, dtype, relative_error):
    """In a format that only a GPU is asked for, on the CPU: what is returned stays float32.

    Without oneDNN: with it, on a processor with AMX, torch 2.13 gives bfloat16 convolutions that are all wrong.
    """
    card = plugins.card("encoders", "diffrhythm_vae")
    network = diffrhythm_vae.read_network(path, "cpu", dtype)
    geometry = diffrhythm_vae.FrameGeometry.of(card)
    encoder = diffrhythm_vae.DiffRhythmVae(network, geometry, options(), "cpu", dtype)
    audio, latents = noise(30 * HOP + 1), random_latents(30)
    with torch.backends.mkldnn.flags(enabled=False):
        pairs = [
            (encoder.encode(audio), encoders[0].encode(audio)),
            (encoder.decode(latents), encoders[0].decode(latents)),
        ]
    for near, exact in pairs:
        assert near.dtype == np.float32
        assert 1e-5 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < relative_error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("precision", "relative_error"), [("float32", 0.001), ("float16", 0.02), ("bfloat16", 0.15)])
def test_a_gpu_gives_what_the_cpu_gives(path, encoders, precision, relative_error):
    encoder = diffrhythm_vae.load([str(path)], options(precision=precision, chunk_frames=CHUNK_FRAMES), "cuda")
    audio, latents = noise(90 * HOP + 1), random_latents(90)
    for near, exact in (
        (encoder.encode(audio), encoders[0].encode(audio)),
        (encoder.decode(latents), encoders[0].decode(latents)),
    ):
        assert np.linalg.norm(near - exact) / np.linalg.norm(exact) < relative_error
