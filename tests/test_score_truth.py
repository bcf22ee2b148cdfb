"""Scores and f0 tracks as tables of truth: who sounds when, alone or not."""

import io

import numpy as np
import pandas as pd
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens.datasets import score_truth


def midi(notes: list[tuple[float, float, int]], pedal: tuple = (), is_drum: bool = False) -> bytes:
    score, part = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0, is_drum=is_drum, name="left hand")
    part.notes = [pretty_midi.Note(64, pitch, onset_s, offset_s) for onset_s, offset_s, pitch in notes]
    part.control_changes = [pretty_midi.ControlChange(64, value, time_s) for time_s, value in pedal]
    score.instruments.append(part)
    content = io.BytesIO()
    score.write(content)
    return content.getvalue()


def offsets(notes, pedal, **more) -> list[float]:
    table = score_truth.notes_of_midi(midi(notes, pedal), "x.mid", **more)
    return table["offset_s"].round(2).tolist()


def test_notes_by_onset_with_their_part():
    table = score_truth.notes_of_midi(midi([(0.5, 0.8, 64), (0.0, 0.4, 60)]), "x.mid")
    assert table["midi"].tolist() == [60, 64] and table["onset_s"].round(2).tolist() == [0.0, 0.5]
    assert set(table["part"]) == {"left hand"}


def test_drums_have_no_notes_and_damage_is_named():
    assert score_truth.notes_of_midi(midi([(0, 1, 36)], is_drum=True), "x.mid").empty
    for content in (b"", b"MThd", b"no midi at all", midi([(0, 1, 60)])[:-9]):
        with pytest.raises(ValueError, match=r"song\.mid cannot be read as MIDI"):
            score_truth.notes_of_midi(content, "song.mid")


@pytest.mark.parametrize(
    ("pedal", "expected"),
    [
        ((), [0.5]),
        (((0.2, 127), (1.0, 0)), [1.0]),  # held beyond the key
        (((0.2, 127), (0.4, 0)), [0.5]),  # up again before it
        (((0.6, 127), (1.0, 0)), [0.5]),  # too late
        (((0.2, 63), (1.0, 0)), [0.5]),  # not down far enough
        (((0.2, 127), (0.8, 100), (1.5, 10)), [1.5]),
        (((0.2, 127),), [0.5]),  # never let go: nothing is known beyond the last event
    ],
)
def test_a_note_sounds_as_long_as_the_pedal_is_down(pedal, expected):
    assert offsets([(0.0, 0.5, 60)], pedal, with_pedal=True) == expected
    assert offsets([(0.0, 0.5, 60)], pedal) == [0.5]


def test_other_controllers_are_no_pedal():
    content = pretty_midi.PrettyMIDI(io.BytesIO(midi([(0.0, 0.5, 60)])))
    content.instruments[0].control_changes = [pretty_midi.ControlChange(1, 127, 0.2)]
    written = io.BytesIO()
    content.write(written)
    assert score_truth.notes_of_midi(written.getvalue(), "x.mid", with_pedal=True)["offset_s"].round(2).tolist() == [
        0.5
    ]


def test_the_last_point_lies_within_the_recording():
    assert len(score_truth.f0_of_notes(score_truth.notes_table([]), 0.012)) == 3


def test_a_point_has_the_f0_of_the_nearest_of_a_track():
    f0 = score_truth.f0_of_tracks([(np.array([0.0, 0.012, 0.024]), np.array([100.0, 200.0, 300.0]))], 0.02)
    assert f0["f0_hz"].tolist() == [100.0, 100.0, 200.0, 200.0]


def test_a_key_that_is_struck_again_ends_the_note_before():
    assert offsets([(0.0, 0.3, 60), (0.6, 0.7, 60), (0.1, 0.2, 64)], ((0.0, 127), (1.0, 0)), with_pedal=True) == [
        0.6, 1.0, 1.0,
    ]  # fmt: skip


notes = st.lists(st.tuples(st.integers(0, 180), st.integers(1, 60), st.integers(40, 80)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(notes)
def test_f0_is_known_where_one_note_sounds_and_nowhere_else(drawn):
    rows = [(onset / 100, (onset + length) / 100, float(pitch), "") for onset, length, pitch in drawn]
    f0 = score_truth.f0_of_notes(score_truth.notes_table(rows), 2.0)
    assert len(f0) == 400
    middle_s = f0["time_s"].to_numpy() + 1e-6
    sounding = [[midi for onset_s, offset_s, midi, _ in rows if onset_s <= time_s < offset_s] for time_s in middle_s]
    assert f0["n_sounding"].tolist() == [len(found) for found in sounding]
    expected = [440 * 2 ** ((found[0] - 69) / 12) if len(found) == 1 else np.nan for found in sounding]
    assert f0["f0_hz"].to_numpy() == pytest.approx(np.array(expected), rel=1e-5, nan_ok=True)


def test_tracks_are_read_at_their_nearest_points_and_gaps_are_silence():
    time_s = np.concatenate([np.arange(0.1, 0.2, 0.004), np.arange(0.5, 0.6, 0.004)])
    first = (time_s, np.full(len(time_s), 220.0))
    second = (np.arange(0, 1, 0.01), np.where(np.arange(100) < 15, 330.0, 0.0))
    f0 = score_truth.f0_of_tracks([first, second], 1.0).set_index("time_s")
    f0.index = f0.index.to_numpy().round(3)
    assert f0["n_sounding"][[0.05, 0.12, 0.18, 0.22, 0.3, 0.55, 0.9]].tolist() == [1, 2, 1, 0, 0, 1, 0]
    assert f0["f0_hz"][[0.05, 0.18, 0.55]].tolist() == [330.0, 220.0, 220.0]
    assert f0["f0_hz"][[0.12, 0.3, 0.9]].isna().all()


def test_tracks_of_nothing_are_silence():
    f0 = score_truth.f0_of_tracks([(np.zeros(0), np.zeros(0))], 0.1)
    assert f0["n_sounding"].eq(0).all() and f0["f0_hz"].isna().all()
    assert score_truth.f0_of_notes(score_truth.notes_table([]), 0.1)["n_sounding"].eq(0).all()


def test_what_is_written_is_where_its_row_says(tmp_path):
    paths = score_truth.write(tmp_path, "2004/a", pd.DataFrame(score_truth.f0_of_tracks([], 0.1)), None)
    assert paths == {"truth_f0_path": "truth/2004/a.f0.parquet", "truth_notes_path": ""}
    assert (tmp_path / paths["truth_f0_path"]).is_file()


def test_a_pedal_that_is_never_let_go_ends_with_the_last_event():
    assert offsets([(0.0, 0.3, 60), (1.0, 1.4, 64)], ((0.1, 127),), with_pedal=True) == [1.4, 1.4]


def test_what_the_pedal_does_in_one_instant_stays_in_order():
    pedal = ((0.1, 127), (0.6, 0), (0.6, 127), (0.9, 0))
    assert offsets([(0.0, 0.5, 60), (0.6, 0.7, 64)], pedal, with_pedal=True) == [0.6, 0.9]


def test_a_key_that_does_not_exist_is_damage_like_other():
    content = midi([(0.0, 0.5, 60)])
    signature = b"\x00\xff\x59\x02\x0e\x00"  # of fourteen sharps, at the beginning of the first track
    length = int.from_bytes(content[18:22], "big") + len(signature)
    broken = content[:18] + length.to_bytes(4, "big") + signature + content[22:]
    with pytest.raises(ValueError, match=r"x\.mid cannot be read as MIDI \(KeySignatureError"):
        score_truth.notes_of_midi(broken, "x.mid")
