"""Labels against latents in time: bounds by hand, no drift, and the offset measured through encoder and labeller."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonolens import experiment, plugins, tables
from sonolens.clip_tracks import _track
from sonolens.encoders import spectrogram_codec
from sonolens.encoders.geometry import FrameGeometry
from sonolens.labels import alignment, amplitude, bins, fine, pitch, timbre
from sonolens.labels.fine import FineTrack
from sonolens.sae.audio_evaluation import Excerpt

GEOMETRIES = [
    FrameGeometry(16000, 320),
    FrameGeometry(24000, 320),
    FrameGeometry(24000, 600),
    FrameGeometry(44100, 2048),
]
RNG = np.random.default_rng(0)


def options(module: str) -> dict:
    filled = {"model": "tiny"} if module == "pitch" else {}
    experiment.check(filled, plugins.card("labels", module)["options"])
    return filled


def pooled(module, audio: np.ndarray, geometry: FrameGeometry) -> np.ndarray:
    """The attribute of audio (n_samples,) for each latent frame of an encoder that keeps the tail."""
    name = module.__name__.split(".")[-1]
    track = module.measure(audio, geometry.sample_rate_hz, options(name))
    n_frames = -(-len(audio) // geometry.hop_samples)
    start, n_fine = np.zeros(n_frames, np.int64), np.full(n_frames, len(track.value))
    frames = np.arange(n_frames)
    return alignment.pool_frames(track, start, n_fine, frames, geometry, module, options(name))


def spans_of(indices, geometry: FrameGeometry, n_fine: int) -> list[tuple[int, int]]:
    frame_index = np.asarray(indices)
    first, stop = alignment.spans(frame_index, np.full(len(frame_index), n_fine), geometry)
    return list(zip(first.tolist(), stop.tolist(), strict=True))


def test_spans_by_hand():
    assert spans_of([0, 1, 2], FrameGeometry(16000, 320), 6) == [(0, 2), (2, 4), (4, 6)]
    # hop 13.3 ms: frames [0, 13.3), [13.3, 26.7), [26.7, 40) hold the centres 5; 15, 25; 35
    assert spans_of([0, 1, 2], FrameGeometry(24000, 320), 4) == [(0, 1), (1, 3), (3, 4)]
    # hop 46.4 ms: [0, 46.4), [46.4, 92.9)
    assert spans_of([0, 1], FrameGeometry(44100, 2048), 20) == [(0, 5), (5, 9)]
    # a causal grid: frame i stands for the time i·hop, so [−10, 10), [10, 30) ms
    assert spans_of([0, 1], FrameGeometry(16000, 320, 0.0), 6) == [(0, 1), (1, 3)]


def test_a_hop_under_10_ms_takes_the_nearest_fine_frame():
    # hop 4 ms, times 2, 6, 10, 14, 18 ms; the span of 10 ms holds no centre and lies between 5 and 15
    assert [first for first, _ in spans_of(range(5), FrameGeometry(16000, 64), 2)] == [0, 0, 1, 1, 1]
    assert all(stop == first + 1 for first, stop in spans_of(range(5), FrameGeometry(16000, 64), 2))


def test_the_last_frames_take_what_there_is():
    assert spans_of([0, 1, 2, 3], FrameGeometry(16000, 320), 3) == [(0, 2), (2, 3), (2, 3), (2, 3)]


@given(
    st.integers(0, 10_000_000),
    st.sampled_from([*GEOMETRIES, FrameGeometry(48000, 1920, 0.0), FrameGeometry(22050, 256, 0.75)]),
)
def test_nothing_drifts_over_days(index, geometry):
    hop_s = Fraction(geometry.hop_samples, geometry.sample_rate_hz)
    middle = (index + Fraction(geometry.frame_offset_frames)) * hop_s
    first, stop = spans_of([index], geometry, 10**12)[0]
    centre = lambda j: (j + Fraction(1, 2)) / 100  # noqa: E731
    low, high = middle - hop_s / 2, middle + hop_s / 2
    assert low <= centre(first) < high or first == 0
    assert low <= centre(stop - 1) < high or stop == 1
    assert centre(first - 1) < low or first == 0
    assert centre(stop) >= high


def test_blocks_of_frames_change_nothing(monkeypatch):
    track = FineTrack(RNG.standard_normal(200).astype(np.float32), RNG.random(200).astype(np.float32))
    frames = np.arange(99)
    arguments = (track, np.zeros(99, np.int64), np.full(99, 200), frames, GEOMETRIES[0], pitch, {})
    whole = alignment.pool_frames(*arguments)
    monkeypatch.setattr(alignment, "BLOCK_FRAMES", 7)
    assert np.array_equal(alignment.pool_frames(*arguments), whole, equal_nan=True)


def test_frames_of_overlapping_segments_do_not_drift():
    """EnCodec at 48 kHz: 150 frames a segment, which last 0.99 s; counted as hops they would run 1 % late."""
    geometry = FrameGeometry(48000, 320, segment_samples=48000, segment_stride_samples=47520)
    indices = [0, 149, 150, 151, 150 * 3600, 150 * 3600 + 75]
    times_s = geometry.frame_time_s(np.array(indices))
    np.testing.assert_allclose(times_s[-2:], [3600 * 0.99 + 1 / 300, 3600 * 0.99 + 75.5 / 150])
    for (first, stop), time_s in zip(spans_of(indices, geometry, 400_000), times_s, strict=True):
        assert (first + stop) / 2 / fine.FINE_FRAMES_PER_S == pytest.approx(time_s, abs=0.0051)
    assert geometry.n_frames(96_000) == 150 + 150 + 3 and geometry.n_frames(1) == 1


def test_an_excerpt_finds_the_labels_of_its_own_frames_in_overlapping_segments(tmp_path):
    geometry = FrameGeometry(48000, 320, segment_samples=48000, segment_stride_samples=47520)
    indices = np.arange(450)
    labels = pd.DataFrame({"clip_id": "a/b", "frame_index": indices, "value": indices, "class_index": 0})
    tables.write(labels.astype({"clip_id": object}), tmp_path / "labels.parquet", tables.ALIGNED_LABELS)
    clip = pd.DataFrame({"clip_id": ["a/b"]}).itertuples().__next__()
    excerpt = Excerpt(clip, 2 * 47520 / 48000, np.zeros((2, 48000), np.float32))  # the third segment
    bins = {"unit": "dB", "centres": [0.0]}
    track = _track(excerpt, geometry, "amplitude", tmp_path / "labels.parquet", bins, np.zeros(150, int))
    np.testing.assert_array_equal(track["value"], indices[300:])
    assert track["time_s"].iloc[0] == pytest.approx(2 * 0.99 + 160 / 48000)


def frame_energy(audio: np.ndarray, geometry: FrameGeometry) -> np.ndarray:
    """A toy encoder: the energy of each hop, (n_frames,), the tail filled up with zeros."""
    hop = geometry.hop_samples
    return (np.pad(audio, (0, -len(audio) % hop)).reshape(-1, hop).astype(np.float64) ** 2).sum(axis=1)


def centre_of(energy: np.ndarray) -> float:
    """Where energy (n_frames,) lies, in frames."""
    return float((np.arange(len(energy)) * energy).sum() / energy.sum())


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_clicks_lie_at_the_same_time_in_latents_and_labels(geometry):
    offsets = []
    for _ in range(40):
        audio = np.zeros(geometry.sample_rate_hz, np.float32)
        audio[RNG.integers(len(audio) // 4, 3 * len(audio) // 4)] = 1.0
        labels = 10 ** (pooled(amplitude, audio, geometry).astype(np.float64) / 10)
        labels[labels <= 1.001e-7] = 0  # the floor
        offsets.append(centre_of(labels) - centre_of(frame_energy(audio, geometry)))
    # A constant offset, in latent frames; 25 ms frames begin on every second fine centre, which costs 2.5 ms
    assert np.abs(np.mean(offsets)) < 0.25
    assert np.abs(offsets).max() < 0.75  # one click: the grid of 10 ms and a window of 32 ms


def crossing(values: np.ndarray) -> float:
    """Where values (n_frames,) that rise from one level to another cross the middle, in frames."""
    middle = (np.median(values[2:8]) + np.median(values[-8:-2])) / 2
    after = int(np.argmax(values > middle))
    return after - (values[after] - middle) / (values[after] - values[after - 1])


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("module", [pitch, amplitude, timbre], ids=lambda module: module.__name__.split(".")[-1])
def test_a_step_lies_at_the_same_time_in_latents_and_labels(module, geometry):
    offsets = []
    for step_s in (0.602, 0.617, 0.633, 0.648):
        time_s = np.arange(round(1.3 * geometry.sample_rate_hz)) / geometry.sample_rate_hz
        is_after = time_s >= step_s
        if module is amplitude:
            audio = np.where(is_after, 0.1, 0.0) * RNG.choice([-1.0, 1.0], len(time_s))
            values = 10 ** (pooled(module, audio.astype(np.float32), geometry).astype(np.float64) / 10)
        else:
            high = 660 if module is pitch else 4400  # wide, or the splatter of the jump itself lies above both
            audio = 0.3 * np.where(is_after, np.sin(2 * np.pi * high * time_s), np.sin(2 * np.pi * 440 * time_s))
            values = pooled(module, audio.astype(np.float32), geometry).astype(np.float64)
        latents = frame_energy(is_after.astype(np.float32), geometry)
        # frames at a note's change may be unvoiced; the step is then between those that are not
        known = np.isfinite(values)
        values = np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
        offsets.append(crossing(values) - crossing(latents))
    assert np.abs(np.mean(offsets)) < 0.5


@pytest.mark.parametrize("name", ["minivae", "minirvq"])
def test_a_click_through_the_mini_codecs(name, tmp_path):
    """Untrained nets of full size: a click moves latents around its own time, and the labels with them."""
    card = plugins.card("encoders", name)
    settings = {} if name == "minivae" else {"latent": "pre_quantised"}  # an untrained codebook is empty
    experiment.check(settings, card["options"])
    module, weights = plugins.load("encoders", name), tmp_path / "weights.safetensors"
    spectrogram_codec.write_weights(weights, module.build(settings).state_dict(), {"module": name, "options": settings})
    encoder = module.load([weights], settings, "cpu")
    geometry = FrameGeometry(card["sample_rate_hz"], card["hop_samples"])
    offsets = []
    for clicked in RNG.integers(6000, 10000, 12):
        audio = np.zeros(16000, np.float32)
        audio[clicked] = 1.0
        latents = encoder.encode(audio[None]).astype(np.float64)
        moved = centre_of(((latents - latents[3]) ** 2).sum(axis=1))
        time_s = np.interp(moved, np.arange(len(latents)), encoder.geometry.frame_time_s(np.arange(len(latents))))
        assert time_s == pytest.approx(clicked / 16000, abs=0.01)
        labels = 10 ** (pooled(amplitude, audio, geometry).astype(np.float64) / 10)
        offsets.append(centre_of(np.where(labels > 1.001e-7, labels, 0)) - moved)
    assert np.abs(np.mean(offsets)) < 0.25  # latent frames
    assert np.abs(offsets).max() < 0.75


@pytest.fixture
def files(tmp_path):
    """Fine labels of three clips in two shards, latent frames in another order, and bins of two classes."""
    geometry = FrameGeometry(16000, 320)

    def fine_table(*clips):
        rows = [{"clip_id": clip, "frame_index": j, "value": value + j} for clip, value in clips for j in range(4)]
        return pd.DataFrame(rows, columns=["clip_id", "frame_index", "value"]).assign(weight=1.0)

    def frames_table(*clips):
        rows = [{"clip_id": clip, "frame_index": i} for clip in clips for i in range(2)]
        return pd.DataFrame(rows, columns=["clip_id", "frame_index"])

    labels = [fine_table(("toy/b", 100), ("toy/c", 200)), fine_table(), fine_table(("toy/a", 0))]
    frames = [frames_table("toy/a"), frames_table(), frames_table("toy/c", "toy/b")]
    paths = {"labels": [], "frames": [], "bins": str(tmp_path / "bins.json"), "output": str(tmp_path / "out.parquet")}
    clips = pd.DataFrame({"clip_id": ["toy/a", "toy/b", "toy/c"], "kind": ["solo", "drums", "mix"]})
    constants = {"dataset": "toy", "path": "none.wav", "group": "g", "split": "train", "shard": 0, "duration_s": 0.04}
    constants |= {"sample_rate_hz": 16000, "n_channels": 1, "instrument": "", "sha256": ""}
    constants |= {"truth_f0_path": "", "truth_notes_path": ""}
    paths["manifests"] = [str(tmp_path / "manifest.parquet")]
    tables.write(clips.assign(**constants), paths["manifests"][0], tables.MANIFEST)
    for kind, parts, schema in (("labels", labels, tables.FINE_LABELS), ("frames", frames, tables.LATENT_FRAMES)):
        for number, part in enumerate(parts):
            paths[kind].append(str(tmp_path / f"{kind}{number}.parquet"))
            tables.write(part.astype({"clip_id": object}), paths[kind][-1], schema)
    bins.write(
        bins.Bins("Hz", np.array([0.0, 100, 200]), ["low", "high"], np.array([50, 150]), -1, True), "t", paths["bins"]
    )
    return paths, geometry


def align(paths, geometry, module=timbre, settings=None):
    alignment.align(
        paths["labels"],
        paths["frames"],
        paths["manifests"],
        paths["bins"],
        geometry,
        module,
        settings or options("timbre"),
        paths["output"],
    )
    return tables.read(paths["output"], tables.ALIGNED_LABELS)


def test_aligned_labels_have_the_order_of_the_latents(files):
    table = align(*files)
    assert table["clip_id"].tolist() == ["toy/a"] * 2 + ["toy/c"] * 2 + ["toy/b"] * 2
    assert table["frame_index"].tolist() == [0, 1] * 3
    assert table["value"].tolist() == [0.5, 2.5, 200.5, 202.5, 100.5, 102.5]
    assert table["class_index"].tolist() == [0, 0, 1, 1, 1, 1]


def test_frames_of_kinds_that_are_left_out_have_no_class_even_where_unvoiced_is_one(files):
    paths, geometry = files
    settings = options("pitch")
    labels = tables.read(paths["labels"][0], tables.FINE_LABELS).astype({"clip_id": object})
    labels.loc[labels["clip_id"] == "toy/c", "value"] = np.nan  # a mix in which no pitch is found
    labels["value"] -= 40  # of b: 60 to 63
    tables.write(labels, paths["labels"][0], tables.FINE_LABELS)
    bins.write(pitch.fit_bins(np.zeros(0), settings), "pitch", paths["bins"])
    table = align(paths, geometry, pitch, settings)
    assert table["class_index"].tolist() == [-1, -1, 65, 65, -1, -1]  # a lies below G1
    assert table["value"].isna().tolist() == [False] * 2 + [True] * 4
    assert align(paths, geometry, pitch, settings | {"leave_out_kinds": []})["class_index"].tolist()[4:] == [29, 31]
    assert align(paths, geometry, pitch, settings | {"leave_out_kinds": ["mix"]})["class_index"].tolist()[2:4] == [
        -1,
        -1,
    ]


def test_no_latents_at_all_give_an_empty_table(files):
    paths, geometry = files
    assert len(align(paths | {"frames": [paths["frames"][1]]}, geometry)) == 0


def test_latents_without_labels_are_refused(files):
    paths, geometry = files
    with pytest.raises(ValueError, match="toy/a"):
        align(paths | {"labels": paths["labels"][:2]}, geometry)


def test_latents_of_longer_audio_than_the_labels_are_refused(files):
    paths, geometry = files
    longer = pd.DataFrame({"clip_id": ["toy/a"] * 5, "frame_index": range(5)})
    tables.write(longer, paths["frames"][0], tables.LATENT_FRAMES)
    with pytest.raises(ValueError, match="beyond its labels"):
        align(paths, geometry)


def test_fine_times_are_the_middles():
    assert fine.fine_time_s(np.array([0, 1, 99])) == pytest.approx([0.005, 0.015, 0.995])
