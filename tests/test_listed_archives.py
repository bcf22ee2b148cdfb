"""Groove MIDI and MAESTRO from small archives behind a real server: what is drawn, asked for, left out; truth."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import listed_archives as archives
from file_server import FileServer
from sonolens import experiment, plugins, tables
from sonolens.datasets import files, manifest
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.supply import Supply
from workflow_project import ROOT

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
ARCHIVE = {"groove": archives.GROOVE, "maestro": archives.MAESTRO}


@pytest.fixture
def server():
    with FileServer() as running:
        yield running


def fetch(server, folder, name: str, content: bytes, seconds: float, seed=0, own=None, **more) -> pd.DataFrame:
    server.files[f"/{ARCHIVE[name]}"] = content
    (file,) = plugins.card("datasets", name)["files"]
    sums = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    card_files = [file | sums | {"url": server.link(file["name"])}]
    supply = Supply(folder, card_files, {"mirrors": {}, "files": own or {}}, seed=seed, splits=SPLITS)
    options = {"hours": seconds / 3600} | more
    experiment.check(options, plugins.card("datasets", name)["options"])
    table = plugins.load("datasets", name).fetch(folder, options, supply)
    tables.write(table, folder / "files.parquet", files.FILES)
    return table


def build(folder: Path, name: str, **more) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = {"seed": 0, "splits": SPLITS, "shards": 2, "max_rejected_share": 0.0, "min_clip_seconds": 0.5} | more
    return manifest.build(name, name, folder / "files.parquet", {}, **settings)


def used(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["left_out"] == ""]


def test_groove_keeps_sessions_whole_and_the_official_split(server, tmp_path):
    table = fetch(server, tmp_path, "groove", archives.groove(), 24)
    drawn, rejected = build(tmp_path, "groove")
    official = {beat.midi_filename[:-4]: beat.split for beat in archives.beats()}
    assert [official[clip.removeprefix("groove/")] for clip in drawn["clip_id"]] == drawn["split"].tolist()
    assert (drawn.groupby("group")["split"].nunique() == 1).all() and set(drawn["split"]) == set(SPLITS)
    assert [clip.removeprefix("groove/").rpartition("/")[0] for clip in drawn["clip_id"]] == drawn["group"].tolist()
    assert set(drawn["kind"]) == {"drums"} and (drawn["truth_f0_path"] == "").all()
    assert drawn["duration_s"].tolist() == pytest.approx([1.0] * len(drawn))  # of the recording, not of the MIDI
    assert not rejected["counts"].any()
    reasons = rejected["reason"].str.replace(r"drummer\d/\w+", "S", regex=True).value_counts()
    assert reasons["no audio was released"] == 10
    assert set(reasons.index) - {"no audio was released"} <= {
        f"its group lies in two official splits: S is used in the {split} split" for split in SPLITS
    }
    assert len(used(table)) == len(drawn)


def test_groove_spreads_hours_over_drummers(server, tmp_path):
    table = fetch(server, tmp_path, "groove", archives.groove(), 20, split="drawn")
    assert set(table["split"][table["left_out"] == ""]) == {""}
    drummers = used(table)["group"].str.partition("/")[0]
    assert drummers.value_counts().tolist() == pytest.approx([len(drummers) / 5] * 5, abs=1)
    drawn, _ = build(tmp_path, "groove")
    assert (drawn.groupby("group")["split"].nunique() == 1).all() and set(drawn["split"]) == set(SPLITS)


@pytest.mark.parametrize("name", ARCHIVE)
def test_the_seed_says_which_and_what_is_there_is_not_asked_for_again(server, tmp_path, name):
    content = getattr(archives, name)()
    first = list(used(fetch(server, tmp_path, name, content, 12))["path"])
    n_asked = sum(_size(asked, len(content)) for asked in server.ranges)
    assert n_asked < sum((tmp_path / path).stat().st_size for path in first) + 250_000 < len(content)
    before = len(server.ranges)
    assert list(used(fetch(server, tmp_path, name, content, 12))["path"]) == first
    assert sum(_size(asked, len(content)) for asked in server.ranges[before:]) < 150_000
    other = [list(used(fetch(server, tmp_path / str(seed), name, content, 12, seed=seed))["path"]) for seed in (1, 2)]
    assert first not in other


def _size(asked: str, n_bytes: int) -> int:
    first, _, last = asked.removeprefix("bytes=").partition("-")
    return min(int(last), n_bytes) if not first else int(last) - int(first) + 1


def test_maestro_has_stereo_recordings_of_both_rates_and_truth_with_the_pedal(server, tmp_path):
    fetch(server, tmp_path, "maestro", archives.maestro(), 20)
    drawn, rejected = build(tmp_path, "maestro")
    assert set(drawn["kind"]) == {"mix"} and set(drawn["instrument"]) == {"piano"}
    assert rejected.empty and set(drawn["n_channels"]) == {2} and set(drawn["sample_rate_hz"]) == {44100, 48000}
    official = {f"maestro/{piece.stem}": piece for piece in archives.pieces()}
    assert [official[clip].split for clip in drawn["clip_id"]] == drawn["split"].tolist()
    assert drawn["group"].str.contains("Frédéric Chopin: Sonata, Op. ", regex=False).any()
    row = drawn.iloc[0]
    shift = official[row["clip_id"]].number % 12
    notes = tables.read(row["truth_notes_path"], tables.TRUTH_NOTES)
    assert notes["midi"].tolist() == [60 + shift, 64 + shift, 67 + shift, 72 + shift]
    assert notes["offset_s"].tolist() == pytest.approx([0.3, 0.7, 0.9, 1.7], abs=0.005)  # the last one by the pedal
    f0 = tables.read(row["truth_f0_path"], tables.TRUTH_F0).set_index("time_s")
    near = f0.index.to_numpy()
    n_at = {
        time_s: f0["n_sounding"].iloc[np.abs(near - time_s).argmin()] for time_s in (0.1, 0.4, 0.55, 0.65, 0.8, 1.6)
    }
    assert list(n_at.values()) == [1, 0, 1, 2, 1, 1]
    at_the_end = f0["f0_hz"].iloc[np.abs(near - 1.6).argmin()]
    assert at_the_end == pytest.approx(440 * 2 ** ((72 + shift - 69) / 12), rel=1e-5)


def test_a_composition_that_the_split_tears_apart_stays_in_one(server, tmp_path):
    pieces = archives.pieces()
    pieces[0] = pieces[0]._replace(title=pieces[-1].title, composer=pieces[-1].composer)
    fetch(server, tmp_path, "maestro", archives.maestro(pieces), 100)
    drawn, rejected = build(tmp_path, "maestro")
    assert (drawn.groupby("group")["split"].nunique() == 1).all() and len(rejected) == 1


def test_maestro_without_its_midi_is_used_without_truth(server, tmp_path, capsys):
    stem = archives.pieces()[0].stem
    content = archives.maestro(more={f"{archives.TOP}/{stem}.midi": b"MThd broken"})
    table = fetch(server, tmp_path, "maestro", content, 100)
    assert (
        used(table)["truth_f0_path"] == ""
    ).sum() == 1 and f"{stem}.midi cannot be read as MIDI" in capsys.readouterr().out


def test_a_recording_without_sound_is_rejected(server, tmp_path):
    beats = [beat._replace(damage="empty" if beat.number == 1 else "") for beat in archives.beats()]
    fetch(server, tmp_path, "groove", archives.groove(beats), 200, split="drawn")
    _, rejected = build(tmp_path, "groove", max_rejected_share=0.5)
    bad = rejected[rejected["counts"]]
    assert len(bad) == 11 and set(bad["reason"]) == {"empty: no samples"}


def test_another_list_is_an_error_that_names_it(server, tmp_path):
    with pytest.raises(ValueError, match=r"groove/info.csv has no column \['session'\]; its columns are"):
        fetch(server, tmp_path, "groove", archives.groove(drop=("session",)), 10)
    beats = [archives.Beat(1, "session1", 1, "dev")]
    with pytest.raises(ValueError, match=r"groove/info.csv: the split \['dev'\] is none of"):
        fetch(server, tmp_path, "groove", archives.groove(beats), 10)
    beats = [archives.Beat(1, "session1", number, "train") for number in (1, 2)]
    content = archives.groove([beats[0], beats[1]._replace(lasts_s=np.nan)])
    with pytest.raises(ValueError, match=r"groove/info.csv: the duration in line 3 is no number: ''"):
        fetch(server, tmp_path, "groove", content, 10)
    with pytest.raises(DownloadError, match=r"has no groove/info\.csv"):
        fetch(server, tmp_path, "groove", archives.zipped({"other.csv": b"a,b"}), 10)


def test_a_recording_that_is_not_in_the_archive_is_left_out(server, tmp_path):
    content = archives.groove()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if "session1/1_" not in name}
    table = fetch(server, tmp_path, "groove", archives.zipped(contents), 60, split="drawn")
    reasons = table["left_out"][table["left_out"].str.startswith("the archive holds no groove/drummer")]
    assert len(reasons) == 5


def test_the_folder_that_it_was_unpacked_to_stands_in(server, tmp_path):
    zipfile.ZipFile(io.BytesIO(archives.groove())).extractall(tmp_path / "mine")
    table = fetch(server, tmp_path / "new", "groove", archives.groove(), 10, own={archives.GROOVE: f"{tmp_path}/mine"})
    assert all(path.startswith(f"{tmp_path}/mine/groove/drummer") for path in used(table)["path"])
    assert not server.requests and not list((tmp_path / "new").rglob("*.wav"))
    drawn, _ = build(tmp_path / "new", "groove")
    assert drawn["clip_id"].str.fullmatch(r"groove/drummer\d/\w+/[^/]+").all()


def test_the_licence_of_maestro_has_to_be_accepted():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["downloads"]["accepted_licences"] = ["stability-ai-community", "cc-by-nc-4.0"]
    with pytest.raises(experiment.ConfigError, match=r"maestro: maestro-v3.0.0.zip is under the .*ShareAlike"):
        experiment.resolve(config, ROOT / "rules" / "config.schema.yaml")
