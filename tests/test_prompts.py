"""Prompts: a released file of captions read, and a seeded choice that stays as it is when more are asked for."""

import csv
from pathlib import Path

import pandas as pd
import pytest
import yaml

from file_server import FileServer
from sonolens import experiment, plugins, tables
from sonolens.prompts import choosing, musiccaps
from workflow_project import changed_config, copy_of_the_project, job_counts, snakemake

ROOT = Path(__file__).parents[1]
COLUMNS = (
    "ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption", "author_id",
    "is_balanced_subset", "is_audioset_eval",
)  # fmt: skip


def row(number: int, **changed: str) -> dict[str, str]:
    usual = {
        "ytid": f"-{number:04d}_yt", "start_s": "30", "end_s": "40", "audioset_positive_labels": "/m/04rlf,/m/0dl9sf8",
        "aspect_list": "['pop', \"singer's voice\", 'low quality, mono']", "author_id": "4",
        "caption": f'Number {number}: a "tinny" guitar,\n recorded in a hall.',
        "is_balanced_subset": str(number % 5 == 0), "is_audioset_eval": str(number % 2 == 0),
    }  # fmt: skip
    return usual | changed


def write(path: Path, rows: list[dict], columns: tuple[str, ...] = COLUMNS, bom: bool = False) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> tuple[pd.DataFrame, str]:
    said = []
    return musiccaps.read(path, said.append), "\n".join(said)


@pytest.mark.parametrize("bom", [False, True])
def test_captions_are_read_with_their_aspects_and_flags(tmp_path, bom):
    prompts, said = read(write(tmp_path / "captions.csv", [row(number) for number in range(6)], bom=bom))
    assert said == ""
    assert list(prompts["prompt_id"]) == [f"-{number:04d}_yt" for number in range(6)]
    assert prompts["caption"][3] == 'Number 3: a "tinny" guitar, recorded in a hall.'
    assert prompts["aspects"][0] == ["pop", "singer's voice", "low quality, mono"]
    assert list(prompts["is_balanced_subset"]) == [True, False, False, False, False, True]
    assert list(prompts["is_audioset_eval"]) == [True, False, True, False, True, False]


def test_what_is_empty_or_there_twice_is_left_out_and_counted(tmp_path):
    rows = [
        row(0), row(1, caption=" \n "), row(2, ytid=""), row(3, ytid=" "), row(0, caption="another"),
        row(0, caption="more"), row(4, caption=row(0)["caption"].replace("\n", " ")), row(5),
    ]  # fmt: skip
    prompts, said = read(write(tmp_path / "captions.csv", rows))
    assert list(prompts["prompt_id"]) == ["-0000_yt", "-0005_yt"]
    assert list(prompts.index) == [0, 1]
    assert prompts["caption"][0].startswith("Number 0")
    assert said.splitlines() == [
        "3 of 8 prompts are left out: without a name or a caption",
        "2 of 5 prompts are left out: named as an earlier one",
        "1 of 3 prompts are left out: with an earlier one's caption",
    ]


def test_aspects_that_cannot_be_read_are_none_and_run_no_code(tmp_path):
    bad = [
        "pop, tinny",
        "['a', 1]",
        "{'a': 'b'}",
        "",
        "[" * 100_000,
        "-" * 100_000 + "1",
        f"[open({str(tmp_path / 'made')!r}, 'w')]",
    ]
    rows = [row(number, aspect_list=text) for number, text in enumerate([*bad, "[]", "['a']"])]
    prompts, said = read(write(tmp_path / "captions.csv", rows))
    assert list(prompts["aspects"]) == [[]] * 8 + [["a"]]
    assert said == "7 lists of aspects cannot be read: these prompts have none"
    assert not (tmp_path / "made").exists()


def test_columns_beside_name_and_caption_may_be_missing(tmp_path):
    path = write(tmp_path / "captions.csv", [row(0), row(1)], columns=("caption", "ytid"))
    choosing.choose_from_file("musiccaps", path, tmp_path / "chosen.parquet", n_prompts=2, seed=0, say=print)
    chosen = tables.read(tmp_path / "chosen.parquet", tables.PROMPTS)
    assert sorted(chosen["prompt_id"]) == ["-0000_yt", "-0001_yt"]
    assert [len(aspects) for aspects in chosen["aspects"]] == [0, 0]
    assert chosen[["is_audioset_eval", "is_balanced_subset"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "cannot be read as CSV"),
        (b"ytid,caption\na,\xff\n", "cannot be read as CSV"),
        (b"ytid,caption\na,b\nc,d,e\n", "cannot be read as CSV"),
        (b"<!doctype html>\n<title>404</title>\n", r"lacks the columns \['caption', 'ytid'\].*it is not MusicCaps"),
        (b"ytid,captions\na,b\n", r"lacks the columns \['caption'\], it has \['ytid', 'captions'\]"),
    ],
)
def test_another_file_is_named(tmp_path, content, expected):
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"captions\.csv {expected}"):
        read(tmp_path / "captions.csv")


def test_the_seed_and_the_names_alone_say_which(tmp_path):
    rows = [row(number) for number in range(40)]
    prompts, _ = read(write(tmp_path / "captions.csv", rows))
    turned, _ = read(write(tmp_path / "turned.csv", rows[::-1]))
    first = choosing.choose(prompts, 10, seed=0)
    assert first["prompt_id"].nunique() == 10
    assert list(first["prompt_id"]) != list(prompts["prompt_id"][:10])
    pd.testing.assert_frame_equal(choosing.choose(turned, 10, seed=0), first)
    pd.testing.assert_frame_equal(choosing.choose(prompts, 25, seed=0)[:10], first)
    assert set(choosing.choose(prompts, 10, seed=1)["prompt_id"]) != set(first["prompt_id"])
    assert set(choosing.choose(prompts, 40, seed=0)["prompt_id"]) == set(prompts["prompt_id"])
    assert (prompts.set_index("prompt_id").loc[first["prompt_id"], "caption"].to_numpy() == first["caption"]).all()


def test_fewer_than_asked_for_is_an_error(tmp_path):
    prompts, _ = read(write(tmp_path / "captions.csv", [row(0), row(1)]))
    with pytest.raises(ValueError, match=r"3 prompts are asked for, there are 2: lower `prompts\.n`"):
        choosing.choose(prompts, 3, seed=0)


def resolved(prompts: object, **changed: object) -> dict:
    config = yaml.safe_load((ROOT / "tests" / "smoke.yaml").read_text()) | {"prompts": prompts} | changed
    return experiment.resolve(config, ROOT / "rules" / "config.schema.yaml")["prompts"]


def test_the_config_names_a_module_and_a_number():
    entry = resolved({"name": "musiccaps"})
    assert (entry["module"], entry["n"]) == ("musiccaps", 500)
    assert entry["card"]["files"][0]["name"] == "musiccaps-public.csv"
    assert resolved({"name": "mine", "module": "musiccaps", "n": 3})["n"] == 3
    assert resolved(None) is None


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"n": 3}, "'name' is a required property"),
        ({"name": "musiccap"}, "prompts.module: there is no prompts module 'musiccap'; there are: musiccaps"),
        ({"name": "musiccaps", "n": 0}, "prompts.n: 0 is less than the minimum of 1"),
        ({"name": "musiccaps", "m": 3}, "prompts: no such key: 'm'; allowed are module, n, name"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(prompts, expected):
    with pytest.raises(experiment.ConfigError, match=expected):
        resolved(prompts)


@pytest.mark.parametrize("prompts", [None, {"name": "musiccaps"}])
def test_a_file_of_ones_own_may_be_named_before_the_prompts_are(prompts):
    resolved(prompts, downloads={"files": {"musiccaps-public.csv": "captions.csv"}})


def test_a_licence_that_restricts_captions_has_to_be_accepted(monkeypatch):
    (file,) = plugins.card("prompts", "musiccaps")["files"]
    read_card = plugins.card
    restricted = {"files": [file | {"licence": "cc-by-nc-4.0"}]}
    monkeypatch.setattr(plugins, "card", lambda *what: read_card(*what) | (restricted if what[0] == "prompts" else {}))
    with pytest.raises(experiment.ConfigError, match=r"musiccaps: musiccaps-public\.csv is under the Creative Commons"):
        resolved({"name": "musiccaps"})


@pytest.mark.workflow
def test_prompts_are_fetched_and_chosen_and_more_of_them_fetch_nothing(tmp_path):
    folder = copy_of_the_project(tmp_path)
    content = write(tmp_path / "captions.csv", [row(number) for number in range(30)]).read_bytes()

    def overlay(n_prompts: int | None, mirror: str) -> str:
        def change(config):
            config["prompts"] = n_prompts and {"name": "captions", "module": "musiccaps", "n": n_prompts}
            config["downloads"] = {
                "mirrors": {"https://huggingface.co/datasets/google/MusicCaps/resolve/main/": mirror}
            }

        return changed_config(folder, change)

    target = "results/prompts/captions.parquet"
    with FileServer() as server:
        server.files["/musiccaps-public.csv"] = content
        mirror = server.link("")
        planned = job_counts(snakemake(folder, "--dry-run", overlay=overlay(3, mirror)))
        assert (planned["fetch_prompts"], planned["choose_prompts"]) == (1, 1)
        snakemake(folder, target, overlay=overlay(3, mirror))
        first = tables.read(folder / target, tables.PROMPTS)
        assert (folder / "resources/prompts/captions/captions.csv").read_bytes() == content
        log = (folder / "logs/fetch_prompts/captions.log").read_text()
        assert "licence: Creative Commons Attribution-ShareAlike 4.0" in log
        assert "this one has sha256" in log
        n_requests = len(server.requests)
        snakemake(folder, target, overlay=overlay(12, mirror))
        assert len(server.requests) == n_requests
    more = tables.read(folder / target, tables.PROMPTS)
    assert len(more) == 12
    assert list(more["prompt_id"][:3]) == list(first["prompt_id"])
    assert "choose_prompts" not in job_counts(snakemake(folder, "--dry-run", overlay=overlay(None, mirror)))
