"""Paths of a generator read by probes, heard, compared with recordings and steered: real parts, files in and out."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from sonolens import tables
from sonolens.files import read_json
from sonolens.generators import flow
from sonolens.jobs.interruption import Interrupted
from sonolens.labels import bins
from sonolens.latents import Scaling, clip_and_split
from sonolens.sae import weights
from sonolens.sae.model import SparseAutoencoder
from sonolens.steering import cell, embedding, excerpts
from sonolens.steering.control import Control, steered_reconstruction
from sonolens.tracing import samples, schemas, shuffling, steering, strip, trace
from sonolens.tracing.prompts import Prompt
from sonolens.tracing.reading import Reader
from test_steering_evaluation import RATE_HZ, Blocks, D, F, labellers, recording

N, POINTS = 600, 6  # 600 blocks of 16 samples are 0.6 s
CPU = torch.device("cpu")
ATTRIBUTES = {"loudness": 7, "height": 5}


class Towards:
    """A path that bends towards a tone whose pitch the condition gives: velocity 3 (tone − x), so not straight."""

    name, d_latent, n_frames, d_condition = "towards", D, N, 2

    def velocity(self, x, t, condition):
        return 3 * (self.ends(condition) - x)

    def ends(self, condition):
        tones = [recording(float(f0), 0.2)[: N * D].reshape(N, D) for f0 in condition[:, 0]]
        return torch.from_numpy(np.stack(tones)) * 4

    def latents(self, x):
        return x.cpu().numpy() / 4


def prompt(number: int) -> Prompt:
    return Prompt(f"prompt {number}", f"a tone, {number}", number, np.array([220.0 * (number + 1), 0], np.float32))


PROMPTS = [prompt(number) for number in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cell with two probes and two of shuffled labels, the bins of both attributes, and latents of two recordings."""
    folder = tmp_path_factory.mktemp("tracing")
    random = torch.Generator().manual_seed(1)
    model = SparseAutoencoder(D, F)
    model.initialise(random)
    weights.save(model, Scaling(np.full(D, 0.01, np.float32), 0.5), folder / "model")
    names = list("abcdefg")
    bins.write(bins.Bins("dBFS", np.linspace(-70, 0, 8), names, np.arange(-65.0, 0, 10), -1, True), "loudness",
               folder / "loudness.json")  # fmt: skip
    edges = np.array([40.0, 55, 65, 75, 100])
    centres = np.array([48.0, 60, 70, 88, np.nan])
    bins.write(
        bins.Bins("semitones", edges, [*"wxyz", "unvoiced"], centres, 4, False), "height", folder / "height.json"
    )
    for attribute, n_classes in ATTRIBUTES.items():
        for name in ("", "shuffled_"):
            tensors = {"weight": torch.randn(n_classes, F, generator=random), "bias": torch.zeros(n_classes)}
            save_file(tensors, folder / f"{name}{attribute}.safetensors")
    return folder


def loaded(folder, prefix: str = "", attributes=tuple(ATTRIBUTES)) -> cell.Cell:
    probes = {name: folder / f"{prefix}{name}.safetensors" for name in attributes}
    return cell.load(folder / "model", probes, {name: folder / f"{name}.json" for name in attributes})


def reader(folder) -> Reader:
    own = loaded(folder)
    return Reader(own, {"fitted": own.probes, "shuffled": loaded(folder, "shuffled_").probes})


def test_reading_is_the_mean_softmax_of_each_probe(folder):
    own, latents = loaded(folder), 0.3 * np.random.default_rng(0).standard_normal((3, 50, D)).astype(np.float32)
    read = reader(folder)
    found = dict(zip(read.names, read.read(latents), strict=True))
    assert set(found) == {(of, name) for of in ("fitted", "shuffled") for name in ATTRIBUTES}
    for row in range(3):
        code = own.model.encode(own.scaled(latents[row])).f
        probe = own.probes["height"]
        expected = (code @ probe.weight.T + probe.bias).softmax(dim=1).mean(dim=0)
        np.testing.assert_allclose(found["fitted", "height"][row], expected.numpy(), atol=1e-6)
    assert not np.allclose(found["fitted", "height"], found["shuffled", "height"], atol=1e-3)


@pytest.fixture
def recordings(latent_files):
    latents = 0.2 * np.random.default_rng(3).standard_normal((200, D)).astype(np.float32)
    files = latent_files(latents)
    return trace.Recordings(files["latents"], files["frames"], files["manifests"]), files


def test_recordings_are_those_of_the_test_split_one_after_another(recordings):
    found, files = recordings
    frames = clip_and_split(files["frames"], files["manifests"])
    of_test = frames.loc[frames["split"] == "test", "clip_id"].astype(str)
    rows = [np.flatnonzero(frames["clip_id"].astype(str) == clip_id) for clip_id in of_test.unique()]
    assert len(rows) == 2
    for position in (0, 1, 2):
        np.testing.assert_array_equal(found.latents(position, 1000), found.store.gather(rows[position % 2]))
    assert found.latents(0, 7).shape == (7, D)


def tracing(folder, recordings) -> trace.Tracing:
    return trace.Tracing(Towards(), reader(folder), recordings[0], POINTS, CPU)


def traced(folder, recordings, where, resumption, shard=0, n_shards=1, batch=2, prompts=PROMPTS):
    outputs = {"trace": str(where / "trace.parquet"), "ends": str(where / "ends.npy")}
    trace.trace(tracing(folder, recordings), prompts, shard, n_shards, batch, outputs, resumption)
    return tables.read(outputs["trace"], schemas.TRACES), np.load(outputs["ends"])


def curve(table: pd.DataFrame, prompt_id: str, view: str, attribute: str = "loudness", probe: str = "fitted"):
    own = table[(table["prompt_id"] == prompt_id) & (table["view"] == view) & (table["attribute"] == attribute)]
    own = own[own["probe"] == probe].sort_values("step")
    assert own["step"].tolist() == list(range(POINTS))
    return np.stack(own["probabilities"])


def test_every_view_is_read_at_every_step(folder, recordings, tmp_path, resumption):
    table, ends = traced(folder, recordings, tmp_path, resumption())
    assert len(table) == len(PROMPTS) * len(schemas.VIEWS) * 2 * len(ATTRIBUTES) * POINTS
    own, one = tracing(folder, recordings), PROMPTS[3]
    noise, condition = flow.noise([one.seed], N, D), torch.from_numpy(one.vector[None])
    points = list(flow.walk(own.generator, noise, condition, POINTS))
    number = own.reader.names.index(("fitted", "loudness"))
    for view, state in (("x_t", "x"), ("end_estimate", "end_estimate")):
        found = curve(table, one.clip_id, view)
        for point in points:
            expected = own.reader.read(own.generator.latents(getattr(point, state)))[number][0]
            np.testing.assert_allclose(found[point.step], expected, atol=1e-5)
    start, end = own.generator.latents(noise), own.generator.latents(points[-1].x)
    np.testing.assert_allclose(ends[3], end[0], atol=1e-6)
    found = curve(table, one.clip_id, "straight")
    expected = own.reader.read((0.6 * start + 0.4 * end).astype(np.float32))[number][0]
    np.testing.assert_allclose(found[2], expected, atol=1e-5)
    heard = recordings[0].latents(3, N)
    expected = own.reader.read((0.6 * start[:, : len(heard)] + 0.4 * heard[None]).astype(np.float32))[number][0]
    np.testing.assert_allclose(curve(table, one.clip_id, "data")[2], expected, atol=1e-5)


def test_all_views_of_a_path_share_its_ends_but_not_its_way(folder, recordings, tmp_path, resumption):
    table, _ = traced(folder, recordings, tmp_path, resumption())
    path, straight = (curve(table, "prompt 1", view) for view in ("x_t", "straight"))
    np.testing.assert_allclose(path[[0, -1]], straight[[0, -1]], atol=1e-5)
    assert np.abs(path[1:-1] - straight[1:-1]).max() > 1e-2
    estimate = curve(table, "prompt 1", "end_estimate")
    np.testing.assert_allclose(estimate[-1], path[-1], atol=1e-6)
    assert np.abs(estimate[0] - path[0]).max() > 1e-2


def test_neither_shards_nor_batches_change_a_prompt(folder, recordings, tmp_path, resumption):
    whole, ends = traced(folder, recordings, tmp_path, resumption(), batch=5)
    parts, part_ends = zip(
        *(traced(folder, recordings, tmp_path, resumption(), shard, 2, 1) for shard in range(2)), strict=True
    )
    together = pd.concat(parts)
    for one in PROMPTS:
        for view in schemas.VIEWS:
            np.testing.assert_allclose(curve(whole, one.clip_id, view), curve(together, one.clip_id, view), atol=1e-5)
    paths = []
    for shard, own in enumerate(part_ends):
        paths.append(tmp_path / f"{shard}.npy")
        np.save(paths[-1], own)
    read = samples.Ends(paths)
    for number in range(len(PROMPTS)):
        np.testing.assert_allclose(read.of(number), ends[number], atol=1e-6)


def test_a_shard_without_prompts_gives_empty_files(folder, recordings, tmp_path, resumption):
    table, ends = traced(folder, recordings, tmp_path, resumption(), shard=1, n_shards=2, prompts=PROMPTS[:1])
    assert len(table) == 0
    assert ends.shape == (0, N, D)


def test_a_shard_that_was_stopped_goes_on_with_the_next_prompts(folder, recordings, tmp_path, resumption):
    (tmp_path / "a").mkdir()
    whole, ends = traced(folder, recordings, tmp_path / "a", resumption())
    stopped = resumption(folder=tmp_path / "saved")
    stopped.deadline = 0.0
    with pytest.raises(Interrupted):
        traced(folder, recordings, tmp_path, stopped)
    assert not (tmp_path / "trace.parquet").exists()
    again = resumption(folder=tmp_path / "saved")
    table, resumed_ends = traced(folder, recordings, tmp_path, again)
    assert ("resumed", "at 2 of 5 prompts") in again.told
    np.testing.assert_array_equal(ends, resumed_ends)
    pd.testing.assert_frame_equal(
        whole.drop(columns="probabilities"), table.drop(columns="probabilities"), check_categorical=False
    )
    np.testing.assert_array_equal(np.stack(whole[whole["attribute"] == "height"]["probabilities"]),
                                  np.stack(table[table["attribute"] == "height"]["probabilities"]))  # fmt: skip


def test_shuffled_labels_keep_their_counts_in_each_split_and_nothing_else(latent_files, tmp_path):
    classes = np.arange(200) % 7 - 1  # -1 is left out
    files = latent_files(np.zeros((200, D), np.float32), classes=classes)
    frames = clip_and_split(files["frames"], files["manifests"])
    inputs = {name: files[name] for name in ("frames", "manifests", "labels")}
    found = {}
    for seed in (0, 0, 1):
        shuffling.shuffle(inputs, str(tmp_path / "shuffled.parquet"), seed)
        found.setdefault(seed, []).append(tables.read(tmp_path / "shuffled.parquet", tables.ALIGNED_LABELS))
    before, after = tables.read(files["labels"], tables.ALIGNED_LABELS), found[0][0]
    pd.testing.assert_series_equal(before["clip_id"], after["clip_id"])
    assert after["class_index"].equals(found[0][1]["class_index"])
    assert not after["class_index"].equals(found[1][0]["class_index"])
    np.testing.assert_array_equal(before["class_index"] == -1, after["class_index"] == -1)
    for split in ("train", "validation", "test"):
        rows = (frames["split"] == split).to_numpy()
        was, now = before["class_index"][rows], after["class_index"][rows]
        assert sorted(was) == sorted(now)
        assert (was == now).mean() < 0.5


def test_the_strip_holds_sound_spectrogram_and_likeliest_classes(folder, tmp_path):
    own = loaded(folder)
    classes = {name: bins.read(folder / f"{name}.json") for name in ATTRIBUTES}
    made = strip.Strip(Towards(), Blocks(), Reader(own, {"fitted": own.probes}), classes, POINTS, CPU)
    path = tmp_path / "strip" / "strip.json"
    strip.write(made, {"generator": "towards", "encoder": "blocks", "cell": {}}, PROMPTS[:2], [0, 5], path)
    written = read_json(path)
    assert [entry["prompt_id"] for entry in written["prompts"]] == ["prompt 0", "prompt 1"]
    sounds = written["prompts"][1]["sounds"]
    assert [(one["step"], one["view"]) for one in sounds] == [
        (0, "x_t"), (0, "end_estimate"), (5, "x_t"), (5, "end_estimate"),
    ]  # fmt: skip
    assert written["prompts"][0]["seconds"] == pytest.approx(N * D / RATE_HZ)
    noise, condition = flow.noise([1], N, D), torch.from_numpy(PROMPTS[1].vector[None])
    end = Towards().latents(flow.end(Towards(), noise, condition, POINTS))
    audio, rate_hz = soundfile.read(path.parent / sounds[2]["wav"])
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(audio, np.clip(end[0].reshape(-1), -1, 1), atol=1e-4)
    start = next(flow.walk(Towards(), noise, condition, POINTS))
    for entry, state in zip(sounds[:2], (start.x, start.end_estimate), strict=True):
        audio, _ = soundfile.read(path.parent / entry["wav"])
        np.testing.assert_allclose(audio, np.clip(Towards().latents(state).reshape(-1), -1, 1), atol=1e-4)
    probabilities = made.reader.read(end)[0][0]
    likeliest = {"name": "abcdefg"[probabilities.argmax()], "probability": pytest.approx(probabilities.max(), abs=1e-4)}
    assert sounds[2]["classes"]["loudness"] == likeliest
    for one in sounds:
        assert (path.parent / one["png"]).stat().st_size > 500
    json.dumps(written, allow_nan=False)


@pytest.fixture
def heard(folder, tmp_path):
    """Test recordings, excerpts of them, moments of their embeddings, and fine labels in two shards."""
    rows, labels = [], []
    for number, kind in enumerate(["solo", "mix", "drums", "solo"]):
        split = "train" if number == 3 else "test"
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, recording(220.0 * (number + 1), 0.2), RATE_HZ)
        rows.append(
            {"clip_id": f"toy/{number}", "dataset": "toy", "path": str(path), "group": str(number), "split": split}
            | {"shard": number % 2, "duration_s": 1.2, "sample_rate_hz": RATE_HZ, "n_channels": 1, "kind": kind}
            | dict.fromkeys(("instrument", "truth_f0_path", "truth_notes_path", "sha256"), "")
        )
        values = np.array([-65.0, -65.0, -5.0, np.nan], np.float32)
        labels.append(
            pd.DataFrame({"clip_id": f"toy/{number}", "frame_index": np.arange(4), "value": values, "weight": 1.0})
        )
    manifest = str(tmp_path / "manifest.parquet")
    tables.write(pd.DataFrame(rows), manifest, tables.MANIFEST)
    paths = []
    for shard in range(2):
        paths.append(str(tmp_path / f"labels~{shard}.parquet"))
        own = pd.concat(labels[shard::2]).astype({"frame_index": "int32", "weight": "float32"})
        tables.write(own, paths[-1], tables.FINE_LABELS)
    cut = str(tmp_path / "excerpts.npz")
    excerpts.write(Blocks(), [manifest], cut, labellers(), n_clips=2, seconds=0.6, seed=0)
    options = {"model": "tiny", "hop_samples": 1024, "level_floor_dbfs": -70}
    crepe = embedding.load({"module": "crepe", "weights": [], "options": options}, "cpu")
    originals = str(tmp_path / "originals.npz")
    embedding.embed_originals(crepe, [manifest], originals, {"drums"})
    reference = embedding.read_originals("crepe", crepe, originals)
    return {"manifest": manifest, "labels": paths, "excerpts": excerpts.Excerpts(cut), "reference": reference}


def test_labels_of_the_test_split_are_counted_shard_by_shard(folder, heard):
    classes = {"loudness": bins.read(folder / "loudness.json")}
    found = samples.count_test_labels({"loudness": heard["labels"]}, classes, [heard["manifest"]], labellers())
    assert set(found["clip_id"]) == {"toy/0", "toy/1"}, "drums have no pitch, and the last is not of the test split"
    assert set(found["source"]) == {"test"}
    own = found[found["clip_id"] == "toy/1"].set_index("class_index")["n_frames"]
    assert own.to_dict() == {0: 2, 6: 1, -1: 1}


def test_samples_are_nearer_to_the_test_split_than_the_noise_behind_them(folder, heard, tmp_path, resumption):
    generator, names = Towards(), {"loudness": "loudness", "height": "height"}
    classes = {name: bins.read(folder / f"{name}.json") for name in names}
    measured = {name: labellers()[name] for name in names}
    measuring = samples.Measuring(generator, Blocks(), classes, measured, [heard["reference"]])
    noise = flow.noise([one.seed for one in PROMPTS], N, D)
    condition = torch.from_numpy(np.stack([one.vector for one in PROMPTS]))
    np.save(tmp_path / "ends.npy", generator.latents(flow.end(generator, noise, condition, 32)))
    sounds = list(measuring.sounds(PROMPTS, samples.Ends([tmp_path / "ends.npy"]), heard["excerpts"]))
    assert [one.source for one in sounds] == ["generated", "noise"] * 5 + ["codec"] * 2
    of_drums = [PROMPTS[0]._replace(text="drums"), *PROMPTS[1:]]
    others = list(measuring.sounds(of_drums, samples.Ends([tmp_path / "ends.npy"]), heard["excerpts"]))
    assert [one.clip_id for one in others] == [one.clip_id for one in sounds[2:]]
    np.testing.assert_array_equal(others[0].latents, sounds[2].latents)
    outputs = {"counts": str(tmp_path / "counts.parquet"), "distances": str(tmp_path / "distances.parquet")}
    test = samples.count_test_labels({"loudness": heard["labels"]}, classes, [heard["manifest"]], measured)
    stopped = resumption(folder=tmp_path / "saved")
    stopped.deadline = 0.0
    with pytest.raises(Interrupted):
        samples.measure_samples(measuring, sounds, test, outputs, 0, stopped)
    again = resumption(folder=tmp_path / "saved")
    samples.measure_samples(measuring, sounds, test, outputs, 0, again)
    counts = tables.read(outputs["counts"], schemas.LABEL_COUNTS)
    per_clip = counts.groupby(["source", "clip_id", "attribute"], observed=True)["n_frames"].sum()
    assert (per_clip[["generated", "noise", "codec"]] == 60).all(), "every 10 ms frame is counted once"
    voiced = counts[(counts["attribute"] == "height") & (counts["class_index"] < 4)]
    n_voiced = voiced.groupby("source", observed=True)["n_frames"].sum()
    assert n_voiced["generated"] > 100
    assert n_voiced.get("noise", 0) < 0.2 * n_voiced["generated"]
    distances = tables.read(outputs["distances"], schemas.SAMPLE_DISTANCES).set_index("source")["distance_as_is"]
    assert distances["codec"] < distances["noise"]
    assert distances["generated"] < distances["noise"]


def made_steering(folder, alpha=20.0, prompts=PROMPTS[:2]) -> steering.GenerationSteering:
    own = loaded(folder, attributes=["loudness"])
    return steering.GenerationSteering(
        Towards(), Blocks(), own, "loudness", prompts, {name: labellers()[name] for name in ("loudness", "brightness")},
        alpha=alpha, n_points=POINTS, batch_prompts=2,
    )  # fmt: skip


def test_one_control_vector_is_added_in_all_wherever_it_begins():
    for mode, step in (("on", 0), ("on", 3), ("on", 5), ("once", 0), ("once", 5)):
        parts = [steering.share(steering.Condition(1, mode, step), at, POINTS) for at in range(POINTS)]
        assert sum(parts) == pytest.approx(1)
        assert all(part == 0 for part in parts[:step])
        assert (np.count_nonzero(parts) == 1) == (mode == "once" or step == POINTS - 1)


def test_what_is_added_is_what_steering_changes_in_the_reconstruction(folder):
    made = made_steering(folder)
    x = 2 * torch.randn(2, N, D)
    direction = made.cell.probes["loudness"].weight[6]
    added = made._added(x, direction)
    own = made.cell
    scaled = own.scaled(Towards().latents(x).reshape(-1, D))
    control = [Control(direction, torch.full((len(scaled),), 20.0))]
    change = own.latents(steered_reconstruction(own.model, scaled, control)) - own.latents(own.model(scaled))
    np.testing.assert_allclose(Towards().latents(x + added) - Towards().latents(x), change.reshape(2, N, D), atol=1e-4)


def test_at_the_last_step_both_modes_are_steering_as_of_a_recording(folder):
    made = made_steering(folder)
    once, on = (made.measure(steering.Condition(6, mode, POINTS - 1)) for mode in ("once", "on"))
    for a, b in zip(once, on, strict=True):
        np.testing.assert_array_equal(a, b)
    early = made.measure(steering.Condition(6, "once", 0))
    assert not np.allclose(once[1], early[1])


def test_steering_on_the_way_is_measured_against_the_same_noise_without_it(folder, tmp_path, resumption):
    made, path = made_steering(folder), str(tmp_path / "effects.parquet")
    stopped = resumption(folder=tmp_path / "saved")
    stopped.deadline = 0.0
    with pytest.raises(Interrupted):
        steering.steer_generation(made, [1, 6], [0, 5], path, stopped)
    steering.steer_generation(made_steering(folder), [1, 6], [0, 5], path, resumption(folder=tmp_path / "saved"))
    table = tables.read(path, schemas.GENERATION_EFFECTS)
    assert len(table) == 2 * 2 * 2 * 2 * 2  # classes, modes, steps, prompts, attributes measured
    target, other = (table[table["measured"] == name] for name in ("loudness", "brightness"))
    assert target["probability"].between(0, 1).all()
    assert other["probability"].isna().all()
    before = target.groupby(["prompt_id", "class_index"], observed=True)["probability_before"].nunique()
    assert (before == 1).all()
    at_end = target[target["step"] == 5]
    assert (at_end["probability"] > at_end["probability_before"]).mean() > 0.7, "towards the class, by the probe itself"
    assert (table["n_frames"] == 60).all()
    assert target["spread"].nunique() == 1


def test_steering_with_no_strength_changes_nothing(folder):
    found, pair = made_steering(folder, alpha=0.0).measure(steering.Condition(6, "on", 0))
    np.testing.assert_allclose(pair[:, 0], pair[:, 1], atol=1e-7)
    changes = found[:, :, steering.effects.FIGURES.index("abs_change")]
    assert (changes == 0).all()
