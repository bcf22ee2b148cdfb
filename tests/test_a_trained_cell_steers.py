"""A cell that is trained here in seconds, by the workflow's own functions, steers: loudness follows α.

The encoder is a real if plain one, the recordings are tones whose level changes, and what is asserted is what the
method promises, on sound: it fails if the direction, the norm, the decoding or the measuring is wrong.
"""

import numpy as np
import pandas as pd
import pytest
import soundfile

from sonolens import experiment, extraction, latents, plugins, tables
from sonolens.encoders.geometry import FrameGeometry
from sonolens.labels import alignment, bin_fitting, labelling
from sonolens.probe_cell import fit_probes
from sonolens.probes import Settings as ProbeSettings
from sonolens.report.steering_tables import Steered, curve, gather
from sonolens.sae.cell import train_cell
from sonolens.sae.training import Settings
from sonolens.steering import cell, directions, evaluation, excerpts, methods, schemas, tracking

RATE_HZ, N_CLIPS, SECONDS = 16_000, 20, 2.0
ALPHAS = [1.0, 3.0, 10.0]
ATTRIBUTES = {"loudness": "amplitude", "brightness": "timbre"}


class LogSpectrum:
    """Logarithms of short-time magnitudes, 8 ms a frame; the phases are what it needs beside them."""

    name, sample_rate_hz, n_channels, d_latent, hop_samples = "log_spectrum", RATE_HZ, 1, 129, 128
    geometry = FrameGeometry(RATE_HZ, 128)
    window = np.sin(np.pi * (np.arange(256) + 0.5) / 256)

    def spectrum(self, audio: np.ndarray) -> np.ndarray:
        n_frames = self.geometry.n_frames(audio.shape[1])
        padded = np.pad(audio[0], (64, 128 * n_frames + 128 - 64 - audio.shape[1]))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::128]
        return np.fft.rfft(frames * self.window, axis=1)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        return np.log(np.abs(self.spectrum(audio)) + 1e-3).astype(np.float32)

    def side(self, audio: np.ndarray) -> np.ndarray:
        return np.angle(self.spectrum(audio)).astype(np.float32)

    def decode(self, latents: np.ndarray, side: np.ndarray) -> np.ndarray:
        frames = np.fft.irfft(np.exp(latents + 1j * side), axis=1) * self.window
        whole = np.zeros(128 * len(frames) + 128)
        for number, frame in enumerate(frames):
            whole[128 * number : 128 * number + 256] += frame
        return whole[None, 64 : 64 + 128 * len(frames)].astype(np.float32)


def recording(rng: np.random.Generator) -> np.ndarray:
    """A tone of random pitch and brightness in eight steps of random level, −50 to −12 dB."""
    time_s = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    f0_hz, slope = 110 * 2 ** rng.uniform(0, 3), rng.uniform(0.5, 2)
    tone = sum(np.sin(2 * np.pi * k * f0_hz * time_s + k) / k**slope for k in range(1, 9))
    return tone / np.abs(tone).max() * np.repeat(10 ** (rng.uniform(-50, -12, 8) / 20), len(time_s) // 8)


def options(module: str) -> dict:
    filled = {"n_classes": 8}
    experiment.check(filled, plugins.card("labels", module)["options"])
    return filled


@pytest.fixture
def data(tmp_path, resumption) -> dict:
    """Recordings, their latents and labels, as the rules would make them."""
    rng, rows = np.random.default_rng(7), []
    for number in range(N_CLIPS):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, recording(rng), RATE_HZ)
        split = ("train", "train", "train", "validation", "test")[number % 5]
        rows.append(
            {"clip_id": f"toy/{number:02d}", "dataset": "toy", "path": str(path), "group": str(number), "split": split}
            | {"shard": 0, "duration_s": SECONDS, "sample_rate_hz": RATE_HZ, "n_channels": 1, "kind": "solo"}
            | dict.fromkeys(("instrument", "truth_f0_path", "truth_notes_path", "sha256"), "")
        )
    names = [
        "manifest",
        "latents.npy",
        "frames",
        "scaling",
        *(f"{a}{k}" for a in ATTRIBUTES for k in (".fine", ".bins", "")),
    ]
    paths = {name.removesuffix(".npy"): str(tmp_path / name) for name in names}
    tables.write(pd.DataFrame(rows), paths["manifest"], tables.MANIFEST)
    extraction.extract(LogSpectrum(), paths["manifest"], 0, paths["latents"], paths["frames"], "float32", resumption())
    latents.measure_scaling([paths["latents"]], [paths["frames"]], [paths["manifest"]], paths["scaling"])
    for attribute, module in ATTRIBUTES.items():
        loaded, chosen = plugins.load("labels", module), options(module)
        fine, bins = paths[f"{attribute}.fine"], paths[f"{attribute}.bins"]
        labelling.label_shard(paths["manifest"], 0, loaded, chosen, "cpu", fine, resumption())
        bin_fitting.fit_bins([fine], [paths["manifest"]], attribute, loaded, chosen, bins)
        alignment.align(
            [fine], [paths["frames"]], [paths["manifest"]], bins, LogSpectrum.geometry, loaded, chosen, paths[attribute]
        )
    return paths


@pytest.fixture
def measured(data, tmp_path, resumption) -> pd.DataFrame:
    """schemas.STEERING of the loudness, steered by a cell that was trained on the data."""
    training = Settings(256, 0.005, "normalised", 400, 512, 3e-3, 0.05, 0.3, 2, 0)
    probing = ProbeSettings(max_epochs=15, patience=1, batch_frames=512, learning_rate=0.1, seed=0)
    inputs = {"latents": [data["latents"]], "frames": [data["frames"]], "manifests": [data["manifest"]]}
    inputs |= {"scaling": data["scaling"], "labels": data["loudness"], "bins": data["loudness.bins"]}
    of_probes = inputs | {"labels": [data["loudness"]], "bins": [data["loudness.bins"]]}
    made = {name: str(tmp_path / f"made_{name}") for name in ("model", "config", "metrics", "history")}
    train_cell(inputs, made, "log_spectrum", training, "cpu")
    probes = {}
    for name, reads in (("features", {"model": made["model"]}), ("raw", {})):
        outputs = {kind: str(tmp_path / f"{name}_{kind}") for kind in ("probe", "metrics", "confusion")}
        outputs["confusion"] += ".npy"
        identity = {"encoder": "log_spectrum", "dim": 256, "lam": 0.005}
        listed = {kind: [path] for kind, path in outputs.items()}
        fit_probes(of_probes | reads, listed, ["loudness"], identity, probing, 3, "cpu")
        probes[name] = outputs["probe"]
    found = {"classes": str(tmp_path / "classes.json"), "directions": str(tmp_path / "directions")}
    directions.measure(inputs | {"model": made["model"]}, found, "loudness", 2, "cpu")
    labellers = tracking.labellers({a: {"module": m, "options": options(m)} for a, m in ATTRIBUTES.items()}, "cpu")
    cut = str(tmp_path / "excerpts.npz")
    excerpts.write(LogSpectrum(), [data["manifest"]], cut, labellers, n_clips=4, seconds=1.0, seed=0)
    trained = cell.load(made["model"], {"loudness": probes["features"]}, {"loudness": data["loudness.bins"]})
    raw = cell.read_probe(probes["raw"], data["loudness.bins"])
    towards = directions.Directions(trained.probes["loudness"].weight, raw.weight, *reversed(found.values()), seed=0)
    steering = evaluation.Steering(
        LogSpectrum(), trained, "loudness", towards, excerpts.Excerpts(cut), labellers, [], seed=0
    )
    outputs = {name: str(tmp_path / f"{name}.parquet") for name in ("effects", "sounds", "distances")}
    evaluation.evaluate(steering, ALPHAS, outputs, resumption())
    kinds = {"effects": schemas.EFFECTS, "sounds": schemas.SOUNDS, "distances": schemas.DISTANCES}
    frames = {name: tables.read(outputs[name], schema) for name, schema in kinds.items()}
    identity = {"encoder": "log_spectrum", "name": "best", "dim": 256, "lam": 0.005}
    return gather([Steered(identity, "loudness", "dBFS", towards.classes, **frames)], seed=0)


def test_a_trained_cell_steers_and_a_random_direction_does_not(measured):
    towards, isolation, hits = (
        {
            method.name: curve(measured, "log_spectrum", "best", "loudness", method.name, name)
            for method in methods.METHODS
        }
        for name in ("shift_towards", "isolation", "hit_rate")
    )
    print(measured.query("quantity == 'shift_towards' and `class` == 'all'").to_string())
    paper = towards["probe"]
    assert paper["value"].is_monotonic_increasing and (paper["low"] > 0).all()
    assert paper["value"].iloc[-1] > 2 * towards["random"]["value"].max()
    assert (isolation["probe"]["low"] > 1).all()
    assert hits["probe"]["value"].max() > 1.5 * hits["random"]["value"].max()
    assert "frechet" not in " ".join(measured["quantity"].unique()), "there is no embedding in this run"
