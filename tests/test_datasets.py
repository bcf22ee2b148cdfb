"""Folders of audio as datasets: what is used, what is rejected, how it is split."""

import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens import audio, plugins, tables
from sonolens.datasets import files, folder, manifest
from sonolens.datasets.splits import draw_splits

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
BUILD = {"seed": 0, "splits": SHARES, "shards": 4, "max_rejected_share": 0.05, "min_clip_seconds": 0.5}


def options(path: Path, **given_options) -> dict:
    """Options of the folder dataset as a rule hands them over: the card's defaults filled in."""
    properties = plugins.card("datasets", "folder")["options"]["properties"]
    defaults = {name: entry["default"] for name, entry in properties.items() if "default" in entry}
    return defaults | {"path": str(path)} | given_options


def tone(path: Path, duration_s: float = 1.0, sample_rate_hz: int = 16000, n_channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    soundfile.write(path, np.tile(0.3 * np.sin(2 * np.pi * 440 * time_s)[:, None], n_channels), sample_rate_hz)


def run(tmp_path: Path, folder_options: dict, **changed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """fetch_dataset and index_dataset; what they write is read back."""
    files_path, used_path, rejected_path = (
        tmp_path / "out" / f"{name}.parquet" for name in ("files", "used", "rejected")
    )
    files.fetch("folder", files_path, folder_options, files.Making(seed=0, n_workers=1))
    used, rejected = manifest.build("folder", "mine", files_path, folder_options, **(BUILD | changed))
    manifest.write(used, rejected, used_path, rejected_path)
    return tables.read(used_path, tables.MANIFEST), tables.read(rejected_path, tables.REJECTED)


@pytest.fixture
def recordings(tmp_path) -> Path:
    """Four players with five recordings each."""
    for player in "abcd":
        for take in range(5):
            tone(tmp_path / "audio" / player / f"take {take}.wav")
    return tmp_path / "audio"


def test_what_can_be_used_is_used_and_the_rest_is_named(tmp_path):
    """The folder of the issue, file by file."""
    root = tmp_path / "audio"
    root.mkdir()
    (root / "text.wav").write_text("This is not audio.")
    (root / "empty.wav").touch()
    soundfile.write(root / "silence.wav", np.zeros(16000), 16000)
    soundfile.write(root / "nan.wav", np.append(np.full(16000, 0.1), np.nan), 16000, subtype="FLOAT")
    tone(root / "low_rate.wav", sample_rate_hz=8000)
    tone(root / "high_rate.wav", sample_rate_hz=96000, n_channels=2)
    tone(root / "blink.wav", duration_s=0.2)
    tone(root / "Élégie für Flöte.wav", duration_s=2)

    used, rejected = run(tmp_path, options(root), max_rejected_share=0.7)

    reason = {Path(row.path).name: row.reason for row in rejected.itertuples()}
    assert set(reason) == {"text.wav", "empty.wav", "silence.wav", "nan.wav", "blink.wav"}
    assert reason["text.wav"].startswith("unreadable: ")
    assert reason["empty.wav"] == "empty file"
    assert reason["silence.wav"] == "silent: peak below -80 dBFS"
    assert reason["nan.wav"] == "non-finite samples (NaN or infinity)"
    assert reason["blink.wav"] == "too short: 0.2 s, at least 0.5 s are needed"
    used = used.set_index("clip_id")
    assert list(used.index) == ["mine/high_rate", "mine/low_rate", "mine/Élégie für Flöte"]
    assert used.loc["mine/low_rate", ["sample_rate_hz", "n_channels", "duration_s"]].tolist() == [8000, 1, 1.0]
    assert used.loc["mine/high_rate", ["sample_rate_hz", "n_channels", "duration_s"]].tolist() == [96000, 2, 1.0]
    assert used.loc["mine/Élégie für Flöte", ["sample_rate_hz", "duration_s"]].tolist() == [16000, 2.0]
    assert set(used["split"]) == set(SHARES)
    assert (used["kind"] == "unknown").all()
    for path in used["path"]:
        assert audio.load(path, 24000, 1).shape[0] == 1


def test_too_many_rejected_files_are_an_error_that_names_them(tmp_path, recordings):
    (recordings / "text.wav").write_text("This is not audio.")
    used, rejected = run(tmp_path, options(recordings))  # 1 of 21 is under 5 %
    assert (len(used), len(rejected)) == (20, 1)
    (recordings / "empty.wav").touch()  # 2 of 22 are more
    with pytest.raises(
        ValueError, match=r"(?s)2 of 22 files.*max_rejected_share.*empty\.wav: empty file.*text\.wav: unr"
    ):
        run(tmp_path, options(recordings))


def test_a_folder_without_a_usable_file_is_an_error_whatever_is_accepted(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "empty.wav").touch()
    with pytest.raises(ValueError, match="1 of 1 files cannot be used"):
        run(tmp_path, options(tmp_path / "audio"), max_rejected_share=1.0)


def test_a_missing_path_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'; correct `path`"):
        run(tmp_path, options(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        run(tmp_path, options(tmp_path / "file"))
    assert not (tmp_path / "out").exists()


def test_a_pattern_that_matches_nothing_says_so(tmp_path, recordings):
    with pytest.raises(ValueError, match=r"no file in .* matches \['\*\.mp3'\]"):
        run(tmp_path, options(recordings, pattern=["*.mp3"]))


def test_patterns_choose_files(tmp_path, recordings):
    used, _ = run(tmp_path, options(recordings, pattern=["a/*.wav", "**/take 1.wav", "**/take 1.wav"]))
    names = sorted(Path(path).relative_to(recordings).as_posix() for path in used["path"])
    assert names == [*(f"a/take {take}.wav" for take in range(5)), *(f"{player}/take 1.wav" for player in "bcd")]


def test_by_parent_recordings_of_a_folder_stay_together(tmp_path, recordings):
    used, _ = run(tmp_path, options(recordings, split_by="parent"))
    assert sorted(set(used["group"])) == ["a", "b", "c", "d"]
    assert (used.groupby("group")["split"].nunique() == 1).all()
    assert set(used["split"]) == set(SHARES)


def table(recordings: Path, **columns) -> str:
    """A CSV beside the recordings: a row for each, columns as functions of the path."""
    paths = sorted(path.relative_to(recordings).as_posix() for path in recordings.rglob("*.wav"))
    rows = {name: [column(path) for path in paths] for name, column in columns.items()}
    path = recordings.parent / "table.csv"
    pd.DataFrame({"path": paths} | rows).to_csv(path, index=False)
    return str(path)


def test_by_a_column_rows_with_equal_values_stay_together(tmp_path, recordings):
    csv = table(recordings, take=lambda path: path[-5], instrument=lambda path: f"violin {path[0]}")
    used, _ = run(tmp_path, options(recordings, split_by="take", table=csv))
    assert sorted(set(used["group"])) == list("01234")
    assert (used.groupby("group")["split"].nunique() == 1).all()
    assert set(used["instrument"]) == {f"violin {player}" for player in "abcd"}


def test_a_column_of_splits_is_kept(tmp_path, recordings):
    split_of = {"a": "train", "b": "train", "c": "validation", "d": "test"}
    csv = table(recordings, split=lambda path: split_of[path[0]], kind=lambda path: "solo")
    used, _ = run(tmp_path, options(recordings, table=csv))
    assert all(split_of[Path(row.path).parent.name] == row.split for row in used.itertuples())
    assert set(used["kind"]) == {"solo"}


def test_prescribed_splits_are_checked(tmp_path, recordings):
    csv = table(recordings, split=lambda path: "train" if path < "c" else "evaluation")
    with pytest.raises(ValueError, match=r"split is \['evaluation'\]"):
        run(tmp_path, options(recordings, table=csv))
    csv = table(recordings, split=lambda path: "train" if path < "c" else "test")
    with pytest.raises(ValueError, match=r"no usable file is in the split\(s\) \['validation'\]"):
        run(tmp_path, options(recordings, table=csv))
    csv = table(recordings, split=lambda path: {"0": "validation", "1": "test"}.get(path[-5], "train"))
    with pytest.raises(ValueError, match=r"\['a', 'b', 'c', 'd'\] lie in several splits"):
        run(tmp_path, options(recordings, split_by="parent", table=csv))


def test_files_that_the_table_does_not_list_are_rejected(tmp_path, recordings):
    csv = table(recordings, take=lambda path: path[-5])
    tone(recordings / "new.wav")
    used, rejected = run(tmp_path, options(recordings, split_by="take", table=csv))
    assert len(used) == 20
    assert rejected["reason"].tolist() == [folder.NOT_IN_TABLE]


def test_errors_in_the_table_are_named(tmp_path, recordings):
    with pytest.raises(FileNotFoundError, match=r"there is no table .*none\.csv"):
        run(tmp_path, options(recordings, table=str(tmp_path / "none.csv")))
    csv = table(recordings, take=lambda path: path[-5])
    with pytest.raises(ValueError, match=r"no column 'singer'; it has \['take'\]"):
        run(tmp_path, options(recordings, split_by="singer", table=csv))
    with pytest.raises(ValueError, match="'singer' is a column of `table`, and no table is given"):
        run(tmp_path, options(recordings, split_by="singer"))
    (tmp_path / "bare.csv").write_text("file\na.wav\n")
    with pytest.raises(ValueError, match="has no column 'path'"):
        run(tmp_path, options(recordings, table=str(tmp_path / "bare.csv")))


def test_files_that_differ_in_suffix_only_are_two_clips(tmp_path, recordings):
    tone(recordings / "a" / "take 0.flac")
    used, _ = run(tmp_path, options(recordings))
    assert used["clip_id"].is_unique
    assert {"mine/a/take 0.wav", "mine/a/take 0.flac", "mine/a/take 1"} <= set(used["clip_id"])


def test_a_name_that_is_not_utf8_is_rejected_by_name(tmp_path, recordings):
    shutil.copy(recordings / "a" / "take 0.wav", os.fsencode(recordings) + b"/caf\xe9.wav")
    used, rejected = run(tmp_path, options(recordings))
    assert len(used) == 20
    assert rejected["path"].tolist() == [f"{recordings}/caf\\xe9.wav"]


def test_a_relative_folder_stays_relative(tmp_path, recordings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    used, _ = run(tmp_path, options(Path("audio")))
    assert used["path"].str.startswith("audio/").all()


def test_the_listing_notices_a_changed_file(tmp_path, recordings):
    before = folder.fetch(tmp_path, options(recordings), files.Making(0, 1))
    assert before.equals(folder.fetch(tmp_path, options(recordings), files.Making(0, 1)))
    tone(recordings / "a" / "take 0.wav", duration_s=2)
    after = folder.fetch(tmp_path, options(recordings), files.Making(0, 1))
    assert (before["size_bytes"] != after["size_bytes"]).sum() == 1


def test_the_shard_of_a_clip_never_changes():
    assert [manifest.shard_of(f"mine/{n}", 4) for n in range(8)] == [
        0,
        3,
        1,
        1,
        0,
        0,
        2,
        1,
    ]  # sha256sum, first 16 digits mod 4
    counts = np.bincount([manifest.shard_of(f"mine/{n}", 4) for n in range(4000)], minlength=4)
    assert counts.min() > 900


def clips(groups: list[tuple[str, float]]) -> pd.DataFrame:
    """One clip per (kind, duration) of each group."""
    return pd.DataFrame(groups, columns=["group", "kind", "duration_s"]).assign(split="")


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(["solo", "mix", "drums"]), st.floats(0.5, 600)), min_size=1
    ),
    seed=st.integers(0, 2**32),
)
def test_splits_never_share_a_group(rows, seed):
    frame = clips(rows)
    n_groups = frame["group"].nunique()
    if n_groups < len(SHARES):
        with pytest.raises(ValueError, match="fewer than the 3 splits"):
            draw_splits(frame, SHARES, seed, "mine")
        return
    frame["split"] = draw_splits(frame, SHARES, seed, "mine")
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    assert set(frame["split"]) == set(SHARES)
    assert draw_splits(frame.assign(split=""), SHARES, seed, "mine") == list(frame["split"])


@settings(max_examples=50, deadline=None)
@given(n_solos=st.integers(3, 60), n_mixes=st.integers(3, 30), n_drums=st.integers(3, 20), seed=st.integers(0, 99))
def test_each_split_gets_some_of_each_kind(n_solos, n_mixes, n_drums, seed):
    kinds = ["solo"] * n_solos + ["mix"] * n_mixes + ["drums"] * n_drums
    frame = clips([(f"g{n}", kind, 20.0) for n, kind in enumerate(kinds)])
    frame["split"] = draw_splits(frame, SHARES, seed, "mine")
    n_of = frame.groupby(["split", "kind"]).size().unstack(fill_value=0)
    assert (n_of > 0).all().all()
    wanted = np.array([n_drums, n_mixes, n_solos])
    for split, share in SHARES.items():
        assert (np.abs(n_of.loc[split] - share * wanted) <= 2).all()


def test_another_seed_draws_other_splits():
    frame = clips([(f"g{n:02d}", "solo", 20.0) for n in range(40)])
    drawn = {tuple(draw_splits(frame, SHARES, seed, "mine")) for seed in range(5)}
    assert len(drawn) == 5
    assert all(split.count("train") == 32 for split in drawn)


def test_an_unwritable_results_folder_is_named(tmp_path, recordings):
    (tmp_path / "out").touch()  # a file where the folder should be: unwritable for root as well
    with pytest.raises(OSError, match="out"):
        run(tmp_path, options(recordings))


@pytest.fixture
def full_disk(tmp_path):
    """A disk with 100 kB left."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", mount], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(full_disk):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 16000))
    audio.write_wav(full_disk / "fits.wav", noise, 16000)  # 32 kB
    with pytest.raises(OSError, match="No space left on device"):
        audio.write_wav(full_disk / "too_much.wav", np.tile(noise, 10), 16000)
    assert [path.name for path in full_disk.iterdir()] == ["fits.wav"]
    assert audio.why_unusable(full_disk / "fits.wav", 0.5) is None
    rows = math.ceil(1e5)
    long_table = pd.DataFrame(
        {"time_s": np.random.default_rng(0).random(rows), "f0_hz": np.float32(0), "n_sounding": 0}
    )
    with pytest.raises(OSError, match=r"No space left on device while writing .*truth\.parquet"):
        tables.write(long_table, full_disk / "truth.parquet", tables.TRUTH_F0)
    assert [path.name for path in full_disk.iterdir()] == ["fits.wav"]
