"""Measuring attributes on sounds whose answer is known, pooling, and classes."""

import math

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from sonolens import experiment, plugins, tables
from sonolens.labels import amplitude, bin_fitting, bins, crepe_decoding, fine, labelling, pitch, pitch_tracker, timbre
from sonolens.labels.fine import FineTrack

RATE_HZ = 16000
MODULES = {"pitch": pitch, "amplitude": amplitude, "timbre": timbre}


def options(module: str, **changes) -> dict:
    """The card's defaults, with the small CREPE."""
    filled = ({"model": "tiny"} if module == "pitch" else {}) | changes
    experiment.check(filled, plugins.card("labels", module)["options"])
    return filled


def tone(f0_hz: float, duration_s: float, rate_hz: int = RATE_HZ, peak: float = 0.5) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * f0_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(np.float32)


def noise(n_samples: int, seed: int = 0, rms: float = 0.1) -> np.ndarray:
    return (rms * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def pieces(rows: list[list[float]], weights: list[list[float]]) -> tuple[FineTrack, np.ndarray]:
    """Latent frames of unequal numbers of fine frames, padded with values that must not count."""
    n_most = max(map(len, rows))
    inside = np.array([[True] * len(row) + [False] * (n_most - len(row)) for row in rows])
    value, weight = np.full(inside.shape, 77.0, np.float32), np.full(inside.shape, 1e6, np.float32)
    value[inside], weight[inside] = np.concatenate(rows), np.concatenate(weights)
    return FineTrack(value, weight), inside


# The fine grid


@pytest.mark.parametrize(
    ("n_samples", "rate_hz", "n_frames"),
    [(0, 16000, 0), (1, 16000, 1), (160, 16000, 1), (161, 16000, 2), (441, 44100, 1), (44100, 44100, 100)],
)
def test_number_of_fine_frames_covers_the_last_sample(n_samples, rate_hz, n_frames):
    assert fine.n_fine_frames(n_samples, rate_hz) == n_frames


@given(n_frames=st.integers(0, 40), window=st.sampled_from([64, 160, 320, 1024]), block=st.integers(1, 50))
def test_windows_are_the_same_however_a_recording_is_cut_into_blocks(n_frames, window, block):
    audio = np.arange(1, n_frames * 160 + 1, dtype=np.float32)
    centres = (np.arange(n_frames) + 0.5) * 160
    padded = np.concatenate([np.zeros(1024), audio, np.zeros(2048)])
    expected = [padded[1024 + int(centre) - window // 2 :][:window] for centre in centres]
    stretches = fine.blocks(audio, RATE_HZ, window, n_frames, block)
    cut = [one for stretch in stretches for one in fine.windows(stretch, RATE_HZ, window)]
    assert len(cut) == n_frames
    assert all(np.array_equal(one, other) for one, other in zip(cut, expected, strict=True))


@pytest.mark.parametrize("rate_hz", [16000, 24000, 44100])
@pytest.mark.parametrize("module", ["amplitude", "timbre"])
def test_a_click_is_centred_on_its_fine_frame(module, rate_hz):
    audio = np.zeros(rate_hz, np.float32)
    clicked = 37  # its centre, 375 ms
    audio[round((clicked + 0.5) * rate_hz / 100)] = 1.0
    energy = MODULES[module].measure(audio, rate_hz, options(module)).weight.astype(np.float64)
    assert (np.arange(len(energy)) * energy).sum() / energy.sum() == pytest.approx(clicked, abs=0.06)


# Amplitude


def test_amplitude_of_known_levels():
    steady = amplitude.measure(np.full(RATE_HZ, 0.1, np.float32), RATE_HZ, options("amplitude")).value[5:-5]
    assert steady == pytest.approx(-20, abs=1e-3)
    sine = amplitude.measure(tone(1000, 0.5, peak=1.0), RATE_HZ, options("amplitude")).value[5:-5]
    assert sine == pytest.approx(-3.01, abs=0.05)
    silent = amplitude.measure(np.zeros(RATE_HZ, np.float32), RATE_HZ, options("amplitude"))
    assert (silent.value == -70).all()
    linear = amplitude.measure(np.full(8000, 0.1, np.float32), RATE_HZ, options("amplitude", scale="linear")).value
    assert linear[5:-5] == pytest.approx(0.1, rel=1e-4)


def gliding(rate_hz: int = RATE_HZ) -> np.ndarray:
    """Two seconds that change: a rising tone that swells, and noise."""
    time_s = np.arange(2 * rate_hz) / rate_hz
    return (time_s / 4 * np.sin(2 * np.pi * (200 + 900 * time_s) * time_s)).astype(np.float32) + noise(
        2 * rate_hz, rms=0.01
    )


def windowed(audio: np.ndarray, window: int) -> np.ndarray:
    """audio padded such that librosa's windows without "center" are centred on fine frames."""
    return np.pad(audio, (window // 2 - 80, window // 2 + 80))


def test_amplitude_is_librosas_rms():
    audio = gliding()
    rms = librosa.feature.rms(y=windowed(audio, 512), frame_length=512, hop_length=160, center=False)[0, :200]
    value = amplitude.measure(audio, RATE_HZ, options("amplitude")).value
    assert value == pytest.approx(20 * np.log10(rms), abs=1e-4)


def test_timbre_is_librosas_centroid():
    audio = gliding()
    reference = librosa.feature.spectral_centroid(
        y=windowed(audio, 1024), sr=RATE_HZ, n_fft=1024, hop_length=160, center=False
    )
    value = timbre.measure(audio, RATE_HZ, options("timbre")).value
    assert value == pytest.approx(reference[0, :200], abs=0.02)


def test_amplitude_pools_by_the_energy_mean():
    track, inside = pieces([[-20.0, -40.0], [-30.0], [-70.0, -70.0, -70.0]], [[1e-2, 1e-4], [1e-3], [0, 0, 0]])
    pooled = amplitude.pool(track, inside, options("amplitude"))
    assert pooled == pytest.approx([10 * math.log10((1e-2 + 1e-4) / 2), -30, -70], abs=1e-5)
    assert amplitude.pool(track, inside, options("amplitude", scale="linear"))[0] == pytest.approx(
        math.sqrt((1e-2 + 1e-4) / 2)
    )


# Timbre


def test_centroid_of_known_sounds():
    assert timbre.measure(tone(1000, 0.5), RATE_HZ, options("timbre")).value[5:-5] == pytest.approx(1000, abs=5)
    white = timbre.measure(noise(2 * RATE_HZ), RATE_HZ, options("timbre")).value[5:-5]
    assert white.mean() == pytest.approx(4000, rel=0.02)
    in_octaves = timbre.measure(tone(1000, 0.5), RATE_HZ, options("timbre", scale="log_hz")).value[5:-5]
    assert in_octaves == pytest.approx(math.log2(1000), abs=0.01)


def test_centroid_does_not_depend_on_the_rate_of_the_file():
    at_44100 = timbre.measure(tone(1000, 0.5, 44100), 44100, options("timbre")).value[5:-5]
    assert at_44100 == pytest.approx(1000, abs=5)


def test_silence_has_no_centroid():
    audio = np.concatenate([tone(500, 0.3), np.zeros(RATE_HZ // 2, np.float32)])
    value = timbre.measure(audio, RATE_HZ, options("timbre")).value
    assert np.isfinite(value[:28]).all()
    assert np.isnan(value[34:]).all()


def test_centroid_pools_by_energy_and_skips_silence():
    nan = math.nan
    track, inside = pieces([[1000.0, 4000.0], [2000.0, nan], [nan, nan, nan]], [[3.0, 1.0], [0.5, 0.1], [0, 0, 0]])
    pooled = timbre.pool(track, inside, options("timbre"))
    assert pooled[:2] == pytest.approx([1750, 2000])
    assert np.isnan(pooled[2])


# Pitch


def test_pitch_pools_by_the_median_of_what_is_voiced():
    nan = math.nan
    rows = [[60.0, 60.2, 72.0], [nan, 60.0], [nan, nan, 60.0], [60.0, 64.0], [60.0, 62.0, 64.0, nan], [nan]]
    weights = [[0.9, 0.9, 0.9], [0.1, 0.8], [0.1, 0.1, 0.9], [0.6, 0.9], [0.9, 0.9, 0.9, 0.1], [0.0]]
    pooled = pitch.pool(*pieces(rows, weights), options("pitch"))
    # the fourth: of the two in the middle the one of greater periodicity, not the note between them
    assert pooled == pytest.approx([60.2, 60, nan, 64, 62, nan], nan_ok=True)


def test_the_fast_network_is_the_published_one():
    frames = torch.randn(40, 1024)
    for model, n_frames in (("tiny", 40), ("full", 2)):
        net, _ = pitch_tracker.network(model, "cpu")
        with torch.inference_mode():
            expected = pitch_tracker.torchcrepe.infer(frames[:n_frames], model, "cpu")
            assert torch.allclose(net(frames[:n_frames]), expected, atol=5e-6)


def test_frames_are_prepared_as_torchcrepe_does():
    audio = noise(4000) + tone(300, 0.25)
    # torchcrepe centres windows on multiples of the hop; 80 samples in front make them the middles of our frames
    shifted = torch.from_numpy(np.concatenate([audio[80:], np.zeros(80, np.float32)]))[None]
    prepared = next(pitch_tracker.torchcrepe.preprocess(shifted, RATE_HZ, 160, device="cpu"))
    with torch.inference_mode():
        expected = pitch_tracker.torchcrepe.infer(prepared, "tiny", "cpu").numpy()
    found = pitch_tracker.probabilities(audio, 25, options("pitch"), "cpu")
    assert np.abs(found[4:20] - expected[4:20]).max() < 5e-6


def test_crepe_hears_every_semitone_from_g1_to_b6():
    semitones = np.arange(31, 96)
    audio = np.concatenate([tone(440 * 2 ** ((note - 69) / 12), 0.15) for note in semitones])
    value = pitch.measure(audio, RATE_HZ, options("pitch")).value.reshape(len(semitones), 15)[:, 6:10]
    assert np.abs(value - semitones[:, None]).max() < 0.5
    assert np.median(np.abs(value - semitones[:, None])) < 0.05


def same(one: FineTrack, other: FineTrack) -> bool:
    """To the last bit."""
    return np.array_equal(one.value, other.value, equal_nan=True) and np.array_equal(one.weight, other.weight)


def test_pitch_is_the_same_twice():
    audio = np.concatenate([tone(220, 0.3), noise(3000), tone(330, 0.317), np.zeros(3000, np.float32)])
    np.random.seed(1)  # noqa: NPY002 (torchcrepe's dither would draw from it)
    first = pitch.measure(audio, RATE_HZ, options("pitch"))
    np.random.seed(2)  # noqa: NPY002
    assert same(first, pitch.measure(audio, RATE_HZ, options("pitch")))


@pytest.mark.parametrize("n_before", [1, 7, 64, 71])
def test_a_frame_gets_the_same_bits_wherever_it_lies_in_a_batch_and_a_block(n_before, monkeypatch):
    """On a CPU; elsewhere what is promised is the same for the same recording."""
    monkeypatch.setattr(pitch_tracker, "BLOCK_FRAMES", 70)
    sounding = np.concatenate([tone(220, 0.4), noise(8000), tone(330, 0.317)])
    before = np.concatenate([noise(n_before * 160, seed=1), np.zeros(20 * 160, np.float32)])
    found = pitch_tracker.probabilities(sounding, 122, options("pitch"), "cpu")
    later = pitch_tracker.probabilities(np.concatenate([before, sounding]), n_before + 142, options("pitch"), "cpu")
    assert np.array_equal(found, later[-122:])
    assert (found.max(axis=1) > 0).all()


def test_batches_of_another_size_agree_to_rounding(monkeypatch):
    audio = np.concatenate([tone(220, 0.6), noise(3000), np.zeros(3000, np.float32)])
    first = pitch.measure(audio, RATE_HZ, options("pitch"))
    for size in (5, 512):
        monkeypatch.setattr(pitch_tracker, "BATCH_FRAMES", {"cpu": size})
        other = pitch.measure(audio, RATE_HZ, options("pitch"))
        assert np.allclose(first.value, other.value, atol=1e-3, equal_nan=True)
        assert np.allclose(first.weight, other.weight, atol=1e-5)


def test_silent_frames_do_not_go_through_the_network(monkeypatch):
    net, where = pitch_tracker.network("tiny", "cpu")
    n_batches = []
    monkeypatch.setattr(
        pitch_tracker, "network", lambda *_: (lambda frames: n_batches.append(len(frames)) or net(frames), where)
    )
    audio = np.concatenate([np.zeros(10 * RATE_HZ, np.float32), tone(220, 0.3), np.zeros(RATE_HZ, np.float32)])
    found = pitch_tracker.probabilities(audio, 1130, options("pitch"), "cpu")
    assert n_batches == [64]
    assert np.flatnonzero(found.any(axis=1)).tolist() == list(range(997, 1033))  # 64 ms see it


@pytest.mark.parametrize("decoder", ["argmax", "viterbi"])
def test_noise_and_silence_are_unvoiced(decoder):
    audio = np.concatenate([noise(RATE_HZ), np.zeros(RATE_HZ // 2, np.float32)])
    track = pitch.measure(audio, RATE_HZ, options("pitch", decoder=decoder))
    assert np.isfinite(track.value[:100]).mean() < 0.05
    assert np.isnan(track.value[105:]).all()
    assert (track.weight[105:] == 0).all()
    assert track.value.dtype == track.weight.dtype == np.float32


def test_a_tone_below_the_level_floor_is_unvoiced():
    quiet = tone(440, 0.3, peak=1e-4)  # −83 dBFS
    assert np.isnan(pitch.measure(quiet, RATE_HZ, options("pitch")).value).all()
    assert np.isfinite(pitch.measure(quiet, RATE_HZ, options("pitch", level_floor_dbfs=-90)).value[4:-4]).all()


def test_one_sample_and_no_sample():
    for module in MODULES:
        assert len(MODULES[module].measure(np.zeros(1, np.float32), RATE_HZ, options(module)).value) == 1
        assert len(MODULES[module].measure(np.zeros(0, np.float32), RATE_HZ, options(module)).value) == 0


@pytest.mark.parametrize("audio", [np.zeros((2, 100), np.float32), np.full(100, np.nan, np.float32)])
@pytest.mark.parametrize("module", MODULES)
def test_what_cannot_be_measured_is_refused(module, audio):
    with pytest.raises(ValueError, match=r"one channel|not finite"):
        MODULES[module].measure(audio, RATE_HZ, options(module))


def viterbi_by_definition(probabilities: np.ndarray) -> list[int]:
    """The best path as said in words: 13 − |step| in 169 for a step up to 12 bins, 1 in 100 000 for any other."""
    n_frames, n_bins = probabilities.shape
    score = np.log(probabilities.astype(np.float64) + 1e-6)
    best, came_from = np.zeros(n_bins), []
    for frame in range(n_frames):
        reached, origin = np.empty(n_bins), np.empty(n_bins, int)
        for j in range(n_bins):
            near = np.arange(max(0, j - 12), min(n_bins, j + 13))
            glides = best[near] + np.log((13 - np.abs(near - j)) / 169)
            jump = best.max() + np.log(1e-5)
            is_glide = glides.max() >= jump
            reached[j] = glides.max() if is_glide else jump
            origin[j] = near[glides.argmax()] if is_glide else best.argmax()
        best = reached + score[frame]
        came_from.append(origin)
    path, state = [], int(best.argmax()) if n_frames else 0
    for origin in reversed(came_from):
        path.append(state)
        state = int(origin[state])
    return path[::-1]


@given(
    n_frames=st.integers(0, 30),
    n_bins=st.sampled_from([1, 5, 40, 72]),
    sharpness=st.sampled_from([0, 1, 8, 60]),
    seed=st.integers(0, 99),
    block=st.sampled_from([1, 7, 4096]),
)
def test_the_compiled_viterbi_is_the_definition(n_frames, n_bins, sharpness, seed, block):
    """Sharpness 0: all bins are equal, and ties have to be decided alike."""
    probabilities = np.random.default_rng(seed).random((n_frames, n_bins)).astype(np.float32) ** sharpness
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crepe_decoding, "_BLOCK_FRAMES", block)
        assert crepe_decoding.viterbi_path(probabilities).tolist() == viterbi_by_definition(probabilities)


def test_viterbi_bridges_an_outlier_and_follows_a_new_note_at_once():
    probabilities = np.full((40, crepe_decoding.N_BINS), 0.01, np.float32)
    probabilities[:20, 100] = 0.9
    probabilities[20:, 200] = 0.9
    probabilities[10, [100, 160]] = 0.4, 0.6  # an octave error of one frame
    path = crepe_decoding.viterbi_path(probabilities)
    assert path.tolist() == [100] * 20 + [200] * 20
    assert crepe_decoding.argmax_path(probabilities)[10] == 160


def test_a_jump_comes_from_the_lowest_of_equally_good_bins():
    probabilities = np.full((6, 72), 0.01, np.float32)
    probabilities[:3, [5, 65]] = 0.9
    probabilities[3:, 35] = 0.9
    assert crepe_decoding.viterbi_path(probabilities).tolist() == [5] * 3 + [35] * 3
    assert viterbi_by_definition(probabilities) == [5] * 3 + [35] * 3


def test_decoded_pitch_stays_within_the_search_range():
    probabilities = np.random.default_rng(0).random((200, crepe_decoding.N_BINS)).astype(np.float32)
    for decoder in ("argmax", "viterbi"):
        f0_hz, periodicity = crepe_decoding.decode(probabilities, 100, 400, decoder)
        assert f0_hz.min() >= 100
        assert f0_hz.max() <= 400.001
        assert ((periodicity >= 0) & (periodicity <= 1)).all()


# Classes


def test_pitch_classes_are_semitones_and_unvoiced():
    fitted = pitch.fit_bins(np.zeros(0), options("pitch"))
    assert fitted.n_classes == 66
    assert [fitted.class_names[index] for index in (0, 38, 64, 65)] == ["G1", "A4", "B6", "unvoiced"]
    values = np.array([69.0, 69.49, 69.5, 31.0, 95.4, math.nan, 30.4, 96.0, 95.5])
    assert bins.classify(values, fitted).tolist() == [38, 38, 39, 0, 64, 65, -1, -1, 64]
    assert fitted.centres[38] == 69
    assert math.isnan(fitted.centres[65])
    left_out = pitch.fit_bins(np.zeros(0), options("pitch", unvoiced="left_out"))
    assert left_out.n_classes == 65
    assert bins.classify(np.array([math.nan, 69.0]), left_out).tolist() == [-1, 38]


def test_equal_bins_by_hand():
    values = np.append(np.arange(201.0), math.nan)  # percentiles 0.5 and 99.5 are 1 and 199
    fitted = amplitude.fit_bins(values, options("amplitude", n_classes=2))
    assert fitted.edges == pytest.approx([1, 100, 199])
    assert fitted.centres == pytest.approx([50.5, 149.5])
    assert fitted.class_names == ["1 to 100 dBFS", "100 to 199 dBFS"]
    beyond = np.array([-5, 1, 99.9, 100, 199, 500, math.nan])
    assert bins.classify(beyond, fitted).tolist() == [0, 0, 0, 1, 1, 1, -1]
    assert bins.classify(beyond, fitted).dtype == np.int16


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30), st.integers(2, 40))
def test_every_value_has_one_class_and_names_differ(values, n_classes):
    values = np.append(values, [-1.0, 1.0])
    fitted = bins.equal_bins(values, {"n_classes": n_classes, "low_percentile": 0, "high_percentile": 100}, "Hz")
    classes = bins.classify(values, fitted)
    assert ((classes >= 0) & (classes < n_classes)).all()
    assert (np.diff(classes[np.argsort(values)]) >= 0).all()
    assert len(set(fitted.class_names)) == n_classes


@pytest.mark.parametrize("values", [np.zeros(0), np.full(5, math.nan), np.full(5, 3.0)])
def test_bins_of_nothing_or_of_one_value_are_refused(values):
    with pytest.raises(ValueError, match="train split"):
        timbre.fit_bins(values, options("timbre"))


def test_bins_come_back_from_disk(tmp_path):
    fitted = pitch.fit_bins(np.zeros(0), options("pitch"))
    bins.write(fitted, "pitch", tmp_path / "bins.json")
    back = bins.read(tmp_path / "bins.json")
    assert back.class_names == fitted.class_names
    assert np.array_equal(back.edges, fitted.edges)
    assert np.array_equal(back.centres, fitted.centres, equal_nan=True)
    assert (back.unit, back.undefined_class, back.clips_beyond) == ("semitone (MIDI)", 65, False)


# From files to files


@pytest.fixture
def manifest(tmp_path) -> str:
    """Two clips of shard 0, one for training and one for testing; shard 1 is empty."""
    rows = []
    for name, split, peak in (("a", "train", 0.1), ("b", "test", 0.9)):
        path = tmp_path / f"{name}.wav"
        ramp = np.linspace(0.1, 1, 24000)[:, None] * np.ones(2)
        soundfile.write(path, ramp * tone(330, 1, 24000, peak)[:, None], 24000)
        rows.append({"clip_id": f"toy/{name}", "path": str(path), "split": split})
    constants = {"dataset": "toy", "group": "g", "shard": 0, "duration_s": 1.0, "sample_rate_hz": 24000}
    constants |= {"n_channels": 2, "kind": "solo", "instrument": "", "sha256": ""}
    constants |= {"truth_f0_path": "", "truth_notes_path": ""}
    tables.write(pd.DataFrame(rows).assign(**constants), tmp_path / "manifest.parquet", tables.MANIFEST)
    return str(tmp_path / "manifest.parquet")


def band(tmp_path) -> str:
    """A manifest of six clips of three kinds, half of them in either shard; drums without a file."""
    rows = []
    for number, kind in enumerate(["solo", "drums", "solo", "mix", "drums", "solo"]):
        path = tmp_path / f"band{number}.wav"
        if kind != "drums":
            audio = np.concatenate([tone(200 + 60 * number, 0.3 + 0.1 * number, 24000), noise(2400, number)])
            soundfile.write(path, audio, 24000)
        rows.append({"clip_id": f"toy/{number}", "path": str(path), "kind": kind, "shard": number // 3})
        rows[-1]["duration_s"] = (round((0.3 + 0.1 * number) * 24000) + 2400) / 24000
    constants = {"dataset": "toy", "group": "g", "split": "train", "sample_rate_hz": 24000, "n_channels": 1}
    constants |= {"instrument": "", "sha256": "", "truth_f0_path": "", "truth_notes_path": ""}
    tables.write(pd.DataFrame(rows).assign(**constants), tmp_path / "band.parquet", tables.MANIFEST)
    return str(tmp_path / "band.parquet")


def labels_of(manifest: str, shard: int, tmp_path, resumption) -> pd.DataFrame:
    path = str(tmp_path / "out.parquet")
    labelling.label_shard(manifest, shard, pitch, options("pitch"), "cpu", path, resumption())
    return tables.read(path, tables.FINE_LABELS)


def test_pitch_does_not_depend_on_the_shard_or_the_company(tmp_path, resumption):
    manifest = band(tmp_path)
    in_shards = [labels_of(manifest, shard, tmp_path, resumption) for shard in (0, 1)]
    together = pd.concat([part.astype({"clip_id": str}) for part in in_shards], ignore_index=True)
    everything = tables.read(manifest, tables.MANIFEST)
    tables.write(everything[::-1].assign(shard=0), manifest, tables.MANIFEST)
    one = labels_of(manifest, 0, tmp_path, resumption)
    tables.write(everything.assign(shard=range(6)), manifest, tables.MANIFEST)
    for number, clip_id in enumerate(everything["clip_id"]):
        alone = labels_of(manifest, number, tmp_path, resumption)
        assert alone["clip_id"].tolist() == [clip_id] * len(alone)
        for others in (together, one):
            part = others[others["clip_id"] == clip_id]
            for column in ("frame_index", "value", "weight"):
                assert np.array_equal(alone[column], part[column], equal_nan=True)


def test_kinds_that_are_left_out_are_not_measured(tmp_path, resumption):
    manifest = band(tmp_path)  # labelling would fail if it read the drums
    table = labels_of(manifest, 0, tmp_path, resumption)
    drums = table[table["clip_id"] == "toy/1"]
    assert len(drums) == 50 and drums["frame_index"].tolist() == list(range(50))
    assert drums["value"].isna().all() and (drums["weight"] == 0).all()
    assert table.loc[table["clip_id"] == "toy/0", "value"].notna().any()
    for name, settings in (
        ("pitch", options("pitch", leave_out_kinds=["mix"])),
        ("amplitude", options("amplitude")),
        ("timbre", options("timbre")),
    ):
        with pytest.raises(ValueError, match="toy/1"):
            labelling.label_shard(manifest, 0, MODULES[name], settings, "cpu", str(tmp_path / "o"), resumption())


@pytest.mark.parametrize("module", MODULES)
def test_a_shard_is_labelled_in_the_order_of_the_manifest(module, manifest, tmp_path, resumption):
    path = tmp_path / "labels.parquet"
    labelling.label_shard(manifest, 0, MODULES[module], options(module), "cpu", str(path), resumption())
    table = tables.read(path, tables.FINE_LABELS)
    assert table["clip_id"].tolist() == ["toy/a"] * 100 + ["toy/b"] * 100
    assert table["frame_index"].tolist() == [*range(100)] * 2
    labelling.label_shard(manifest, 1, MODULES[module], options(module), "cpu", str(path), resumption())
    assert len(tables.read(path, tables.FINE_LABELS)) == 0


def test_bins_are_fitted_to_the_train_split_alone(manifest, tmp_path, resumption):
    paths = [str(tmp_path / f"{shard}.parquet") for shard in (0, 1)]
    for shard, path in enumerate(paths):
        labelling.label_shard(manifest, shard, amplitude, options("amplitude"), "cpu", path, resumption())
    settings = options("amplitude", low_percentile=0, high_percentile=100)
    bin_fitting.fit_bins(paths, [manifest], "loudness", amplitude, settings, str(tmp_path / "bins.json"))
    table = tables.read(paths[0], tables.FINE_LABELS)
    of_train = table["value"][table["clip_id"] == "toy/a"]
    edges = bins.read(tmp_path / "bins.json").edges
    assert edges[[0, -1]] == pytest.approx([of_train.min(), of_train.max()])


def test_an_unreadable_clip_is_named(manifest, tmp_path, resumption):
    (tmp_path / "b.wav").write_bytes(b"not audio")
    output = str(tmp_path / "out.parquet")
    with pytest.raises(ValueError, match="toy/b"):
        labelling.label_shard(manifest, 0, amplitude, options("amplitude"), "cpu", output, resumption())
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("module", MODULES)
def test_cards_split_off_only_options_that_exist(module):
    card = plugins.card("labels", module)
    assert set(card["bin_options"]) < set(card["options"]["properties"])
    assert MODULES[module].unit(options(module)) == card["unit"]
    assert "leave_out_kinds" not in card["bin_options"], "what is measured depends on it"
