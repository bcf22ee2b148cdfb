"""The embedded corpus: the font is read rightly, the truth is what sounds, the same seed gives the same samples."""

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sonolens import audio, plugins, tables
from sonolens.datasets import chorales, drums, files, manifest, performance, rendering, sampler, scores
from sonolens.datasets.instruments import CHOIR, KITS, SOLOISTS, STRINGS, font
from sonolens.datasets.soundfont import SoundFont, Zone

OPTIONS = {"minutes": 4, "clip_seconds": 12, "sample_rate_hz": 16000, "f0_step_seconds": 0.005}
RATE_HZ = 32000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> pd.DataFrame:
    """Twenty clips of twelve seconds, with the folder in `attrs`."""
    folder = tmp_path_factory.mktemp("chorales")
    files.fetch("chorales", folder / "files.parquet", OPTIONS, files.Making(seed=0, n_workers=1))
    rendered = tables.read(folder / "files.parquet", files.FILES)
    rendered.attrs["folder"] = folder
    return rendered


def load(corpus: pd.DataFrame, path: str) -> np.ndarray:
    """(n_samples,) float32."""
    return audio.load(corpus.attrs["folder"] / path, 16000, 1)[0]


def levels_db(samples: np.ndarray, n_samples: int = 800) -> np.ndarray:
    """RMS of blocks of 50 ms in dBFS, -inf for silence."""
    blocks = samples[: len(samples) // n_samples * n_samples].reshape(-1, n_samples).astype(np.float64)
    with np.errstate(divide="ignore"):
        return 10 * np.log10((blocks**2).mean(axis=1))


def periodicity(samples: np.ndarray, f0_hz: np.ndarray | float) -> np.ndarray | float:
    """Normalised autocorrelation (-1 to 1) of a window (n,) at the lag of each f0."""
    window = samples - samples.mean()
    spectrum = np.fft.rfft(window, 2 * len(window))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(window)] / np.arange(len(window), 0, -1)
    return np.interp(RATE_HZ / 2 / np.asarray(f0_hz), np.arange(len(window)), correlation / (correlation[0] + 1e-12))


def sine_zone(frequency_hz: float, root_midi: float, n_samples: int = 4410) -> Zone:
    """A looped recording of a sine at 22.05 kHz, under all keys."""
    sine = np.sin(2 * np.pi * frequency_hz * np.arange(n_samples) / 22050).astype(np.float32)
    everything = (0, 127)
    return Zone(sine, 22050, 2205, everything, everything, root_midi, 100.0, 1.0, 0.01, 0.0, 1.0, 0.0, 0.1, 20000.0)


def spectral_peak_hz(samples: np.ndarray, rate_hz: int) -> float:
    """Frequency of the strongest partial, by a Hann window, zero-padding and a parabola through the log spectrum."""
    n_bins = 1 << 20
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n_bins)) + 1e-12)
    top = int(spectrum.argmax())
    before, here, after = spectrum[top - 1 : top + 2]
    return (top + 0.5 * (before - after) / (before - 2 * here + after)) * rate_hz / n_bins


def tiny_font() -> bytes:
    """A SoundFont with one preset, one instrument, two zones; the second looped and tuned, with a default of both."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    def generators(*pairs: tuple[int, int]) -> bytes:
        return b"".join(struct.pack("<Hh", kind, amount) for kind, amount in pairs) + bytes(4)

    samples = np.arange(100, dtype="<i2").tobytes()
    presets = struct.pack("<20sHHHIII", b"One", 5, 0, 0, 0, 0, 0) + struct.pack("<20sHHHIII", b"EOP", 0, 0, 1, 0, 0, 0)
    instruments = struct.pack("<20sH", b"Ins", 0) + struct.pack("<20sH", b"EOI", 3)
    preset_generators = generators((52, 7), (41, 0))
    shared = [(36, 1200), (48, 100)]
    first = [(43, 10 | 59 << 8), (53, 0)]
    second = [(43, 60 | 90 << 8), (54, 1), (58, 70), (51, -1), (48, 50), (53, 1)]
    instrument_generators = generators(*shared, *first, *second)
    bags = [
        struct.pack("<HH", start, 0)
        for start in (0, len(shared), len(shared) + len(first), len(shared + first + second))
    ]
    headers = struct.pack("<20sIIIIIBbHH", b"A", 0, 40, 0, 0, 22050, 60, 0, 0, 1)
    headers += struct.pack("<20sIIIIIBbHH", b"B", 40, 90, 50, 80, 44100, 61, -20, 0, 1) + bytes(46)
    hydra = chunk(b"phdr", presets) + chunk(b"pbag", struct.pack("<HHHH", 0, 0, 2, 0)) + chunk(b"pmod", bytes(10))
    hydra += chunk(b"pgen", preset_generators) + chunk(b"inst", instruments) + chunk(b"ibag", b"".join(bags))
    hydra += chunk(b"imod", bytes(10)) + chunk(b"igen", instrument_generators) + chunk(b"shdr", headers)
    lists = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"tiny")) + chunk(b"LIST", b"sdta" + chunk(b"smpl", samples))
    return chunk(b"RIFF", b"sfbk" + lists + chunk(b"LIST", b"pdta" + hydra))


def test_a_font_made_by_hand_is_read_back(tmp_path):
    (tmp_path / "tiny.sf2").write_bytes(tiny_font())
    first, second = SoundFont(tmp_path / "tiny.sf2").zones(0, 5)
    assert (first.keys, second.keys) == ((10, 59), (60, 90))
    assert np.array_equal(first.samples * 32768, np.arange(40))
    assert first.loop_start is None
    assert first.root_midi == pytest.approx(60 - 0.07)  # the preset's 7 cents raise what sounds
    assert np.array_equal(second.samples * 32768, np.arange(40, 80))  # cut at the loop's end
    assert (second.loop_start, second.sample_rate_hz) == (10, 44100)
    assert second.root_midi == pytest.approx(70 + 1 + 0.20 - 0.07)  # own root, a semitone down, its correction
    assert (first.decay_s, second.decay_s) == (2.0, 2.0)  # the instrument's default for both
    assert first.gain == pytest.approx(10 ** (-0.4 * 10 / 20))  # 10 dB, of which the 0.4th part counts
    assert second.gain == pytest.approx(10 ** (-0.4 * 5 / 20))  # its own 5 dB instead


def test_what_is_no_font_is_named(tmp_path):
    (tmp_path / "text.sf2").write_text("This is not a font, but it is long enough.")
    with pytest.raises(ValueError, match=r"text\.sf2 is not a SoundFont 2"):
        SoundFont(tmp_path / "text.sf2")
    with pytest.raises(KeyError, match="bank 3 and program 500"):
        font().zones(3, 500)


@pytest.mark.parametrize("off_cents", [0, 15, -21])
def test_the_pitch_of_a_recording_is_measured(off_cents):
    zone = sine_zone(440 * 2 ** (off_cents / 1200), root_midi=69.0)
    assert 1200 * np.log2(sampler.root_hz(zone) / 440) == pytest.approx(off_cents, abs=0.2)


def test_what_has_no_pitch_keeps_the_fonts_word():
    noise = np.random.default_rng(0).uniform(-1, 1, 4410).astype(np.float32)
    assert sampler.root_hz(sine_zone(440, 69.0)._replace(samples=noise)) == pytest.approx(440)


@pytest.mark.parametrize("f0_hz", [110.0, 440.0, 1234.5])
def test_a_tone_sounds_at_the_frequency_it_is_asked_for(monkeypatch, f0_hz):
    """A sine sample out of tune by 18 cents, played at any pitch, lands within a cent."""
    zone = sine_zone(600, root_midi=69 + 12 * np.log2(600 / 440) - 0.18)
    monkeypatch.setattr(sampler, "voices", lambda *_: ((zone, sampler.root_hz(zone)),))
    n_samples = 2 * RATE_HZ
    played = sampler.tone(SOLOISTS[0], 60, np.full(n_samples, f0_hz), np.zeros(n_samples), RATE_HZ, held_s=2.0)
    assert abs(1200 * np.log2(spectral_peak_hz(played[8000:], RATE_HZ) / f0_hz)) < 1.0


def test_a_tone_follows_its_course_of_pitch(monkeypatch):
    """A glide over an octave: the measured frequency in the middle is that of the middle."""
    zone = sine_zone(500, root_midi=69 + 12 * np.log2(500 / 440))
    monkeypatch.setattr(sampler, "voices", lambda *_: ((zone, 500.0),))
    glide_hz = np.linspace(400, 800, RATE_HZ)
    played = sampler.tone(SOLOISTS[0], 60, glide_hz, np.zeros(RATE_HZ), RATE_HZ, held_s=1.0)
    assert spectral_peak_hz(played[15600:16400], RATE_HZ) == pytest.approx(600, abs=3)


def test_a_released_tone_is_inaudible_when_the_truth_says_so(monkeypatch):
    zone = sine_zone(500, root_midi=69 + 12 * np.log2(500 / 440))
    monkeypatch.setattr(sampler, "voices", lambda *_: ((zone, 500.0),))
    n_samples, player = RATE_HZ, SOLOISTS[0]
    played = sampler.tone(player, 60, np.full(n_samples, 500.0), np.zeros(n_samples), RATE_HZ, held_s=0.5)
    ends_s = performance.Tone(60, 0.0, 0.5, 0, 0, 5, 0, 0).audible_until_s(player.release_s)
    before = np.abs(played[round(0.4 * RATE_HZ) : round(0.5 * RATE_HZ)]).max()
    after = np.abs(played[round(ends_s * RATE_HZ) : round((ends_s + 0.02) * RATE_HZ)]).max()
    assert 20 * np.log10(after / before) == pytest.approx(sampler.AUDIBLE_DB, abs=0.5)


def test_a_recording_is_not_read_beyond_its_end():
    unlooped = sine_zone(440, 69.0)._replace(loop_start=None)
    positions = np.arange(1.0, 6000.0, 0.7)
    read = sampler.read_along(unlooped, positions)
    assert not read[positions >= 4411].any()
    inside = positions < 4400
    assert np.abs(read[inside] - np.sin(2 * np.pi * 440 * positions[inside] / 22050)).max() < 2e-3


def test_a_loop_joins_without_a_click():
    """2205 samples hold 44 whole periods of 440 Hz: looped for ever the sine goes on."""
    positions = np.arange(0.0, 40000.0, 0.9)
    expected = np.sin(2 * np.pi * 440 * positions / 22050)
    assert np.abs(sampler.read_along(sine_zone(440, 69.0), positions) - expected).max() < 2e-3


@pytest.mark.parametrize("player", [*SOLOISTS, STRINGS, CHOIR], ids=lambda player: player.name)
def test_every_key_of_every_instrument_sounds(player):
    """The font has gaps: a key without a recording would be a note that is not there."""
    n_samples = RATE_HZ // 2
    for key in range(player.lowest, player.highest + 1):
        f0_hz = np.full(n_samples, sampler.midi_to_hz(key))
        played = sampler.tone(player, key, f0_hz, np.zeros(n_samples), RATE_HZ, held_s=0.5)
        assert -32 < levels_db(played, n_samples)[0] < -3, f"{player.name} {key}"


@pytest.mark.parametrize("kit", KITS.values(), ids=KITS.keys())
def test_every_stroke_of_every_kit_sounds(kit):
    keys = {key for style in drums.STYLES.values() for key in style} | {drums.LOW_TOM, drums.MID_TOM, drums.HIGH_TOM}
    for key in sorted(keys):
        assert np.abs(sampler.stroke(kit, key, RATE_HZ)).max() > 0.05, f"{kit} {key}"


def test_notes_of_a_part_become_one_line():
    rows = [
        (0, 1, 60, False),
        (1, 1, 60, True),
        (2, 2, 62, False),
        (3, 1, 64, False),
        (4, 1, 50, False),
        (4, 1, 65, False),
    ]
    line = scores.one_at_a_time([*rows, (5, 1, 65, True), (7, 1, 65, True)])
    # tied over the bar; cut by the next; the top of a chord; tied again; a tie to nothing is a note
    assert line.tolist() == [[0, 2, 60], [2, 1, 62], [3, 1, 64], [4, 2, 65], [7, 1, 65]]


def test_there_are_as_many_chorales_as_expected():
    names = scores.four_part_chorales()
    assert 360 <= len(names) <= 370
    assert list(names) == sorted(names)
    assert scores.family("bwv112.5-sc.mxl") == scores.family("bwv112.5.mxl") == "bwv112.5"
    assert scores.family("bwv145-a.mxl") == "bwv145"


def test_a_chorale_is_read_rightly():
    """BWV 66.6, music21's own example: F sharp minor, upbeat C#5 B4 in quavers, 36 beats."""
    score = scores.read_score("bwv66.6.mxl")
    assert score.n_beats == 36
    assert score.parts[0][:4].tolist() == [[0, 0.5, 73], [0.5, 0.5, 71], [1, 1, 69], [2, 1, 71]]
    assert [int(part[0, 2]) for part in score.parts] == [73, 64, 57, 57]
    assert len(score.fermatas) >= 4


def test_groups_hold_variants_and_settings_of_a_tune_together():
    families = pd.Series(["bwv1", "bwv2", "bwv3", "bwv2", "bwv4", "drums-rock-7", "drums-rock-9"])
    tunes = pd.Series(["x", "y", "y", "z", "z", "", ""])
    merged = chorales.merge_groups(families, tunes)
    assert merged == ["bwv1", "bwv2", "bwv2", "bwv2", "bwv2", "drums-rock-7", "drums-rock-9"]


def test_more_minutes_add_clips_and_change_none():
    assert chorales.plan_clips(60, seed=3)[:20] == chorales.plan_clips(20, seed=3)
    assert chorales.plan_clips(20, seed=4) != chorales.plan_clips(20, seed=3)


def test_every_chorale_is_used_once_before_one_is_used_again():
    plans = [plan for plan in chorales.plan_clips(540, seed=0) if plan.kind != "drums"]
    first_turn = [plan.score for plan in plans if plan.turn == 0]
    assert sorted(first_turn) == list(scores.four_part_chorales())
    assert {plan.turn for plan in plans} == {0, 1}
    kinds = pd.Series([plan.kind for plan in chorales.plan_clips(540, seed=0)]).value_counts(normalize=True)
    assert kinds.to_dict() == pytest.approx({"solo": 0.6, "mix": 0.25, "drums": 0.15}, abs=0.005)


def test_the_length_is_what_was_asked_for(corpus):
    assert len(corpus) == 20
    for path in corpus["path"]:
        assert audio.header(corpus.attrs["folder"] / path) == (12 * 16000, 16000, 1)
    assert corpus["kind"].value_counts().to_dict() == {"solo": 12, "mix": 5, "drums": 3}


def test_the_same_seed_gives_the_same_samples_whatever_the_workers(corpus, tmp_path):
    files.fetch("chorales", tmp_path / "files.parquet", OPTIONS, files.Making(seed=0, n_workers=2))
    assert (tmp_path / "files.parquet").read_bytes() == (corpus.attrs["folder"] / "files.parquet").read_bytes()
    for name in sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")):
        assert (tmp_path / name).read_bytes() == (corpus.attrs["folder"] / name).read_bytes(), name


def test_another_process_gives_the_same_samples(corpus):
    """With another hash seed, so that no order of a set can matter."""
    program = (
        "import hashlib, sys; from sonolens.datasets import chorales, rendering\n"
        f"clip = rendering.render(chorales.plan_clips(4, 0)[1], 0, {OPTIONS})\n"
        "print(hashlib.sha256(clip.audio.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent), "PYTHONHASHSEED": "123"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    here = rendering.render(chorales.plan_clips(4, 0)[1], 0, OPTIONS).audio
    assert done.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_another_seed_gives_other_samples():
    (plan,) = chorales.plan_clips(1, 0)
    assert not np.array_equal(rendering.render(plan, 0, OPTIONS).audio, rendering.render(plan, 1, OPTIONS).audio)


def test_nothing_clips(corpus):
    peaks = [np.abs(load(corpus, path)).max() for path in corpus["path"]]
    assert max(peaks) < 0.98
    assert min(peaks) > 0.02
    assert np.ptp(20 * np.log10(peaks)) > 10  # clips differ in level


def test_dynamics_span_thirty_decibels(corpus):
    """Of sounding stretches, the top twentieth over the bottom twentieth, and over 12 dB in the usual solo alone."""
    solos = [levels_db(load(corpus, path)) for path in corpus.loc[corpus["kind"] == "solo", "path"]]
    sounding = [levels[levels > -70] for levels in solos]
    low, high = np.percentile(np.concatenate(sounding), [5, 95])
    assert high - low >= 30
    assert np.median([np.ptp(np.percentile(levels, [5, 95])) for levels in sounding]) > 12


def test_there_are_true_silences(corpus):
    """Exact zeros for 100 ms somewhere inside of several clips."""
    n_silent = 0
    for path in corpus.loc[corpus["kind"] != "drums", "path"]:
        inside = load(corpus, path)[16000:-16000]
        blocks = inside[: len(inside) // 1600 * 1600].reshape(-1, 1600)
        n_silent += bool((np.abs(blocks).max(axis=1) == 0).any())
    assert n_silent >= 3


def test_the_pitch_that_sounds_is_the_truth(corpus):
    """Autocorrelation of 64 ms: within 50 cents for most frames; the true period is a period, half of it is not.

    Frames 50 ms after an onset to 50 ms before the key is let go.
    """
    within, periodic, not_an_octave_up = [], [], []
    for row in corpus[corpus["kind"] == "solo"].itertuples():
        samples = load(corpus, row.path).astype(np.float64)
        truth = tables.read(corpus.attrs["folder"] / row.truth_f0_path, tables.TRUTH_F0)
        notes = tables.read(corpus.attrs["folder"] / row.truth_notes_path, tables.TRUTH_NOTES)
        for note in notes.itertuples():
            for time_s in np.arange(note.onset_s + 0.05, min(note.offset_s, 12.0) - 0.05, 0.05):
                middle = round(time_s * 16000)
                window = samples[max(0, middle - 512) : middle + 512]
                f0_hz = float(truth["f0_hz"][round(time_s / 0.005)])
                near_hz = f0_hz * 2 ** (np.arange(-200, 201, 5) / 1200)
                near = periodicity(window, near_hz)
                within.append(abs(np.argmax(near) * 5 - 200) <= 50)
                periodic.append(periodicity(window, f0_hz) > 0.7)
                not_an_octave_up.append(periodicity(window, 2 * f0_hz) < periodicity(window, f0_hz) - 0.02)
    assert len(within) > 500
    assert np.mean(within) > 0.97
    assert np.mean(periodic) > 0.9
    assert np.mean(not_an_octave_up) > 0.9


def test_the_f0_truth_lies_at_the_notes(corpus):
    for row in corpus[corpus["kind"] == "solo"].itertuples():
        truth = tables.read(corpus.attrs["folder"] / row.truth_f0_path, tables.TRUTH_F0)
        notes = tables.read(corpus.attrs["folder"] / row.truth_notes_path, tables.TRUTH_NOTES)
        assert len(truth) == 2400
        assert np.allclose(np.diff(truth["time_s"]), 0.005)
        assert (np.diff(notes["onset_s"]) >= 0).all()
        assert (notes["offset_s"] > notes["onset_s"]).all()
        sounding = pd.Series(False, index=truth.index)
        for note in notes.itertuples():
            held = truth["time_s"].between(note.onset_s, note.offset_s, inclusive="left")
            cents = 100 * (12 * np.log2(truth.loc[held, "f0_hz"] / 440) + 69 - note.midi)
            assert cents.abs().max() < 30  # 22 of vibrato, 4 of detune
            sounding |= truth["time_s"].between(note.onset_s, note.offset_s + 0.15)
        assert truth.loc[~sounding, "f0_hz"].isna().all()
        assert truth["f0_hz"].notna().mean() > 0.5
        assert truth["n_sounding"].tolist() == truth["f0_hz"].notna().astype(int).tolist()


def test_a_mix_has_notes_in_four_parts_and_drums_have_none(corpus):
    for row in corpus.itertuples():
        if row.kind == "drums":
            assert (row.truth_f0_path, row.truth_notes_path) == ("", "")
            continue
        notes = tables.read(corpus.attrs["folder"] / row.truth_notes_path, tables.TRUTH_NOTES)
        assert notes["part"].nunique() == (4 if row.kind == "mix" else 1)
        assert (row.truth_f0_path == "") == (row.kind == "mix")


def test_vibrato_sets_in_late_and_short_notes_have_none():
    tone = performance.Tone(69.0, 1.0, 3.0, 0.0, 20.0, 5.0, 0.2, 0.0)
    assert np.allclose(tone.f0_hz(np.array([1.0, 1.05, 1.13, 1.2])), 440)
    crest_s = 1.2 + 0.4 + 0.05  # a quarter of a period after two whole ones, at full depth
    assert 1200 * np.log2(tone.f0_hz(np.array([crest_s]))[0] / 440) == pytest.approx(20)
    notes = np.array([[beat, 0.25, 60.0] for beat in np.arange(0, 4, 0.25)] + [[4.0, 4.0, 60.0]])
    score = scores.Score((notes,) * 4, np.array([]), 8.0)
    rng = np.random.default_rng(0)
    *short, long_tone = performance.play(notes, SOLOISTS[0], performance.choose_timing(score, rng), rng)
    assert {tone.vibrato_cents for tone in short} == {0.0}
    assert 8 <= long_tone.vibrato_cents <= 22


def test_a_breath_is_taken_from_the_end_of_the_phrase():
    """A beat is a second; a breath of 0.4 s ends the phrase at beat 4, the next note comes on the beat."""
    grid = np.arange(9.0)
    timing = performance.Timing(grid, grid, np.array([4.0, 8.0]), np.array([0.4, 0.0]), grid, 0 * grid)
    notes = np.array([[0.0, 4.0, 60.0], [4.0, 4.0, 62.0]])
    for seed in range(10):
        first, second = performance.play(notes, SOLOISTS[0], timing, np.random.default_rng(seed))
        assert first.offset_s <= 3.6 + 1e-9
        assert abs(second.onset_s - 4.0) <= performance.JITTER_S


def test_a_soloist_stays_in_range():
    for plan in chorales.plan_clips(20, seed=1):
        if plan.kind == "solo":
            score = scores.read_score(plan.score)
            (part,) = rendering.choose_parts(plan, score, np.random.default_rng(0))
            assert part.instrument.name == plan.player
            assert part.instrument.lowest <= part.notes[:, 2].min() <= part.notes[:, 2].max() <= part.instrument.highest


def test_a_shorter_corpus_leaves_no_file_of_a_longer_one(tmp_path):
    for minutes in (0.2, 0.1):
        files.fetch(
            "chorales",
            tmp_path / "files.parquet",
            OPTIONS | {"minutes": minutes, "clip_seconds": 6},
            files.Making(seed=0, n_workers=1),
        )
    listed = tables.read(tmp_path / "files.parquet", files.FILES)
    assert sorted(path.name for path in tmp_path.glob("audio/*")) == [Path(path).name for path in listed["path"]]
    assert len(listed) == 1


def test_the_corpus_becomes_a_manifest(corpus):
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    used, rejected = manifest.build(
        "chorales", "bach", corpus.attrs["folder"] / "files.parquet", OPTIONS, seed=0, splits=shares, shards=2,
        max_rejected_share=0.0, min_clip_seconds=0.5,
    )  # fmt: skip
    assert (len(used), len(rejected)) == (20, 0)
    assert used["clip_id"].is_monotonic_increasing
    assert set(used["split"]) == set(shares)
    assert set(used.loc[used["split"] == "test", "kind"]) == {"solo", "mix", "drums"}
    assert (used["truth_f0_path"] != "").sum() == 12
    assert all(Path(path).is_file() for path in used["path"])


@pytest.mark.parametrize("rate_hz", [24000, 44100])
def test_other_sample_rates_sound_the_same(rate_hz):
    (plan,) = chorales.plan_clips(1, 0)
    options = OPTIONS | {"clip_seconds": 3}
    base = rendering.render(plan, 0, options)
    other = rendering.render(plan, 0, options | {"sample_rate_hz": rate_hz})
    assert len(other.audio) == 3 * rate_hz
    assert other.tones == base.tones
    a, b = levels_db(base.audio, 1600), levels_db(other.audio, rate_hz // 10)
    loud = a > -60
    assert loud.sum() > 10
    assert np.abs(a[loud] - b[loud]).max() < 1.0
