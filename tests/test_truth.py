"""Pitch labels against a truth: by hand on a few frames, and through CREPE on a melody whose notes are known."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import soundfile

from sonolens import experiment, plugins, tables
from sonolens.labels import labelling, pitch, truth

NAN = math.nan


def test_score_by_hand():
    label = np.array([60.0, 60.4, 72.1, 47.8, 67.0, NAN, NAN, 60.0])
    sung = np.array([60.0, 60.0, 60.0, 60.0, 60.0, 60.0, NAN, NAN])
    found = truth.score(label, sung)
    assert found["n_frames"] == 6
    assert found["within_50_cents"] == pytest.approx(2 / 6)
    assert found["octave_error_share"] == pytest.approx(2 / 6)
    assert found["voicing_recall"] == pytest.approx(5 / 6)
    assert found["voicing_false_alarm"] == pytest.approx(1 / 2)
    assert found["median_abs_cents"] == pytest.approx(700)


def test_score_of_nothing_is_none_not_nan():
    assert truth.score(np.array([NAN]), np.array([NAN]))["within_50_cents"] is None
    assert truth.score(np.array([60.0]), np.array([60.0]))["voicing_false_alarm"] is None
    assert truth.score(np.zeros(0), np.zeros(0))["median_abs_cents"] is None


def test_truth_is_read_at_the_nearest_point_and_ends_with_its_table():
    table = pd.DataFrame({"time_s": [0.0, 0.01, 0.02], "f0_hz": [440.0, 880.0, NAN]})
    found = truth.truth_at(np.array([0.004, 0.006, 0.0149, 0.0151, 0.031]), table)
    assert found == pytest.approx([69, 81, 81, NAN, NAN], nan_ok=True)


def test_sustained_leaves_out_attack_and_release():
    notes = pd.DataFrame({"onset_s": [0.0, 0.5], "offset_s": [0.2, 0.55], "midi": 60.0, "part": ""})
    time_s = np.array([0.04, 0.05, 0.169, 0.171, 0.52])
    assert truth.is_sustained(time_s, notes).tolist() == [False, True, True, False, False]


@pytest.fixture
def corpus(tmp_path, resumption):
    """One clip with a truth, of four notes of 0.3 s with gaps between, and one without."""
    rate_hz, melody = 16000, (60, 64, 67, 72)
    time_s = np.arange(round(1.6 * rate_hz)) / rate_hz
    note = np.minimum((time_s // 0.4).astype(int), 3)
    sounds = time_s % 0.4 < 0.3
    f0_hz = 440 * 2 ** ((np.array(melody)[note] - 69) / 12)
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    audio = sum(np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3)) * sounds * 0.2
    soundfile.write(tmp_path / "a.wav", audio, rate_hz)
    points = slice(0, None, 80)
    f0 = pd.DataFrame({"time_s": time_s[points], "f0_hz": np.where(sounds, f0_hz, NAN)[points]})
    notes = pd.DataFrame({"onset_s": [0.0, 0.4, 0.8, 1.2], "midi": melody, "part": "x"})
    notes["offset_s"] = notes["onset_s"] + 0.3
    tables.write(notes, tmp_path / "notes.parquet", tables.TRUTH_NOTES)
    rows = pd.DataFrame(
        {
            "clip_id": ["toy/a", "toy/b"],
            "path": str(tmp_path / "a.wav"),
            "kind": ["solo", "mix"],
            "instrument": ["organ", ""],
            "truth_f0_path": [str(tmp_path / "f0.parquet"), ""],
            "truth_notes_path": [str(tmp_path / "notes.parquet"), ""],
            "sha256": "",
        }
    )
    constants = {"dataset": "toy", "group": "g", "split": "train", "shard": 0, "duration_s": 1.6}
    manifest = rows.assign(**constants, sample_rate_hz=rate_hz, n_channels=1)
    tables.write(manifest, tmp_path / "manifest.parquet", tables.MANIFEST)
    options = {"model": "tiny"}
    experiment.check(options, plugins.card("labels", "pitch")["options"])
    labels = str(tmp_path / "labels.parquet")
    labelling.label_shard(str(tmp_path / "manifest.parquet"), 0, pitch, options, "cpu", labels, resumption())

    def checked(shift_semitones: float) -> dict:
        shifted = f0.assign(f0_hz=f0["f0_hz"] * 2 ** (shift_semitones / 12))
        tables.write(shifted, tmp_path / "f0.parquet", tables.TRUTH_F0)
        truth.check([labels], [str(tmp_path / "manifest.parquet")], str(tmp_path / "check.json"))
        rows = json.loads((tmp_path / "check.json").read_text())["rows"]
        assert [(row["frames"], row["instrument"], row["n_clips"]) for row in rows] == [
            ("sustained", "organ", 1),
            ("sustained", "all", 1),
            ("all", "organ", 1),
            ("all", "all", 1),
        ]
        return rows[0]

    return checked


def test_labels_of_a_known_melody_agree_with_it(corpus):
    row = corpus(0)
    assert row["within_50_cents"] > 0.97
    assert row["median_abs_cents"] < 15
    assert row["octave_error_share"] == 0


@pytest.mark.parametrize(("shift", "octave_error_share"), [(1, 0.0), (12, 1.0), (-12, 1.0)])
def test_a_wrong_truth_is_seen(corpus, shift, octave_error_share):
    row = corpus(shift)
    assert row["within_50_cents"] == 0
    assert row["octave_error_share"] == pytest.approx(octave_error_share, abs=0.03)


def test_without_any_truth_there_are_no_rows(tmp_path, latent_files):
    files = latent_files(np.zeros((20, 2)))
    empty = pd.DataFrame({"clip_id": [], "frame_index": [], "value": [], "weight": []}).astype({"clip_id": object})
    tables.write(empty, tmp_path / "labels.parquet", tables.FINE_LABELS)
    truth.check([str(tmp_path / "labels.parquet")], files["manifests"], str(tmp_path / "check.json"))
    assert json.loads((tmp_path / "check.json").read_text()) == {"rows": []}
    truth.check([], files["manifests"], str(tmp_path / "check.json"))
    assert json.loads((tmp_path / "check.json").read_text()) == {"rows": []}
