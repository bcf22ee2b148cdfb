"""Steering measured on sound: a real (if plain) encoder, real labellers and embedding, files in and tables out."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from sonolens import experiment, plugins, tables
from sonolens.encoders.geometry import FrameGeometry
from sonolens.files import read_json, write_json
from sonolens.jobs.interruption import Interrupted
from sonolens.labels import bins
from sonolens.latents import Scaling
from sonolens.sae import weights
from sonolens.sae.model import SparseAutoencoder
from sonolens.steering import cell, control, directions, embedding, evaluation, excerpts, methods, schemas, tracking
from sonolens.steering.control import Control

RATE_HZ, D, F, SECONDS = 16_000, 16, 48, 0.7
ALPHAS = [1.0, 20.0]


class Blocks:
    """Sixteen samples are a latent: an encoder that loses nothing."""

    name, sample_rate_hz, n_channels, d_latent, hop_samples = "blocks", RATE_HZ, 1, D, D
    geometry = FrameGeometry(RATE_HZ, D)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return np.pad(audio[0], (0, -audio.shape[1] % D)).reshape(-1, D).astype(np.float32)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents.reshape(1, -1)


def recording(f0_hz: float, level: float) -> np.ndarray:
    time_s = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
    return (level * sum(np.sin(2 * np.pi * k * f0_hz * time_s) / k for k in (1, 2, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    """Four test recordings (one of drums, one almost silent), a cell with its probe, and all that steering reads."""
    tmp_path, rows = tmp_path_factory.mktemp("steering"), []
    for number, (kind, level) in enumerate([("solo", 0.2), ("mix", 0.05), ("drums", 0.2), ("solo", 2e-4)]):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, recording(220.0 * (number + 1), level), RATE_HZ)
        rows.append(
            {"clip_id": f"toy/{number}", "dataset": "toy", "path": str(path), "group": str(number), "split": "test"}
            | {"shard": 0, "duration_s": 1.2, "sample_rate_hz": RATE_HZ, "n_channels": 1, "kind": kind}
            | dict.fromkeys(("instrument", "truth_f0_path", "truth_notes_path", "sha256"), "")
        )
    paths = {name: str(tmp_path / name) for name in ("manifest", "model", "probe", "raw", "bins", "means", "classes")}
    paths["folder"] = tmp_path
    tables.write(pd.DataFrame(rows), paths["manifest"], tables.MANIFEST)
    generator = torch.Generator().manual_seed(1)
    model = SparseAutoencoder(D, F)
    model.initialise(generator)
    weights.save(model, Scaling(np.zeros(D, np.float32), 1.5), paths["model"])
    loudness = bins.Bins("dBFS", np.linspace(-70, 0, 8), list("abcdefg"), np.arange(-65.0, 0, 10), -1, True)
    bins.write(loudness, "loudness", paths["bins"])
    save_file({"weight": torch.randn(7, F, generator=generator), "bias": torch.zeros(7)}, paths["probe"])
    save_file({"weight": torch.randn(7, D, generator=generator), "bias": torch.zeros(7)}, paths["raw"])
    means = {"code": torch.randn(2, F, generator=generator), "latent": torch.randn(2, D, generator=generator)}
    save_file(means, paths["means"])
    listed = [{"index": index, "name": loudness.class_names[index], "centre": -65.0 + 10 * index} for index in (1, 6)]
    evaluation_classes = {"attribute": "loudness", "unit": "dBFS", "classes": listed}
    write_json(paths["classes"], evaluation_classes)
    return paths


def labellers() -> dict[str, tracking.Labeller]:
    made = {}
    for name, module, changes in (
        ("loudness", "amplitude", {}),
        ("brightness", "timbre", {}),
        ("height", "pitch", {"model": "tiny"}),
    ):
        options = dict(changes)
        experiment.check(options, plugins.card("labels", module)["options"])
        made[name] = {"module": module, "options": options}
    return tracking.labellers(made, "cpu")


@pytest.fixture
def steering(files) -> evaluation.Steering:
    path, originals = str(files["folder"] / "excerpts.npz"), str(files["folder"] / "originals.npz")
    excerpts.write(Blocks(), [files["manifest"]], path, labellers(), n_clips=8, seconds=SECONDS, seed=0)
    options = {"model": "tiny", "hop_samples": 1024, "level_floor_dbfs": -70}
    crepe = embedding.load({"module": "crepe", "weights": [], "options": options}, "cpu")
    embedding.embed_originals(crepe, [files["manifest"]], originals, {"drums"})
    steered = cell.load(files["model"], {"loudness": files["probe"]}, {"loudness": files["bins"]})
    raw = cell.read_probe(files["raw"], files["bins"])
    return evaluation.Steering(
        Blocks(),
        steered,
        "loudness",
        directions.Directions(steered.probes["loudness"].weight, raw.weight, files["means"], files["classes"], seed=0),
        excerpts.Excerpts(path),
        labellers(),
        [embedding.read_originals("crepe", crepe, originals)],
        seed=0,
    )


def outputs(folder) -> dict[str, str]:
    return {name: str(folder / f"{name}.parquet") for name in ("effects", "sounds", "distances")}


def read(paths: dict[str, str]) -> dict[str, pd.DataFrame]:
    kinds = {"effects": schemas.EFFECTS, "sounds": schemas.SOUNDS, "distances": schemas.DISTANCES}
    return {name: tables.read(paths[name], schema) for name, schema in kinds.items()}


@pytest.fixture
def found(files, steering, resumption) -> dict[str, pd.DataFrame]:
    """What is measured; once for all tests."""
    paths = outputs(files["folder"])
    if not (files["folder"] / "distances.parquet").exists():
        evaluation.evaluate(steering, ALPHAS, paths, resumption())
    return read(paths)


def test_excerpts_are_of_recordings_that_have_every_attribute(steering):
    kinds = dict(steering.excerpts.names)
    assert sorted(kinds) == ["toy/0", "toy/1", "toy/3"], "drums have no pitch"
    sound = steering.excerpts.sound(0)
    assert sound.samples.shape == (1, round(SECONDS * RATE_HZ))
    assert sound.start_s == pytest.approx(0.25, abs=D / RATE_HZ)  # the middle


def test_the_spread_is_that_of_the_originals_and_stereo_is_their_mean(steering):
    sounds = [steering.excerpts.sound(position) for position in range(3)]
    tracks = [tracking.track_all(one.samples[0], RATE_HZ, one.kind, steering.labellers)["loudness"] for one in sounds]
    assert steering.excerpts.spread("loudness") == pytest.approx(np.concatenate(tracks).std(), rel=1e-5)
    assert tracking.mono(np.array([[1.0, 0.0], [0.0, -1.0]])).tolist() == [0.5, -0.5]


def test_every_method_class_and_alpha_is_measured_on_every_clip(found):
    n_conditions = len(methods.METHODS) * 2 * len(ALPHAS)
    assert len(found["effects"]) == n_conditions * 3 * 3  # clips, attributes
    assert len(found["sounds"]) == (n_conditions + 3) * 3
    assert len(found["distances"]) == n_conditions + 3
    few = found["distances"]  # windows, of 256 numbers each
    assert few["distance"].isna().all() and (few["distance_as_is"] >= 0).all()
    assert set(found["effects"]["measured"]) == {"loudness", "brightness", "height"}


def test_nothing_added_is_the_autoencoders_own_sound(found):
    sounds = found["sounds"].set_index(["method", "clip_id"])
    sae, codec = sounds.loc["sae"], sounds.loc["codec"]
    assert (sae["displacement"] == 0).all() and (sae["lsd_reference_db"].dropna() == 0).all()
    assert (codec["lsd_original_db"].dropna() == 0).all(), "this encoder loses nothing"
    assert (sae["lsd_original_db"].dropna() > 0).all()
    assert (sounds.loc["original"]["lsd_original_db"].dropna() == 0).all()
    distances = found["distances"].set_index("method")["distance_as_is"]
    assert distances["original"] == pytest.approx(distances["codec"], rel=1e-3) != distances["sae"]


def test_methods_move_the_latents_equally_far(found):
    sounds = found["sounds"][found["sounds"]["class_index"] >= 0]
    for _, of_condition in sounds.groupby(["class_index", "alpha"]):
        by_method = of_condition.groupby("method")["displacement"].first()
        for method in methods.METHODS:
            if method.renormalises:  # a code that is all direction moves no further
                assert 0.9 * by_method["probe"] < by_method[method.name] < 1.002 * by_method["probe"]
            else:
                assert by_method[method.name] == pytest.approx(by_method["probe"], rel=1e-4)
    of_paper = sounds[sounds["method"] == "probe"]
    assert (of_paper["magnitude"] == of_paper["alpha"]).all()


def test_directions_of_all_methods_are_as_long_as_the_papers(steering):
    for position in range(2):
        lengths = [float(steering.directions.of(method, position).norm()) for method in methods.METHODS]
        w = steering.cell.probes["loudness"].weight[steering.directions.classes[position]["index"]]
        assert lengths == pytest.approx([float(w.norm())] * len(lengths), rel=1e-5)
        assert torch.equal(steering.directions.of(methods.PAPER, position), w)


def test_one_condition_by_hand(steering, found):
    """Class g of the loudness with α = 20, on the first excerpt."""
    source = steering.excerpts.sound(0)
    model, scaling = steering.cell.model, steering.cell.scaling
    x = torch.from_numpy(scaling.apply(source.latents))
    w = steering.cell.probes["loudness"].weight[6]
    steered = control.steered_reconstruction(model, x, [Control(w, torch.full((len(x),), 20.0))])
    samples = scaling.invert(steered.numpy()).reshape(-1)[: source.samples.shape[1]]
    plain = scaling.invert(model(x).detach().numpy()).reshape(-1)[: source.samples.shape[1]]
    after, before = (
        tracking.track_all(np.clip(heard, -1, 1), RATE_HZ, "solo", steering.labellers)["loudness"]
        for heard in (samples, plain)
    )
    row = found["effects"].query("method == 'probe' and class_index == 6 and alpha == 20 and measured == 'loudness'")
    row = row[row["clip_id"].astype(str) == source.clip_id].iloc[0]
    assert row["change"] == pytest.approx((after - before).mean(), abs=1e-3)
    assert row["n_hits"] == ((after >= -10) & np.isfinite(before)).sum()
    assert row["n_frames"] == len(after) == 70
    sound = found["sounds"].query("method == 'probe' and class_index == 6 and alpha == 20").iloc[0]
    assert sound["n_clipped"] == (np.abs(samples) > 1).sum() > 0
    assert sound["latent_rms"] == pytest.approx(float(steered.square().mean().sqrt()), rel=1e-5)


def test_a_job_that_is_stopped_goes_on_to_the_same_tables(steering, found, tmp_path, resumption):
    class Stopping(type(steering)):
        def measure(self, condition):
            if condition.method == "class_mean":
                handed.interruption.request("stop")
            return super().measure(condition)

    folder = tmp_path / "again"
    handed = resumption(tmp_path / "saved")
    steering.__class__ = Stopping
    with pytest.raises(Interrupted):
        evaluation.evaluate(steering, ALPHAS, outputs(folder), handed)
    steering.__class__, steering._kept, steering._strengths = evaluation.Steering, None, {}
    evaluation.evaluate(steering, ALPHAS, outputs(folder), resumption(tmp_path / "saved"))
    for name, frame in read(outputs(folder)).items():
        pd.testing.assert_frame_equal(frame, found[name])


def test_memory_is_that_of_an_excerpt_not_of_all(steering):
    """Numpy's peak while one condition is measured, on three excerpts and on twelve of the same."""

    class FourTimes(excerpts.Excerpts):
        def __len__(self):
            return 4 * super().__len__()

        def sound(self, position):
            return super().sound(position % super().__len__())

        def latents(self, position):
            return super().latents(position % super().__len__())

    def peak_bytes() -> int:
        steering._kept, steering._strengths = None, {}
        tracemalloc.start()
        steering.measure(steering.conditions(ALPHAS)[3])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes()  # what is loaded once
    once = peak_bytes()
    steering.excerpts.__class__ = FourTimes
    assert len(steering.excerpts) == 12
    assert peak_bytes() < 1.2 * once


def test_silence_has_no_distance_and_breaks_nothing(steering, tmp_path, resumption):
    """A decoder that gives silence: nothing is defined, embedded or heard, and all of it is counted."""
    steering.encoder.decode = lambda latents: np.zeros((1, latents.size), np.float32)
    evaluation.evaluate(steering, ALPHAS[:1], outputs(tmp_path), resumption())
    found = read(outputs(tmp_path))
    original = found["sounds"][found["sounds"]["method"] == "original"]
    assert original["silent_share"].min() == 0, "the recordings themselves are not decoded"
    found = {name: frame[frame["method"] != "original"] for name, frame in found.items()}
    assert (found["sounds"]["silent_share"] == 1).all()
    assert found["distances"]["distance_as_is"].isna().all() and (found["distances"]["n_windows"] == 0).all()
    height = found["effects"].query("measured == 'height'")
    assert (height["n_defined"] == 0).all() and height["abs_change"].isna().all()


def test_differences_of_class_means_by_hand(latent_files, tmp_path):
    rng = np.random.default_rng(2)
    latents = rng.standard_normal((200, D)).astype(np.float32)
    classes = rng.integers(-1, 3, 200)
    given = latent_files(latents, classes=classes)
    model = SparseAutoencoder(D, F)
    model.initialise(torch.Generator().manual_seed(1))
    paths = {name: str(tmp_path / name) for name in ("model", "bins", "scaling", "classes", "directions")}
    weights.save(model, Scaling(np.zeros(D, np.float32), 1.0), paths["model"])
    bins.write(
        bins.Bins("dB", np.arange(4.0), ["low", "mid", "high"], np.arange(3) + 0.5, -1, True), "a", paths["bins"]
    )
    write_json(paths["scaling"], {"mean": [0.0] * D, "scale": 1.0, "n_frames": 120})
    inputs = given | {name: paths[name] for name in ("model", "bins", "scaling")}
    directions.measure(inputs, paths, "a", ["high", "low"], "cpu")
    stored = load_file(paths["directions"])
    # clips 0 to 5 are the train split, 20 frames each
    is_train = np.arange(200) < 120
    with torch.no_grad():
        f = model.encode(torch.from_numpy(latents)).f.numpy()
    for space, values in (("latent", latents), ("code", f)):
        overall = values[is_train & (classes >= 0)].mean(axis=0)
        for row, index in enumerate((2, 0)):
            by_hand = values[is_train & (classes == index)].mean(axis=0) - overall
            assert stored[space][row].numpy() == pytest.approx(by_hand, abs=1e-5)
    listed = read_json(paths["classes"])["classes"]
    assert [one["name"] for one in listed] == ["high", "low"]
    assert listed[0]["n_train_frames"] == (is_train & (classes == 2)).sum()


def test_a_class_that_no_frame_has_is_refused(latent_files, tmp_path):
    given = latent_files(np.ones((20, D), np.float32), classes=np.zeros(20, int))
    model = SparseAutoencoder(D, F)
    model.initialise(torch.Generator().manual_seed(1))
    paths = {name: str(tmp_path / name) for name in ("model", "bins", "scaling", "classes", "directions")}
    weights.save(model, Scaling(np.zeros(D, np.float32), 1.0), paths["model"])
    bins.write(bins.Bins("dB", np.arange(3.0), ["low", "high"], np.arange(2) + 0.5, -1, True), "a", paths["bins"])
    write_json(paths["scaling"], {"mean": [0.0] * D, "scale": 1.0, "n_frames": 12})
    inputs = given | {name: paths[name] for name in ("model", "bins", "scaling")}
    with pytest.raises(
        ValueError, match=r"steering.classes.a: no frame .* of the class 'high'.*classes that occur: low"
    ):
        directions.measure(inputs, paths, "a", ["high"], "cpu")
