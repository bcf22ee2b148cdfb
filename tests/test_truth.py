"""Pitch labels against a truth: by hand on a few frames, on five datasets, and through CREPE on a known melody."""

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sonolens import experiment, plugins, tables
from sonolens.labels import agreement, labelling, pitch, truth

NAN = math.nan


def summary(*recordings: tuple[list, list, list]) -> dict:
    """The figures of recordings of a few frames each: labels, truth, how many sound."""
    compared = [agreement.compare(*map(np.array, recording)) for recording in recordings]
    counts = pd.DataFrame([counts for counts, _ in compared], columns=agreement.Counts._fields)
    return agreement.summary(counts, sum(distances for _, distances in compared), seed=0)


def test_figures_by_hand():
    label = [60.0, 60.4, 72.1, 47.8, 67.0, NAN, NAN, 60.0]
    sung = [60.0, 60.0, 60.0, 60.0, 60.0, 60.0, NAN, NAN]
    found = summary((label, sung, [1, 1, 1, 1, 1, 1, 0, 0]))
    assert found["n_frames"] == 6
    assert found["within_50_cents"] == pytest.approx(2 / 6)
    assert found["octave_error_share"] == pytest.approx(2 / 6)
    assert found["voicing_recall"] == pytest.approx(5 / 6)
    assert found["voicing_false_alarm"] == pytest.approx(1 / 2)
    assert found["median_abs_cents"] == pytest.approx(700)
    assert (found["n_clips"], found["n_frames_left_out"]) == (1, 0)


def test_frames_in_which_several_sound_are_neither_voiced_nor_silent():
    label, sung = [60.0, 64.0, NAN, 65.0, 60.0], [60.0, NAN, NAN, NAN, NAN]
    found = summary((label, sung, [1, 2, 4, 0, 1]))  # the last one sounds at a pitch that is not known
    assert (found["n_frames"], found["n_frames_left_out"]) == (1, 3)
    assert (found["within_50_cents"], found["voicing_recall"], found["voicing_false_alarm"]) == (1.0, 1.0, 1.0)


def test_figures_of_nothing_are_none_not_nan():
    assert summary(([NAN], [NAN], [0]))["within_50_cents"] is None
    assert summary(([60.0], [60.0], [1]))["voicing_false_alarm"] is None
    nothing = summary(([], [], []))
    assert nothing["median_abs_cents"] is nothing["within_50_cents_low"] is None
    assert (nothing["n_clips"], nothing["n_frames"]) == (0, 0)


def test_the_median_is_that_of_the_distances_to_a_tenth_of_a_cent():
    rng = np.random.default_rng(0)
    for n_frames in (1, 2, 999, 1000):
        sung = rng.uniform(40, 80, n_frames)
        error = rng.normal(0, 0.2, n_frames)
        _, distances = agreement.compare(sung + error, sung, np.ones(n_frames, int))
        assert agreement.median_cents(distances) == pytest.approx(100 * np.median(np.abs(error)), abs=0.051)
    _, distances = agreement.compare(np.array([100.0]), np.array([20.0]), np.array([1]))
    assert agreement.median_cents(distances) == agreement.FARTHEST_CENTS


def test_intervals_are_over_recordings_not_over_frames():
    """Half of the recordings wholly right, half wholly wrong: as uncertain as a coin, however many frames there are."""
    right, wrong = ([60.0] * 50, [60.0] * 50, [1] * 50), ([72.0] * 50, [60.0] * 50, [1] * 50)
    found = summary(*[right] * 20, *[wrong] * 20)
    spread = 1.96 * math.sqrt(0.25 / 40)
    assert found["within_50_cents"] == found["octave_error_share"] == 0.5
    assert found["within_50_cents_low"] == pytest.approx(0.5 - spread, abs=0.04)
    assert found["octave_error_share_high"] == pytest.approx(0.5 + spread, abs=0.04)
    assert summary(*[right] * 20, *[wrong] * 20) == found
    alone = summary(
        right, ([NAN], [NAN], [0])
    )  # nothing is known of others from one, nor from one in which none sounds
    assert alone["within_50_cents_low"] is alone["octave_error_share_high"] is None
    assert alone["n_clips"] == 2


def test_longer_recordings_weigh_more():
    found = summary(*[([60.0] * 90, [60.0] * 90, [1] * 90), ([65.0] * 10, [60.0] * 10, [1] * 10)] * 10)
    assert found["within_50_cents"] == 0.9
    assert found["within_50_cents_low"] < 0.9 < found["within_50_cents_high"] <= 1.0


def test_truth_is_read_at_the_nearest_point_and_ends_with_its_table():
    table = pd.DataFrame({"time_s": [0.0, 0.01, 0.02], "f0_hz": [440.0, 880.0, NAN], "n_sounding": [1, 1, 3]})
    midi, n_sounding = truth.truth_at(np.array([0.004, 0.006, 0.0149, 0.0151, 0.031]), table)
    assert midi == pytest.approx([69, 81, 81, NAN, NAN], nan_ok=True)
    assert n_sounding.tolist() == [1, 1, 1, 3, 0]


def test_a_pitch_counts_only_where_one_sounds():
    table = pd.DataFrame({"time_s": [0.0, 0.01, 0.02], "f0_hz": [440.0, 440.0, 440.0], "n_sounding": [0, 1, 2]})
    midi, _ = truth.truth_at(table["time_s"].to_numpy(), table)
    assert midi == pytest.approx([NAN, 69, NAN], nan_ok=True)


def test_sustained_leaves_out_attack_and_release():
    notes = pd.DataFrame({"onset_s": [0.0, 0.5], "offset_s": [0.2, 0.55], "midi": 60.0, "part": ""})
    time_s = np.array([0.04, 0.05, 0.169, 0.171, 0.52])
    assert truth.is_sustained(time_s, notes).tolist() == [False, True, True, False, False]


class Corpus:
    """Labels and truth of recordings of two seconds, written as the workflow would."""

    def __init__(self, folder: Path):
        self.folder, self.rows = folder, []
        self.labels = {}

    def add(self, dataset: str, kind: str, instrument: str, shift: float | None, n_sounding=1, notes=False) -> None:
        """A recording of A4 of which the labels are `shift` semitones off; None for no truth."""
        clip_id = f"{dataset}/{len(self.rows)}"
        frames = pd.DataFrame({"clip_id": clip_id, "frame_index": np.arange(200), "value": 69 + (shift or 0)})
        self.labels.setdefault(dataset, []).append(frames.assign(weight=1.0))
        paths = {"truth_f0_path": "", "truth_notes_path": ""}
        if shift is not None:
            paths["truth_f0_path"] = str(self.folder / f"{len(self.rows)}.f0.parquet")
            f0 = pd.DataFrame({"time_s": np.arange(400) * 0.005, "f0_hz": 440.0, "n_sounding": n_sounding})
            tables.write(f0, paths["truth_f0_path"], tables.TRUTH_F0)
        if notes:
            paths["truth_notes_path"] = str(self.folder / f"{len(self.rows)}.notes.parquet")
            note = pd.DataFrame({"onset_s": [0.5], "offset_s": [1.5], "midi": 69.0, "part": "x"})
            tables.write(note, paths["truth_notes_path"], tables.TRUTH_NOTES)
        self.rows.append({"clip_id": clip_id, "dataset": dataset, "kind": kind, "instrument": instrument, **paths})

    def check(self, with_labels: bool = True, seed: int = 0) -> list[dict]:
        """Rows of check.json."""
        labels, manifests = [], []
        constants = {"path": "x.wav", "group": "g", "split": "train", "shard": 0, "duration_s": 2.0, "sha256": ""}
        manifest = pd.DataFrame(self.rows).assign(**constants, sample_rate_hz=16000, n_channels=1)
        for dataset, frames in self.labels.items():
            labels.append(str(self.folder / f"{dataset}.labels.parquet"))
            manifests.append(str(self.folder / f"{dataset}.manifest.parquet"))
            tables.write(pd.concat(frames), labels[-1], tables.FINE_LABELS)
            tables.write(manifest[manifest["dataset"] == dataset], manifests[-1], tables.MANIFEST)
        truth.check(labels if with_labels else [], manifests, str(self.folder / "check.json"), seed)
        return json.loads((self.folder / "check.json").read_text())["rows"]


@pytest.fixture
def datasets(tmp_path) -> Corpus:
    """Of two instruments and a mix; without a truth; of drums; of several notes at once."""
    corpus = Corpus(tmp_path)
    corpus.add("synthesised", "solo", "violin", 0.1, notes=True)
    corpus.add("synthesised", "solo", "violin", 0.2, notes=True)
    corpus.add("synthesised", "solo", "oboe", 12.0, notes=True)
    corpus.add("synthesised", "mix", "quartet", 5.0, n_sounding=np.repeat([1, 2], 200))
    corpus.add("sung", "solo", "voice", None)
    corpus.add("beaten", "drums", "kit", None)
    corpus.add("piano", "solo", "piano", 0.0, n_sounding=3)
    return corpus


def test_each_dataset_has_one_row_over_all_of_it(datasets):
    rows = [row for row in datasets.check() if row["kind"] == row["instrument"] == row["frames"] == "all"]
    assert [row["dataset"] for row in rows] == ["synthesised", "sung", "beaten", "piano"]  # as the config has them
    synthesised = rows[0]
    assert (synthesised["n_clips"], synthesised["n_frames"], synthesised["n_frames_left_out"]) == (4, 700, 100)
    assert synthesised["within_50_cents"] == pytest.approx(400 / 700)
    assert synthesised["octave_error_share"] == pytest.approx(200 / 700)
    assert synthesised["within_50_cents_low"] < synthesised["within_50_cents"] < synthesised["within_50_cents_high"]
    assert synthesised["median_abs_cents"] == pytest.approx(20)  # of 200 each at 10, 20, 1200 and 100 at 500
    assert synthesised["reason"] == ""


def test_rows_of_kinds_and_instruments_are_of_their_own_recordings(datasets):
    rows = {
        (row["kind"], row["instrument"], row["frames"]): row
        for row in datasets.check()
        if row["dataset"] == "synthesised"
    }
    assert list(rows) == [
        ("all", "all", "sustained"), ("solo", "all", "sustained"), ("solo", "oboe", "sustained"),
        ("solo", "violin", "sustained"), ("all", "all", "all"), ("mix", "all", "all"), ("mix", "quartet", "all"),
        ("solo", "all", "all"), ("solo", "oboe", "all"), ("solo", "violin", "all"),
    ]  # fmt: skip
    assert rows["solo", "violin", "all"]["within_50_cents"] == 1.0
    assert rows["solo", "violin", "all"]["median_abs_cents"] == pytest.approx(15)
    assert rows["solo", "oboe", "all"]["octave_error_share"] == 1.0
    assert rows["solo", "oboe", "all"]["median_abs_cents"] == pytest.approx(1200)
    assert rows["solo", "violin", "sustained"]["n_frames"] == 2 * 92  # 50 ms after 0.5 s to 30 ms before 1.5 s
    assert (rows["mix", "all", "all"]["n_frames"], rows["mix", "all", "all"]["n_frames_left_out"]) == (100, 100)


def test_a_dataset_without_a_score_says_why(datasets):
    reasons = {row["dataset"]: row["reason"] for row in datasets.check() if row["dataset"] != "synthesised"}
    assert reasons == {"sung": truth.NO_TRUTH, "beaten": truth.NO_PITCH, "piano": truth.SEVERAL_SOUND}
    (sung,) = [row for row in datasets.check() if row["dataset"] == "sung"]
    assert (sung["n_clips"], sung["n_frames"], sung["within_50_cents"]) == (0, 0, None)
    without = datasets.check(with_labels=False)  # pitch is not among the attributes
    assert {row["dataset"]: row["reason"] for row in without} == {
        "synthesised": truth.NO_LABELS, "sung": truth.NO_TRUTH, "beaten": truth.NO_PITCH, "piano": truth.NO_LABELS,
    }  # fmt: skip


def test_figures_are_the_same_whatever_the_order_of_the_shards(tmp_path):
    corpus, rng = Corpus(tmp_path), np.random.default_rng(0)
    for shift in rng.choice([0.0, 3.0, 12.0], 30):
        corpus.add("synthesised", "solo", "violin", shift, n_sounding=rng.integers(0, 2, 400))
    before = corpus.check()
    corpus.labels["synthesised"].reverse()
    assert corpus.check() == before
    assert corpus.check(seed=1) != before  # other draws, other intervals


def test_a_track_of_one_point_is_refused_by_name(datasets):
    path = datasets.rows[0]["truth_f0_path"]
    tables.write(pd.DataFrame({"time_s": [0.0], "f0_hz": 440.0, "n_sounding": 1}), path, tables.TRUTH_F0)
    with pytest.raises(ValueError, match=r"0\.f0\.parquet has 1 points"):
        datasets.check()


def test_memory_does_not_grow_with_the_number_of_shards(tmp_path):
    """Six times the shards of half an hour each: the peak is that of one."""
    n_frames = 180_000
    time_s = np.arange(n_frames) * 0.01
    f0 = pd.DataFrame({"time_s": time_s, "f0_hz": 440.0, "n_sounding": 1})
    tables.write(f0, tmp_path / "f0.parquet", tables.TRUTH_F0)
    rows = [{"clip_id": f"toy/{number}", "shard": number} for number in range(6)]
    constants = {"dataset": "toy", "path": "x.wav", "group": "g", "split": "train", "duration_s": 1800.0, "sha256": ""}
    constants |= {"kind": "solo", "instrument": "organ", "truth_f0_path": str(tmp_path / "f0.parquet")}
    manifest = pd.DataFrame(rows).assign(**constants, truth_notes_path="", sample_rate_hz=16000, n_channels=1)
    tables.write(manifest, tmp_path / "manifest.parquet", tables.MANIFEST)
    labels = []
    for row in rows:
        labels.append(str(tmp_path / f"{row['shard']}.parquet"))
        frames = pd.DataFrame({"frame_index": np.arange(n_frames), "value": 69.0, "weight": 1.0})
        tables.write(frames.assign(clip_id=row["clip_id"]), labels[-1], tables.FINE_LABELS)
    peaks = []
    for paths in (labels[:1], labels):
        tracemalloc.start()
        truth.check(paths, [str(tmp_path / "manifest.parquet")], str(tmp_path / "check.json"), seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert json.loads((tmp_path / "check.json").read_text())["rows"][0]["n_frames"] == 6 * n_frames


@pytest.fixture
def melody(tmp_path, resumption):
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
    f0 = pd.DataFrame({"time_s": time_s, "f0_hz": np.where(sounds, f0_hz, NAN), "n_sounding": sounds})[points]
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
        truth.check([labels], [str(tmp_path / "manifest.parquet")], str(tmp_path / "check.json"), seed=0)
        rows = json.loads((tmp_path / "check.json").read_text())["rows"]
        assert [(row["frames"], row["kind"], row["instrument"], row["n_clips"]) for row in rows] == [
            (frames, kind, instrument, 1)
            for frames in ("sustained", "all")
            for kind, instrument in (("all", "all"), ("solo", "all"), ("solo", "organ"))
        ]
        return rows[0]

    return checked


def test_labels_of_a_known_melody_agree_with_it(melody):
    row = melody(0)
    assert row["within_50_cents"] > 0.97
    assert row["median_abs_cents"] < 15
    assert row["octave_error_share"] == 0


@pytest.mark.parametrize(("shift", "octave_error_share"), [(1, 0.0), (12, 1.0), (-12, 1.0)])
def test_a_wrong_truth_is_seen(melody, shift, octave_error_share):
    row = melody(shift)
    assert row["within_50_cents"] == 0
    assert row["octave_error_share"] == pytest.approx(octave_error_share, abs=0.03)


def test_without_any_truth_the_only_row_says_so(tmp_path, latent_files):
    files = latent_files(np.zeros((20, 2)))
    empty = pd.DataFrame({"clip_id": [], "frame_index": [], "value": [], "weight": []}).astype({"clip_id": object})
    tables.write(empty, tmp_path / "labels.parquet", tables.FINE_LABELS)
    for labels in ([str(tmp_path / "labels.parquet")], []):
        truth.check(labels, files["manifests"], str(tmp_path / "check.json"), seed=0)
        (row,) = json.loads((tmp_path / "check.json").read_text())["rows"]
        assert (row["dataset"], row["reason"], row["within_50_cents"]) == ("toy", truth.NO_TRUTH, None)
