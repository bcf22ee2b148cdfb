"""The paper's five datasets and its prompts, from links to the report: small archives behind a real server.

A sixth dataset is the one that the README shows how to write.
"""

import functools
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import cocochorales_archives
import damp_folders
import guitarset_archives
import listed_archives
from file_server import FileServer
from sonolens.datasets import cocochorales
from workflow_project import ROOT, append, copy_of_the_project, planned, snakemake

pytestmark = pytest.mark.workflow

MAGENTA = "https://storage.googleapis.com/magentadata/datasets/cocochorales/cocochorales_full_v1_zipped/"
SHARDS = {"cocochorales": 2, "damp_vsep": 1, "groove": 1, "guitarset": 1, "maestro": 1}
PITCHED = ["cocochorales", "guitarset", "maestro"]


def chorales() -> dict[str, bytes]:
    """What seed 0 reads of CocoChorales: of each split, an archive of each ensemble."""
    of = {}
    for split in cocochorales.N_ARCHIVES:
        order = list(cocochorales._order(split, 0))
        for _, number in order[:4]:
            of[split, number] = cocochorales_archives.tracks(split, number, 3, lasts_s=2.0, first_stem=number % 2)
    return {f"/coco/{name}": content for name, content in cocochorales_archives.released(of).items()}


def captions() -> bytes:
    rows = {
        "ytid": [f"id{number}" for number in range(40)],
        "start_s": 0,
        "end_s": 10,
        "aspect_list": "['calm', 'piano']",
    }
    rows |= {"caption": [f"A calm piece, number {number}" for number in range(40)]}
    rows |= {"is_balanced_subset": True, "is_audioset_eval": [number % 2 == 0 for number in range(40)]}
    return pd.DataFrame(rows).to_csv(index=False).encode()


@functools.cache  # members have the time at which they were packed
def archives() -> dict[str, bytes]:
    return {
        listed_archives.GROOVE: listed_archives.groove(),
        listed_archives.MAESTRO: listed_archives.maestro(),
        "audio_mono-mic.zip": guitarset_archives.audio(),
        "annotation.zip": guitarset_archives.annotations(),
    }


@pytest.fixture(scope="module")
def server():
    with FileServer() as serving:
        serving.files = {f"/{name}": content for name, content in archives().items()}
        serving.files |= chorales() | {"/musiccaps-public.csv": captions()}
        serving.breaks = [400_000] * 2  # the first connections are lost, if there is as much to send
        serving.statuses = [503, 503]
        yield serving


def experiment(server: FileServer, damp: Path | None) -> dict:
    own = {
        name: {"source": server.link(name), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (archives() | {"musiccaps-public.csv": captions()}).items()
    }
    return {
        "datasets": [
            {"name": "cocochorales", "hours": 32 / 3600, "shards": SHARDS["cocochorales"]},
            {"name": "damp_vsep", "path": None if damp is None else str(damp), "hours": 12 / 3600, "shards": 1},
            {"name": "groove", "hours": 24 / 3600, "shards": 1},
            {"name": "guitarset", "hours": 7.2 / 3600, "shards": 1},
            {"name": "maestro", "hours": 20 / 3600, "shards": 1},
        ],
        "prompts": {"name": "musiccaps", "n": 10},
        "generators": [],
        "sae": {"expansions": [1], "lams": [0.05]},
        "objective": {"encoders": [], "expansions": [], "lams": []},
        "steering": {"cells": []},
        "downloads": {
            "accepted_licences": ["cc-by-nc-sa-4.0"],
            "mirrors": {MAGENTA: server.link("coco/")},
            "files": own,
        },
    }


def write_config(folder: Path, server: FileServer, damp: Path | None, more: list[dict] | None = None) -> str:
    smoke = yaml.safe_load((folder / "tests/smoke.yaml").read_text())
    changed = experiment(server, damp)
    for encoder in smoke["encoders"]:
        encoder["trained_on"] = list(SHARDS)
    changed["datasets"] += more or []
    sae = smoke["sae"] | changed["sae"]
    (folder / "changed.yaml").write_text(yaml.safe_dump(smoke | changed | {"sae": sae}))
    return "changed.yaml"


@pytest.fixture(scope="module")
def without_access(server, tmp_path_factory) -> tuple[Path, str]:
    """A run by someone who has no access to DAMP-VSEP: the project, and what was on the screen."""
    folder = copy_of_the_project(tmp_path_factory.mktemp("paper"))
    overlay = write_config(folder, server, None)
    return folder, snakemake(folder, overlay=overlay, fails=True)


@pytest.fixture(scope="module")
def labelled_without_access(without_access) -> dict[str, int]:
    """Tables of fine labels by dataset, as they were after that run."""
    folder, _ = without_access
    return {name: len(list(folder.glob(f"results/labels/*/frames/{name}/*.parquet"))) for name in SHARDS}


@pytest.fixture(scope="module")
def finished(without_access, labelled_without_access, server, tmp_path_factory) -> Path:
    folder, _ = without_access
    damp = damp_folders.write(tmp_path_factory.mktemp("damp") / "DAMP-VSEP", lasts_s=2.0)
    del server.requests[:]
    snakemake(folder, overlay=write_config(folder, server, damp))
    return folder


def test_a_gated_dataset_stops_only_what_depends_on_it_and_says_what_to_do(without_access, labelled_without_access):
    folder, screen = without_access
    assert "https://zenodo.org/record/3553059" in screen and "path: /data/DAMP-VSEP" in screen
    assert screen.count("3. give its path in the config") == 1
    n_attributes = 3
    assert labelled_without_access == {
        name: 0 if name == "damp_vsep" else n_attributes * n_shards for name, n_shards in SHARDS.items()
    }
    assert (folder / "results/prompts/musiccaps.parquet").is_file()
    assert not (folder / "results/report/index.html").exists()


def test_once_there_is_access_nothing_is_fetched_again(finished, server):
    assert not server.requests
    assert (finished / "results/report/index.html").is_file()


def test_what_was_taken_is_listed(finished):
    chosen = pd.read_csv(finished / "results/report/tables/chosen.csv")
    assert set(chosen["dataset"]) == set(SHARDS)
    assert (chosen.groupby(["dataset", "group"])["split"].nunique() == 1).all()
    for name, own in chosen.groupby("dataset"):
        assert set(own["split"]) == {"train", "validation", "test"}, name
        asked_s = 3600 * next(entry["hours"] for entry in _config(finished)["datasets"] if entry["name"] == name)
        assert 0.4 * asked_s < own["duration_s"].sum() < 1.4 * asked_s, name
    assert chosen["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    rejected = pd.read_csv(finished / "results/report/tables/rejected.csv")
    assert not rejected["counts"].any()
    assert {"known defect", "no audio was released"} <= set(rejected["reason"].str.partition(":")[0])


def _config(folder: Path) -> dict:
    return yaml.safe_load((folder / "changed.yaml").read_text())


def test_labels_are_scored_where_there_is_a_truth(finished):
    labels = pd.read_csv(finished / "results/report/tables/labels.csv", keep_default_na=False)
    headline = labels[(labels["kind"] == "all") & (labels["frames"] == "all")].set_index("dataset")
    assert set(headline.index) == set(SHARDS)
    scored = pd.to_numeric(headline.loc[PITCHED, "within_50_cents"])
    assert (scored > 0.6).all(), scored
    assert set(headline.loc[["groove", "damp_vsep"], "within_50_cents"]) == {""}
    page = (finished / "results/report/index.html").read_text()
    for text in (
        "GuitarSet",
        "MAESTRO",
        "Groove MIDI",
        "CocoChorales",
        "DAMP-VSEP",
        "MusicCaps",
        "accepted in the config",
    ):
        assert text in page


def test_drums_are_left_out_of_pitch_and_of_nothing_else(finished):
    clips = pd.read_parquet(finished / "results/datasets/groove/manifest.parquet")["clip_id"]
    for attribute, is_left_out in (("pitch", True), ("amplitude", False)):
        aligned = pd.read_parquet(finished / f"results/labels/{attribute}/aligned/minivae.parquet")
        drums = aligned[aligned["clip_id"].astype(str).isin(clips)]
        assert len(drums) and (drums["class_index"] == -1).all() == is_left_out, attribute


def test_prompts_are_chosen(finished):
    prompts = pd.read_parquet(finished / "results/prompts/musiccaps.parquet")
    assert len(prompts) == 10 and prompts["caption"].str.startswith("A calm piece").all()
    assert list(prompts["aspects"].iloc[0]) == ["calm", "piano"]


def test_another_mirror_makes_nothing_stale(finished):
    before = (finished / "changed.yaml").read_text()
    config = yaml.safe_load(before)
    config["downloads"]["mirrors"] = {}
    for entry in config["downloads"]["files"].values():
        entry["source"] = "https://elsewhere.example.org/archive.zip"
    (finished / "changed.yaml").write_text(yaml.safe_dump(config))
    jobs = planned(finished, "changed.yaml")
    (finished / "changed.yaml").write_text(before)
    assert set(jobs) <= {"audit_results", "write_report"}  # the audit reads the config as it is


def test_an_edit_to_downloads_makes_no_data_stale_and_one_to_a_choice_does(finished):
    for module, expected in (("downloads/ranged_file.py", set()), ("datasets/maestro.py", {"download_dataset"})):
        path = finished / "workflow_scripts/sonolens" / module
        before = path.read_text()
        append(path, "\n# a comment is an edit\n")
        jobs = planned(finished, "changed.yaml")
        path.write_text(before)
        assert {"download_dataset", "extract_latents"} & set(jobs) == (
            expected | {"extract_latents"} if expected else set()
        )
        assert jobs.get("download_dataset", 0) == len(expected)


def write_vocalset(folder: Path) -> None:
    """The sixth dataset, as the README has it."""
    readme = (ROOT / "README.md").read_text()
    (card,) = [block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "VocalSet1-2.zip" in block]
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "VocalSet1-2.zip" in block]
    (folder / "workflow_scripts/sonolens/datasets/vocalset.yaml").write_text(card)
    (folder / "workflow_scripts/sonolens/datasets/vocalset.py").write_text(code)


def vocalset() -> bytes:
    contents = {"__MACOSX/FULL/._x.wav": b"Mac OS X"}
    for singer in range(1, 6):
        for technique in ("belt", "straight"):
            sung = damp_folders.voice(singer, 1.5)
            name = f"FULL/female{singer}/arpeggios/{technique}/f{singer}_arpeggios_{technique}_a.wav"
            contents[name] = listed_archives.wav(np.repeat(sung, 2), 44100)
    return listed_archives.zipped(contents)


def test_a_sixth_dataset_reruns_no_extraction_of_the_five(finished, server):
    write_vocalset(finished)
    server.files["/VocalSet1-2.zip"] = vocalset()
    damp = _config(finished)["datasets"][1]["path"]
    overlay = write_config(finished, server, Path(damp), [{"name": "vocalset", "hours": 15 / 3600, "shards": 1}])
    config = _config(finished)
    config["downloads"]["files"]["VocalSet1-2.zip"] = server.link("VocalSet1-2.zip")
    (finished / "changed.yaml").write_text(yaml.safe_dump(config))
    jobs = planned(finished, overlay)
    n_encoders = 2
    assert (jobs["download_dataset"], jobs["index_dataset"], jobs["extract_latents"]) == (1, 1, n_encoders)
    assert jobs["label_frames"] + jobs["label_frames_on_gpu"] == 3
    assert "train_codec" not in jobs
    snakemake(finished, "results/datasets/vocalset/manifest.parquet", overlay=overlay)
    used = pd.read_parquet(finished / "results/datasets/vocalset/manifest.parquet")
    assert len(used) == 10 and set(used["kind"]) == {"solo"} and used["group"].nunique() == 5
    events = [json.loads(line)["event"] for line in (finished / "logs/download_dataset/vocalset.jsonl").open()]
    assert events == ["started", "finished"]
