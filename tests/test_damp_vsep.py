"""DAMP-VSEP out of a folder with its layout: what is drawn, duets, damage, and what is said to who has no access."""

from pathlib import Path

import pandas as pd
import pytest

import damp_folders
from sonolens import experiment, plugins, tables
from sonolens.datasets import damp_vsep, files, manifest
from sonolens.downloads.supply import Supply

SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}
CARD = plugins.card("datasets", "damp_vsep")


@pytest.fixture
def root(tmp_path) -> Path:
    return damp_folders.write(tmp_path / "DAMP-VSEP")


def options_of(root: Path | None, n_performances: float = 100, **more) -> dict:
    hours = n_performances * damp_folders.LASTS_S / 3600
    options = {"path": None if root is None else str(root), "hours": hours} | more
    experiment.check(options, CARD["options"])
    return options


def fetch(folder: Path, options: dict, seed: int = 0) -> pd.DataFrame:
    supply = Supply(folder, [], {"mirrors": {}, "files": {}}, seed=seed, splits=SPLITS)
    table = damp_vsep.fetch(folder, options, supply)
    tables.write(table, folder / "files.parquet", files.FILES)
    return table


def build(folder: Path, options: dict, **more) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = {"seed": 0, "splits": SPLITS, "shards": 2, "max_rejected_share": 0.0, "min_clip_seconds": 0.5} | more
    return manifest.build("damp_vsep", "damp_vsep", folder / "files.parquet", options, **settings)


def names(table: pd.DataFrame) -> list[str]:
    return [Path(path).parent.name for path in table["path"]]


def test_who_has_no_access_is_told_what_to_do(tmp_path):
    with pytest.raises(PermissionError) as error:
        fetch(tmp_path, options_of(None))
    for part in ("https://zenodo.org/record/3553059", "request access", "path: /data/DAMP-VSEP", "take the entry"):
        assert part in str(error.value)
    assert not list(tmp_path.iterdir())


def test_solo_mixes_are_used_where_they_lie(root, tmp_path):
    table = fetch(tmp_path, options_of(root))
    assert len(table) == 12 + 1  # of the duet whose second voice is elsewhere only a table knows
    assert set(table["kind"]) == {"mix"} and {Path(path).name for path in table["path"]} == {"mix.m4a"}
    used, rejected = build(tmp_path, options_of(root))
    assert len(used) == 13 and rejected.empty
    assert set(used["sample_rate_hz"]) == {damp_folders.RATE_HZ} and set(used["n_channels"]) == {2}
    assert used["duration_s"].to_list() == pytest.approx([damp_folders.LASTS_S] * 13, abs=0.002)
    assert used["clip_id"].str.fullmatch(r"damp_vsep/\d+/[A-Z]{2}/[a-z]{2}/\d+_\d+").all()
    assert used["group"].str.fullmatch(r"\d{3}").all()
    assert (used.groupby("group")["split"].nunique() == 1).all() and set(used["split"]) == set(SPLITS)


def test_vocals_are_solos(root, tmp_path):
    table = fetch(tmp_path, options_of(root, part="vocals"))
    assert set(table["kind"]) == {"solo"} and set(table["instrument"]) == {"voice"}
    used, _ = build(tmp_path, options_of(root, part="vocals"))
    assert len(used) == 13 and set(used["n_channels"]) == {1}


def test_a_published_list_knows_the_duets(root, tmp_path):
    listed = [path.parent for path in sorted(root.rglob("mix.m4a")) if int(path.parent.name[:3]) < 200]
    rows = {"perf_key": [path.name for path in listed], "vocal_path": [f"x/{path.name}/vocal.ogg" for path in listed]}
    table = pd.DataFrame(rows | {"mix_path": [f"{path.relative_to(root)}/mix.m4a" for path in listed]})
    table.to_csv(tmp_path / "train_singles.csv", index=False)
    options = options_of(root, table=str(tmp_path / "train_singles.csv"))
    assert sorted(names(fetch(tmp_path, options))) == sorted(path.name for path in listed)
    table.drop(columns="mix_path").to_csv(tmp_path / "train_singles.csv", index=False)
    with pytest.raises(ValueError, match=r"train_singles.csv has no column 'mix_path'"):
        fetch(tmp_path, options)
    table.assign(mix_path="1/US/en/1_1/mix.m4a").to_csv(tmp_path / "train_singles.csv", index=False)
    with pytest.raises(ValueError, match="not one of 1 performances"):
        fetch(tmp_path, options)


def test_duets_can_be_had_and_stay_together(root, tmp_path):
    table = fetch(tmp_path, options_of(root, singles_only=False))
    assert len(table) == 14 and "200_9500" in names(table)


def test_arrangements_take_turns_and_more_hours_keep_the_first(root, tmp_path):
    first = names(fetch(tmp_path, options_of(root, 6)))
    assert len({name.partition("_")[0] for name in first}) == len(first) == 6
    assert names(fetch(tmp_path, options_of(root, 6))) == first
    assert names(fetch(tmp_path, options_of(root, 9)))[:6] == first
    assert names(fetch(tmp_path, options_of(root, 6), seed=1)) != first


@pytest.mark.parametrize("n_bytes", [100, 3000])  # so that not even its length is known, or not all its sound is there
def test_a_damaged_recording_is_rejected_by_name(root, tmp_path, n_bytes):
    damaged = next(root.rglob("mix.m4a"))
    damaged.write_bytes(damaged.read_bytes()[:n_bytes])
    fetch(tmp_path, options_of(root))
    used, rejected = build(tmp_path, options_of(root), max_rejected_share=0.1)
    assert rejected["path"].tolist() == [str(damaged)] and rejected["counts"].all() and len(used) == 12


def test_a_folder_of_another_kind_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere'; correct `path` of damp_vsep"):
        fetch(tmp_path, options_of(tmp_path / "nowhere"))
    (tmp_path / "other/1/US/en/song").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"0 folders <n>/<COUNTRY>/<language>/<arrangement>_<performance>"):
        fetch(tmp_path, options_of(tmp_path / "other"))
