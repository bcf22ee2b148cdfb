"""CocoChorales from small archives behind a real server: what is read, balance, splits, truth, kills."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import cocochorales_archives as archives
from file_server import FileServer
from sonolens import plugins, tables
from sonolens.datasets import cocochorales, cocochorales_voices, files, manifest
from sonolens.downloads import tries
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.supply import Supply

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
BASE = "cocochorales_full_v1_zipped/"
N_TRACKS = {"train": 8, "valid": 4, "test": 4}


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    monkeypatch.setattr(tries.time, "sleep", lambda seconds: None)


class Released:
    """All 120 archives by name; the content of one is made when it is asked for."""

    def __init__(self, server: FileServer):
        self.server, self.changed = server, {}
        self.of = {
            (split, number): archives.tracks(
                split, number, n_tracks, first_stem=number % 2, stems_midi=("stems_MIDI", "stems_midi")[number % 2]
            )
            for split, n_tracks in N_TRACKS.items()
            for number in range(1, archives.N_ARCHIVES[split] + 1)
        }

    def fetch(self, folder: Path, n_tracks: float, seed: int = 0, own: dict | None = None, **more) -> pd.DataFrame:
        drawn = {}
        for split in self.of_splits(more):
            for ensemble, number in cocochorales._order(split, seed):
                if [name for name, _ in drawn].count((split, ensemble)) < 2:
                    drawn[(split, ensemble), number] = self.of[split, number]
        contents = archives.released({(name[0], number): of for (name, number), of in drawn.items()}) | self.changed
        if "cocochorales_md5s.txt" not in self.changed:
            del contents["cocochorales_md5s.txt"]
            contents["cocochorales_md5s.txt"] = archives.sums(contents)
        self.server.files = {f"/{BASE}{name}": content for name, content in contents.items()}
        link = self.server.link(BASE)
        card_files = [
            file | {"url": link + file["url"].partition(BASE)[2]}
            for file in plugins.card("datasets", "cocochorales")["files"]
        ]
        downloads = {"mirrors": {}, "files": {}} | (own or {})
        options = {"hours": n_tracks / 3600, "parts": "mixes", "split": "official", "truth": "f0"} | more
        table = cocochorales.fetch(folder, options, Supply(folder, card_files, downloads, seed=seed, splits=SPLITS))
        tables.write(table, folder / "files.parquet", files.FILES)
        return table[table["left_out"] == ""]

    def of_splits(self, more: dict) -> list[str]:
        return ["valid"] if more.get("split") == "drawn" else list(N_TRACKS)


@pytest.fixture
def released():
    with FileServer() as server:
        yield Released(server)


def build(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return manifest.build(
        "cocochorales", "cocochorales", folder / "files.parquet", {}, seed=0, splits=SPLITS, shards=2,
        max_rejected_share=0.0, min_clip_seconds=0.5,
    )  # fmt: skip


def truth_of(folder: Path, row) -> tuple[pd.DataFrame, pd.DataFrame]:
    f0 = tables.read(folder / row.truth_f0_path, tables.TRUTH_F0)
    return f0, tables.read(folder / row.truth_notes_path, tables.TRUTH_NOTES)


def test_ensembles_and_official_splits_get_their_shares(released, tmp_path):
    drawn = released.fetch(tmp_path, 40)
    assert set(drawn["kind"]) == {"mix"}
    counted = drawn.groupby(["split", "instrument"]).size().unstack()
    assert list(counted.columns) == sorted(archives.INSTRUMENTS)
    assert (counted.loc["train"] == 8).all() and (counted.loc[["test", "validation"]] == 1).all().all()
    used, rejected = build(tmp_path)
    assert used["split"].value_counts().to_dict() == {"train": 32, "test": 4, "validation": 4} and rejected.empty
    assert (used.groupby("group")["split"].nunique() == 1).all()
    assert (used["sample_rate_hz"] == 16000).all()


def test_the_seed_says_which_archives_and_more_hours_keep_the_tracks(released, tmp_path):
    first = set(released.fetch(tmp_path / "first", 16)["path"])
    assert set(released.fetch(tmp_path / "again", 16)["path"]) == first
    assert first < set(released.fetch(tmp_path / "more", 30)["path"])
    assert set(released.fetch(tmp_path / "other", 16, seed=1)["path"]) != first


def test_what_was_taken_is_not_asked_for_again(released, tmp_path):
    first = released.fetch(tmp_path, 16)
    del released.server.requests[:]
    again = released.fetch(tmp_path, 16)
    assert list(again["path"]) == list(first["path"])
    # a bounded look at each archive's end, and nothing of its content
    assert all(asked is None or asked[6] == "-" for asked in released.server.ranges)
    assert not [path for path, _ in released.server.requests if "/f0/" in path]
    del released.server.requests[:]
    more = released.fetch(tmp_path, 24)
    assert set(first["path"]) < set(more["path"])
    for name, tracks in (("first", first), ("more", more)):
        assert all((tmp_path / path).is_file() for path in tracks["path"]), name


def test_a_changed_recording_is_fetched_again(released, tmp_path):
    drawn = released.fetch(tmp_path, 8)
    path = tmp_path / drawn["path"].iloc[0]
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    assert list(released.fetch(tmp_path, 8)["path"]) == list(drawn["path"])
    assert path.read_bytes() == content


def test_other_parts_of_tracks_are_read_anew(released, tmp_path):
    assert set(released.fetch(tmp_path, 8)["kind"]) == {"mix"}
    stems = released.fetch(tmp_path, 8, parts="stems")
    assert set(stems["kind"]) == {"solo"} and stems["path"].str.fullmatch(r"audio/\w+/\d_[\w ]+\.wav").all()


@pytest.mark.parametrize("truth", ["f0", "notes"])
def test_truth_of_stems_and_mixes(released, tmp_path, truth):
    drawn = released.fetch(tmp_path, 60, parts="both", truth=truth)
    solos = drawn[drawn["kind"] == "solo"]
    assert set(solos["instrument"]) == {name for names in archives.INSTRUMENTS.values() for name in names}
    cents = 0.1 if truth == "f0" else 0.0
    for row in solos.groupby("instrument").head(1).itertuples():
        f0, notes = truth_of(tmp_path, row)
        assert set(notes["part"]) == {row.instrument}
        sounding = f0[f0["n_sounding"] == 1]
        row_of = np.searchsorted(notes["onset_s"], sounding["time_s"] + 0.002) - 1
        is_within = sounding["time_s"].to_numpy() - notes["onset_s"].to_numpy()[row_of] > 0.005  # of a note, surely
        midi = 69 + 12 * np.log2(sounding["f0_hz"].to_numpy()[is_within] / 440)
        assert midi == pytest.approx(notes["midi"].to_numpy()[row_of][is_within] + cents, abs=1e-3)
        assert len(sounding) == pytest.approx((notes["offset_s"] - notes["onset_s"]).sum() * 200, abs=6)
    mix = drawn[drawn["kind"] == "mix"].iloc[0]
    f0, notes = truth_of(tmp_path, mix)
    assert len(notes) == 8
    at = dict(zip(f0["time_s"].round(3), f0["n_sounding"], strict=True))
    assert [at[time_s] for time_s in (0.05, 0.15, 0.25, 0.35, 0.65, 0.9)] == [1, 2, 3, 4, 0, 4]
    alone = f0[f0["n_sounding"] == 1]["f0_hz"]
    assert alone.to_numpy() == pytest.approx(440 * 2 ** ((67 + cents - 69) / 12), rel=1e-4)
    assert f0.loc[f0["n_sounding"] != 1, "f0_hz"].isna().all()


def test_a_source_is_in_one_split_and_its_other_tracks_are_replaced(released, tmp_path):
    ensemble, number = next(cocochorales._order("test", 0))
    source = released.of["test", number][0].midi_file
    train = next(number for name, number in cocochorales._order("train", 0) if name == ensemble)
    released.of["train", train][2] = released.of["train", train][2]._replace(midi_file=source)
    drawn = released.fetch(tmp_path, 30)
    listed = tables.read(tmp_path / "files.parquet", files.FILES)
    (left_out,) = listed[listed["left_out"] != ""].itertuples()
    assert released.of["train", train][2].name in left_out.path
    assert left_out.left_out == f"its group lies in two official splits: {source} is used in the test split"
    assert drawn.groupby(["split", "instrument"]).size()["train", ensemble] == 6
    used, rejected = build(tmp_path)
    assert (used.groupby("group")["split"].nunique() == 1).all() and len(rejected) == 1


def test_a_track_without_its_mix_is_told_of(released, tmp_path):
    _, number = next(cocochorales._order("train", 0))
    released.of["train", number][1] = released.of["train", number][1]._replace(has_mix=False)
    assert len(released.fetch(tmp_path, 30)) == 32
    _, rejected = build(tmp_path)
    assert rejected["reason"].tolist() == ["the archive has no recording of it"] and not rejected["counts"].any()


def test_archives_in_another_order_are_balanced_by_what_is_found(released, tmp_path, capsys):
    for split in N_TRACKS:
        first = [number for number in range(1, archives.N_ARCHIVES[split] + 1)]
        of = {number: released.of[split, number] for number in first}
        for number in first:
            released.of[split, number] = of[first[-number]]
    drawn = released.fetch(tmp_path, 40)
    assert "where tracks of string ensembles were expected" in capsys.readouterr().out
    counted = drawn.groupby(["split", "instrument"]).size().unstack()
    assert (counted.loc["train"] == 8).all()


def test_an_archive_is_left_as_soon_as_there_is_enough(released, tmp_path):
    big = {key: [track._replace(lasts_s=12.0) for track in of] for key, of in released.of.items()}
    released.of = {key: of if key[0] != "train" else big[key] for key, of in released.of.items()}
    _, number = next(cocochorales._order("train", 0))
    before = len(released.server.requests)
    released.fetch(tmp_path, 8)  # 1.6 s of each ensemble to train on: one track
    asked = [
        (path, headers)
        for path, headers in released.server.requests[before:]
        if f"main_dataset/train/{number}." in path
    ]
    assert len(asked) == 2  # its end, and the rest from the beginning
    marks = [path.read_text() for path in tmp_path.glob(".marks/*.json")]
    assert len(marks) == 12


class Malicious:
    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_a_pickle_that_does_something_is_refused(released, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, number = next(cocochorales._order("test", 0))
    track = released.of["test", number][0]
    content = archives.packed({f"{track.name}.pickle": pickle.dumps(Malicious())})
    released.changed[f"f0/test/{number}.tar.bz2"] = content
    with pytest.raises(ValueError, match=rf"{track.name}.pickle in .*asks for posix.system"):
        released.fetch(tmp_path, 8)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(protocol):
    from sonolens.datasets import cocochorales_f0

    track = archives.tracks("test", 1, 1)[0]
    content = pickle.dumps(archives.f0_of(track) | {"length": np.float32(3)}, protocol=protocol)
    content = content.replace(b"numpy._core.", b"numpy.core.") if protocol < 4 else content  # as numpy 1 wrote them
    voices = cocochorales_f0._unpickled(content, "x")
    assert set(voices) == {"0", "1", "2", "3", "length"}
    assert voices["0"].tolist() == archives.f0_of(track)[0].ravel().tolist()


def test_f0_with_another_checksum_is_not_opened(released, tmp_path):
    _, number = next(cocochorales._order("test", 0))
    name = f"f0/test/{number}.tar.bz2"
    contents = archives.released({("test", number): released.of["test", number]})
    released.fetch(tmp_path / "right", 4)
    sums = released.server.files[f"/{BASE}cocochorales_md5s.txt"]
    released.changed = {name: contents[name] + b" ", "cocochorales_md5s.txt": sums}
    with pytest.raises(DownloadError, match="md5"):
        released.fetch(tmp_path / "wrong", 4)


def test_a_list_without_the_archive_says_so(released, tmp_path):
    released.changed["cocochorales_md5s.txt"] = b"0" * 32 + b"  ./main_dataset/train/97.tar.bz2\n"
    with pytest.raises(ValueError, match=r"cocochorales_md5s.txt has no checksum of main_dataset/test/\d+.tar.bz2"):
        released.fetch(tmp_path, 4)


def test_splits_that_are_drawn_take_one_splits_archives(released, tmp_path):
    drawn = released.fetch(tmp_path, 16, split="drawn")
    assert set(drawn["split"]) == {""} and len(drawn) == 16
    used, _ = build(tmp_path)
    assert set(used["split"]) == set(SPLITS) and (used.groupby("group")["split"].nunique() == 1).all()


def first_train_archive(released) -> int:
    return next(number for _, number in cocochorales._order("train", 0))


def changed_archive(released, number: int, change) -> None:
    """Another content for some files of the first track of an archive to train on."""
    of = released.of["train", number]
    contents = {name: content for track in of for name, content in archives.files_of(track).items()}
    released.changed[f"main_dataset/train/{number}.tar.bz2"] = archives.packed_as_released(contents | change(of[0]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda track: {f"{track.name}/mix.wav": b"RIFF no sound"}, "mix.wav: unreadable"),
        (lambda track: {f"{track.name}/mix.wav": b""}, "mix.wav: empty file"),
        (lambda track: {f"{track.name}/metadata.yaml": b"tempo: 90"}, "does not say which MIDI file"),
        (lambda track: {f"{track.name}/metadata.yaml": b"{: no yaml"}, "does not say which MIDI file"),
        (lambda track: {f"{track.name}/{track.stems_midi}/{track.scores[0]}.mid": b"MThd"}, "cannot be read as MIDI"),
    ],
)
def test_a_damaged_track_is_left_out_with_the_reason_and_replaced(released, tmp_path, change, reason):
    number = first_train_archive(released)
    changed_archive(released, number, change)
    drawn = released.fetch(tmp_path, 16)
    listed = tables.read(tmp_path / "files.parquet", files.FILES)
    (left_out,) = listed[listed["left_out"] != ""].itertuples()
    assert released.of["train", number][0].name in left_out.path and reason in left_out.left_out
    assert drawn[drawn["split"] == "train"].groupby("instrument").size().tolist() == [4] * 4  # as without damage
    assert (drawn.groupby("group")["split"].nunique() == 1).all() and (drawn["group"] != "").all()


def test_truth_of_f0_is_not_taken_for_truth_of_notes(released, tmp_path):
    by_f0 = released.fetch(tmp_path, 8)
    by_notes = released.fetch(tmp_path, 8, truth="notes")
    assert list(by_f0["path"]) == list(by_notes["path"])
    for kind, drawn in ((67.1, by_f0), (67.0, by_notes)):
        f0, _ = truth_of(tmp_path, next(drawn.itertuples()))
        alone = f0[f0["n_sounding"] == 1]["f0_hz"].to_numpy()
        assert 69 + 12 * np.log2(alone / 440) == pytest.approx(np.full(len(alone), kind), abs=1e-3)


def test_a_rest_is_no_low_note(released, tmp_path):
    """Where a voice rests its f0 is near MIDI note 0, not 0 Hz."""
    f0, _ = truth_of(tmp_path, next(released.fetch(tmp_path, 8).itertuples()))
    assert np.nanmin(f0["f0_hz"]) > 100
    assert (f0["n_sounding"][(f0["time_s"] > 0.61) & (f0["time_s"] < 0.69)] == 0).all()


def test_a_track_of_another_split_is_an_error(released, tmp_path):
    number = first_train_archive(released)
    track = released.of["train", number][0]
    released.of["train", number][0] = track._replace(name=f"{track.ensemble}_track220001")
    with pytest.raises(ValueError, match=r"_track220001 in main_dataset/train/\d+.tar.bz2 is of the test split"):
        released.fetch(tmp_path, 8)


def test_other_formats_are_told_of(released, tmp_path, capsys):
    number = first_train_archive(released)

    def stereo(track):
        content = io.BytesIO()
        soundfile.write(content, np.full((48000, 2), 0.1), 48000, "PCM_16", format="WAV")
        return {f"{track.name}/mix.wav": content.getvalue()}

    changed_archive(released, number, stereo)
    drawn = released.fetch(tmp_path, 8)
    assert "1 tracks are not 16 kHz mono" in capsys.readouterr().out
    assert any(released.of["train", number][0].name in path for path in drawn["path"])


@pytest.mark.parametrize(
    ("stems", "keys", "expected"),
    [
        (["1_violin", "2_viola"], [0, 1], {"1_violin": 0, "2_viola": 1}),
        (["0_violin", "1_viola"], [0, 1], {"0_violin": 0, "1_viola": 1}),
        (["1_violin", "2_viola"], ["2_viola", "1_violin"], {"1_violin": "1_violin", "2_viola": "2_viola"}),
        (["1_violin", "2_violin", "3_cello"], ["cello", "violin"], {"3_cello": "cello"}),
        (["1_violin", "2_viola"], ["soprano", "alto"], {}),
        (["1_violin", "2_viola"], [0, 1, 2], {}),
        ([f"{number}_horn" for number in range(1, 12)], range(11), {f"{n + 1}_horn": n for n in range(11)}),
    ],
)
def test_voices_are_paired_by_place_or_name_or_not_at_all(stems, keys, expected):
    assert cocochorales_voices.paired(stems, keys) == expected
