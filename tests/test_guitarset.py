"""GuitarSet from small archives behind a real server: what is drawn, what is asked for, and truth string by string."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import guitarset_archives as archives
from file_server import FileServer
from sonolens import plugins, tables
from sonolens.datasets import files, guitarset, jams, manifest
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.supply import Supply

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
RECORDING_H = archives.LASTS_S / 3600
N_SOLOS = len(archives.PLAYERS) * len(archives.SHEETS)


class Released:
    """The two archives on a server; the card says of these what it says of the real ones."""

    def __init__(self, server: FileServer):
        self.server = server
        self.contents = {guitarset.AUDIO: archives.audio(), guitarset.ANNOTATION: archives.annotations()}

    def fetch(self, folder: Path, n_recordings: float, seed: int = 0, own: dict | None = None) -> pd.DataFrame:
        card_files = []
        for file in plugins.card("datasets", "guitarset")["files"]:
            content = self.contents[file["name"]]
            self.server.files[f"/{file['name']}"] = content
            sums = {"md5": hashlib.md5(content).hexdigest(), "size_bytes": len(content)}
            card_files.append(file | sums | {"url": self.server.link(file["name"])})
        downloads = {"accepted_licences": [], "mirrors": {}, "files": own or {}}
        supply = Supply(folder, card_files, downloads, seed=seed, splits=SPLITS)
        table = guitarset.fetch(folder, {"hours": n_recordings * RECORDING_H}, supply)
        tables.write(table, folder / "files.parquet", files.FILES)
        return table[table["left_out"] == ""]


@pytest.fixture
def released():
    with FileServer() as server:
        yield Released(server)


def build(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return manifest.build(
        "guitarset", "guitarset", folder / "files.parquet", {}, seed=0, splits=SPLITS, shards=2,
        max_rejected_share=0.0, min_clip_seconds=0.5,
    )  # fmt: skip


def names(drawn: pd.DataFrame) -> list[str]:
    return [Path(path).name.removesuffix("_mic.wav") for path in drawn["path"]]


def truth(folder: Path, drawn: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    row = drawn.iloc[names(drawn).index(name)]
    f0 = tables.read(folder / row["truth_f0_path"], tables.TRUTH_F0)
    return f0, tables.read(folder / row["truth_notes_path"], tables.TRUTH_NOTES)


def test_players_get_equal_hours_and_styles_take_turns(released, tmp_path):
    drawn = released.fetch(tmp_path, 18)
    assert len(drawn) == 18
    assert set(drawn["kind"]) == {"solo"}
    per_player = pd.Series(names(drawn)).str.extract(r"(?P<player>\d\d)_(?P<style>[A-Za-z]+)").groupby("player")
    assert list(per_player.size()) == [3] * 6
    assert list(per_player["style"].nunique()) == [3] * 6
    assert set(drawn["group"]) == {f"player_{player}" for player in archives.PLAYERS}
    assert set(drawn["instrument"]) == {"guitar"}


def test_the_seed_alone_says_which_and_more_hours_keep_those_that_fewer_had(released, tmp_path):
    drawn = {key: names(released.fetch(tmp_path / key, *how)) for key, how in
             {"first": (12, 0), "again": (12, 0), "other": (12, 1), "more": (20, 0)}.items()}  # fmt: skip
    assert drawn["again"] == drawn["first"]
    assert set(drawn["other"]) != set(drawn["first"])
    assert drawn["more"][:12] == drawn["first"]


def test_accompaniments_come_once_all_solos_are_drawn(released, tmp_path):
    assert set(released.fetch(tmp_path / "solos", N_SOLOS)["kind"]) == {"solo"}
    drawn = released.fetch(tmp_path, N_SOLOS + 6)
    assert list(drawn["kind"]) == ["solo"] * N_SOLOS + ["mix"] * 6
    assert [name[-4:] for name in names(drawn)] == ["solo"] * N_SOLOS + ["comp"] * 6
    assert drawn[drawn["kind"] == "mix"]["group"].nunique() == 6


def test_less_than_is_asked_for_is_noted_and_known_defects_are_left_out(released, tmp_path, capsys):
    drawn = released.fetch(tmp_path, 1000)
    assert set(names(drawn)) == set(archives.NAMES) - set(guitarset.DEFECTS)
    assert "[shortage] 0.166667 h are asked for, there are 0.01: all of it is taken" in capsys.readouterr().out
    used, rejected = build(tmp_path)
    assert len(used) == len(archives.NAMES) - 3
    assert not rejected["counts"].any()
    reasons = {Path(row.path).name: row.reason for row in rejected.itertuples()}
    assert reasons == {f"{name}_mic.wav": f"known defect: {reason}" for name, reason in guitarset.DEFECTS.items()}


def test_only_what_is_drawn_is_asked_for_and_only_once(released, tmp_path):
    drawn = released.fetch(tmp_path, 6)
    n_whole = sum(map(len, released.contents.values()))
    n_audio = sum(drawn["size_bytes"])
    assert released.server.n_sent < n_audio + 0.3 * n_whole  # two directories, seven annotations, some ends
    assert [path for path, _ in released.server.requests].count(f"/{guitarset.ANNOTATION}") <= 7 + 3
    assert list(drawn["size_bytes"]) == [(tmp_path / path).stat().st_size for path in drawn["path"]]
    assert all(asked is not None for asked in released.server.ranges)
    assert sorted(path.name for path in tmp_path.glob("audio/*")) == sorted(f"{name}_mic.wav" for name in names(drawn))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio", "files.parquet", "truth"]
    released.server.n_sent, before = 0, (tmp_path / "files.parquet").read_bytes()
    again = released.fetch(tmp_path, 6)
    assert released.server.n_sent < 0.3 * n_whole
    pd.testing.assert_frame_equal(again, drawn)
    assert (tmp_path / "files.parquet").read_bytes() == before


@pytest.mark.parametrize(("audio_folder", "annotation_folder"), [("audio_mono-mic/", "annotation/"), ("", "")])
def test_the_archives_may_have_a_topmost_folder(released, tmp_path, audio_folder, annotation_folder):
    released.contents = {
        guitarset.AUDIO: archives.audio(audio_folder),
        guitarset.ANNOTATION: archives.annotations(annotation_folder),
    }
    drawn = released.fetch(tmp_path, 6)
    assert (drawn["truth_f0_path"] != "").all()
    assert all(path.startswith("audio/0") for path in drawn["path"])


def test_f0_is_that_of_the_string_that_sounds_alone(released, tmp_path):
    """E2 from 0.05 to 0.25 s, A2 from 0.15 to 0.35 s, E4 from 0.45 to 0.55 s; contours rise by 20 cents."""
    drawn = released.fetch(tmp_path, 6)
    f0, notes = truth(tmp_path, drawn, names(drawn)[0])
    assert len(f0) == archives.LASTS_S / 0.005
    at = f0.set_index(f0["time_s"].round(3))
    assert list(at.loc[[0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.58], "n_sounding"]) == [0, 1, 2, 1, 0, 1, 0]
    assert at.loc[[0.02, 0.2, 0.4, 0.58], "f0_hz"].isna().all()
    for time_s, midi, share in ((0.1, 40.2, 0.25), (0.3, 47.0, 0.75), (0.5, 64.0, 0.5)):
        expected_hz = 440 * 2 ** ((midi + 0.2 * share - 69) / 12)
        assert 1200 * abs(np.log2(at.loc[time_s, "f0_hz"] / expected_hz)) < 1.5
    assert notes["onset_s"].tolist() == [0.05, 0.15, 0.45]
    assert np.allclose(notes["offset_s"], [0.25, 0.35, 0.55])
    assert np.allclose(notes["midi"], [40.2, 47.0, 64.0])
    assert list(notes["part"]) == ["E2", "A2", "E4"]


def test_a_string_whose_contour_breaks_off_sounds_as_long_as_its_note(released, tmp_path):
    """E2 has no contour; A2 has one of which nobody noted the note."""
    low, high = (0, 0.05, 0.2, 40.0), (1, 0.15, 0.2, 47.0)
    content = archives.jams(notes=(low,), contoured=(high,))
    released.contents[guitarset.ANNOTATION] = archives.annotations(changed=dict.fromkeys(archives.NAMES, content))
    drawn = released.fetch(tmp_path, 6)
    f0, _ = truth(tmp_path, drawn, names(drawn)[0])
    at = f0.set_index(f0["time_s"].round(3))
    assert list(at.loc[[0.02, 0.1, 0.2, 0.3, 0.4], "n_sounding"]) == [0, 1, 2, 1, 0]
    assert at.loc[[0.1, 0.2], "f0_hz"].isna().all()
    assert at.loc[0.3, "f0_hz"] == pytest.approx(440 * 2 ** ((47.15 - 69) / 12), rel=0.002)


@pytest.mark.parametrize("contoured", [None, ()])
def test_without_contours_f0_is_that_of_the_notes(released, tmp_path, contoured):
    content = archives.jams(contoured=contoured)
    released.contents[guitarset.ANNOTATION] = archives.annotations(changed=dict.fromkeys(archives.NAMES, content))
    drawn = released.fetch(tmp_path, 6)
    f0, _ = truth(tmp_path, drawn, names(drawn)[0])
    at = f0.set_index(f0["time_s"].round(3))
    assert at.loc[0.1, "f0_hz"] == pytest.approx(440 * 2 ** ((40.2 - 69) / 12))  # a fraction of a semitone is kept
    assert (at.loc[0.2, "n_sounding"], at.loc[0.4, "n_sounding"]) == (2, 0)


def test_a_recording_in_which_nothing_is_noted_is_silent(released, tmp_path):
    content = archives.jams(notes=(), contoured=())
    released.contents[guitarset.ANNOTATION] = archives.annotations(changed=dict.fromkeys(archives.NAMES, content))
    drawn = released.fetch(tmp_path, 6)
    f0, notes = truth(tmp_path, drawn, names(drawn)[0])
    assert (f0["n_sounding"] == 0).all() and len(f0) == archives.LASTS_S / 0.005
    assert notes.empty


def test_both_forms_of_jams_say_the_same_and_strings_may_be_numbers():
    dense, sparse = (jams.read(archives.jams(dense=dense), "a.jams") for dense in (True, False))
    numbered = json.loads(archives.jams())
    for entry in numbered["annotations"][:-1]:
        entry["annotation_metadata"]["data_source"] = int(entry["annotation_metadata"]["data_source"])
    assert list(jams.read(json.dumps(numbered).encode(), "a.jams").contours) == list("012345")
    assert list(dense.notes) == list(dense.contours) == list("012345")
    assert len(dense.contours["0"][0]) == 35
    assert list(dense.notes["2"].dtypes[:3]) == [np.float64] * 3  # of no note
    for string in "012345":
        assert np.array_equal(dense.contours[string], sparse.contours[string])
        pd.testing.assert_frame_equal(dense.notes[string], sparse.notes[string])


def test_unvoiced_points_of_a_contour_are_silent_and_points_are_sorted():
    content = json.loads(archives.jams())
    values = content["annotations"][0]["data"]["value"]
    values[3]["voiced"] = False
    for column in content["annotations"][0]["data"].values():
        column.reverse()
    time_s, f0_hz = jams.read(json.dumps(content).encode(), "a.jams").contours["0"]
    assert (np.diff(time_s) > 0).all()
    assert list(np.flatnonzero(f0_hz == 0)) == [3]


def test_no_player_is_in_two_splits(released, tmp_path):
    released.fetch(tmp_path, 24)
    used, _ = build(tmp_path)
    assert set(used["split"]) == set(SPLITS)
    assert (used.groupby("group")["split"].nunique() == 1).all()
    assert used.groupby("split")["group"].nunique().to_dict() == {"train": 4, "validation": 1, "test": 1}
    assert used["clip_id"].str.fullmatch(r"guitarset/0\d_[A-Za-z]+\d-\d+-[A-G][b#]?_solo").all()
    assert used["clip_id"].str.contains("#").any()
    assert (used["n_channels"] == 1).all()
    assert (used["sample_rate_hz"] == 44100).all()


def jams_without(is_out) -> bytes:
    content = json.loads(archives.jams())
    content["annotations"] = [
        entry
        for entry in content["annotations"]
        if not is_out(entry["namespace"], entry["annotation_metadata"]["data_source"])
    ]
    return json.dumps(content).encode()


def test_what_has_no_readable_annotation_is_used_without_truth(released, tmp_path, capsys):
    gone, damaged, short, uneven, noteless = names(released.fetch(tmp_path / "before", 6))[:5]
    changed = {
        gone: None,
        damaged: archives.jams()[:-9],
        short: jams_without(lambda namespace, string: string == "2"),
        uneven: jams_without(lambda namespace, string: (namespace, string) == ("pitch_contour", "2")),
        noteless: jams_without(lambda namespace, string: namespace == "note_midi"),
    }
    released.contents[guitarset.ANNOTATION] = archives.annotations(changed=changed)
    capsys.readouterr()
    drawn = released.fetch(tmp_path, 6)
    said = capsys.readouterr().out
    assert f"[no_truth] annotation.zip holds no {gone}.jams; the recording is used without truth" in said
    assert f"[no_truth] {damaged}.jams cannot be read as JAMS: " in said
    assert f"[no_truth] {short}.jams has notes of the strings ['0', '1', '3', '4', '5'], not of" in said
    assert f"[no_truth] {uneven}.jams has contours of the strings ['0', '1', '3', '4', '5'], not of" in said
    assert f"[no_truth] {noteless}.jams has notes of the strings [], not of" in said
    without = drawn[[name in changed for name in names(drawn)]]
    assert (without[["truth_f0_path", "truth_notes_path"]] == "").all(axis=None)
    assert (drawn["truth_f0_path"] == "").sum() == len(without) > 0
    used, rejected = build(tmp_path)
    assert len(used) == len(drawn)
    assert not rejected["counts"].any()


def test_an_archive_of_other_annotations_is_an_error(released, tmp_path):
    other = archives.annotations(changed=dict.fromkeys(archives.NAMES, b'{"annotations": []}'))
    released.contents[guitarset.ANNOTATION] = other
    with pytest.raises(ValueError, match=r"not one of 6 annotations .* can be read: 0.*jams .* lacks 'file_metadata'"):
        released.fetch(tmp_path, 6)
    assert not (tmp_path / "files.parquet").exists()


def test_a_broken_archive_is_no_damaged_annotation(released, tmp_path):
    content = released.contents[guitarset.ANNOTATION]
    half = len(content) // 2
    released.contents[guitarset.ANNOTATION] = content[:200] + bytes(half - 200) + content[half:]
    with pytest.raises(DownloadError, match=r"annotation\.zip"):
        released.fetch(tmp_path, 36)


@pytest.mark.parametrize("names_left", [(), tuple(guitarset.DEFECTS)])
def test_an_archive_without_usable_recordings_is_an_error(released, tmp_path, monkeypatch, names_left):
    monkeypatch.setattr(archives, "NAMES", names_left)
    released.contents[guitarset.AUDIO] = archives.audio() if names_left else archives.annotations()
    with pytest.raises(ValueError, match=r"audio_mono-mic\.zip holds no recording like 00_BN1-129-Eb_solo_mic\.wav"):
        released.fetch(tmp_path, 6)


def test_a_recording_that_is_there_twice_is_an_error(released, tmp_path):
    for folder in ("one", "two"):
        archives.extracted(archives.audio(), tmp_path / "own" / folder)
    with pytest.raises(ValueError, match=r"holds \['00_BN1-129-Eb_comp'.*several times"):
        released.fetch(tmp_path, 6, own={guitarset.AUDIO: str(tmp_path / "own")})


def test_extracted_folders_stand_in_and_are_left_as_they_are(released, tmp_path):
    own = {name: str(archives.extracted(released.contents[name], tmp_path / name[:5])) for name in released.contents}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    drawn = released.fetch(tmp_path / "out", 6, own=own)
    assert released.server.requests == []
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in drawn["path"])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (tmp_path / "out" / "audio").exists()
    linked = released.fetch(tmp_path / "linked", 6)
    assert names(linked) == names(drawn)
    assert list(linked["sha256"]) == list(drawn["sha256"])
    used, _ = build(tmp_path / "out")
    assert (used["truth_f0_path"] != "").all()
    assert set(used["clip_id"]) == {f"guitarset/{name}" for name in names(drawn)}


def test_a_recording_that_cannot_be_read_is_rejected_when_it_is_checked(released, tmp_path):
    own = {name: str(archives.extracted(released.contents[name], tmp_path / name[:5])) for name in released.contents}
    damaged = Path(released.fetch(tmp_path / "before", 6, own=own)["path"][0])
    damaged.write_bytes(b"This is not audio.")
    released.fetch(tmp_path / "out", 6, own=own)
    with pytest.raises(ValueError, match=rf"(?s)1 of 6 files cannot be used.*{damaged.name}: unreadable"):
        build(tmp_path / "out")


def test_local_archives_stand_in(released, tmp_path):
    for name, content in released.contents.items():
        (tmp_path / name).write_bytes(content)
    drawn = released.fetch(tmp_path / "out", 6, own={name: str(tmp_path / name) for name in released.contents})
    assert released.server.requests == []
    assert (drawn["truth_f0_path"] != "").all()


def test_paths_are_relative_to_the_datasets_folder(released, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = released.fetch(Path("resources/datasets/guitarset"), 6)
    assert all(path.startswith("audio/") for path in drawn["path"])


def changed_jams(change) -> bytes:
    content = json.loads(archives.jams())
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "cannot be read as JAMS: Expecting value"),
        (b"[]", "cannot be read as JAMS: list indices"),
        (b"\xff\xfe", "cannot be read as JAMS: "),
        (changed_jams(lambda it: it.pop("annotations")), "it lacks 'annotations'"),
        (changed_jams(lambda it: it["file_metadata"].update(duration=0)), "its duration is 0 s"),
        (changed_jams(lambda it: it["file_metadata"].update(duration=None)), "cannot be read as JAMS"),
        (changed_jams(lambda it: it["file_metadata"].update(duration=float("inf"))), "its duration is inf s"),
        (changed_jams(lambda it: it["annotations"][0]["data"]["time"].pop()), r"zip\(\) argument 2 is longer"),
        (changed_jams(lambda it: it["annotations"][0]["data"]["value"][0].pop("voiced")), "it lacks 'voiced'"),
        (changed_jams(lambda it: it["annotations"][0]["data"]["time"].__setitem__(0, float("nan"))), "no finite time"),
        (changed_jams(lambda it: it["annotations"][0]["data"]["value"][1].update(frequency=float("inf"))), "no finite"),
        (changed_jams(lambda it: it["annotations"][1]["data"][0].update(value=float("inf"))), "a note of string 0"),
        (
            changed_jams(lambda it: it["annotations"][1]["annotation_metadata"].update(data_source="1")),
            "several note_midi",
        ),
    ],
)
def test_a_damaged_annotation_is_named(content, expected):
    with pytest.raises(ValueError, match=rf"^a\.jams .*{expected}"):
        jams.read(content, "a.jams")
