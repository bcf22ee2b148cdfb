"""Which recordings make up the hours: seeded, balanced, split by split, groups whole."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens.datasets import choice

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def recordings(n: int, n_groups: int = 10, n_strata: int = 3, splits: tuple[str, ...] = ("",), seed: int = 0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n_groups, n)
    return pd.DataFrame(
        {
            "name": [f"r{number}" for number in range(n)],
            "group": [f"g{number}" for number in group],
            "stratum": [f"s{number % n_strata}" for number in group],
            "split": [splits[number] for number in rng.integers(0, len(splits), n)],
            "duration_s": rng.uniform(5, 60, n),
        }
    )


def names(table: pd.DataFrame, hours: float, seed: int = 0) -> list[str]:
    return list(choice.choose(table, hours, seed, SHARES).recordings["name"])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 30), st.floats(0.001, 1.5), st.integers(0, 5))
def test_hours_are_met_to_within_half_a_recording_and_the_seed_alone_decides(n, n_groups, hours, seed):
    table = recordings(n, n_groups, seed=seed)
    chosen = choice.choose(table, hours, seed, SHARES)
    seconds = chosen.recordings["duration_s"].sum()
    assert chosen.recordings["name"].is_unique and len(chosen.recordings)
    if chosen.shortage:
        assert len(chosen.recordings) == n and seconds < 3600 * hours
    elif len(chosen.recordings) < n and 3600 * hours > 60:
        assert abs(seconds - 3600 * hours) <= 30 + 1e-6
    shuffled = table.sample(frac=1, random_state=1)
    assert names(shuffled, hours, seed) == list(chosen.recordings["name"])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.5), st.floats(1, 4), st.integers(0, 5))
def test_more_hours_keep_those_that_fewer_had(hours, factor, seed):
    table = recordings(150, seed=seed)
    few, many = names(table, hours, seed), names(table, hours * factor, seed)
    assert many[: len(few)] == few


def test_another_seed_is_another_choice():
    table = recordings(100)
    assert names(table, 0.1, 0) != names(table, 0.1, 1)


def test_strata_get_equal_hours_and_groups_take_turns():
    table = recordings(600, n_groups=30, n_strata=3)
    chosen = choice.choose(table, 1.0, 0, SHARES).recordings
    assert chosen.groupby("stratum")["duration_s"].sum().to_list() == pytest.approx([1200] * 3, abs=60)
    per_group = chosen.groupby("group").size()
    assert len(per_group) == 30 and per_group.max() - per_group.min() <= 3


def test_a_stratum_that_is_used_up_leaves_its_hours_to_the_others():
    table = recordings(300)
    small = table["stratum"] == "s0"
    table = pd.concat([table[small].head(2), table[~small]])
    chosen = choice.choose(table, 1.0, 0, SHARES).recordings
    assert chosen["duration_s"].sum() == pytest.approx(3600, abs=30) and (chosen["stratum"] == "s0").sum() == 2


def test_each_official_split_gets_its_share():
    table = recordings(2000, splits=("train", "train", "validation", "test"))
    chosen = choice.choose(table, 2.0, 0, SHARES).recordings
    seconds = chosen.groupby("split")["duration_s"].sum()
    assert [seconds[split] for split in SHARES] == pytest.approx([5760, 720, 720], abs=30)


def test_a_split_of_long_recordings_gets_one_that_is_not_the_longest():
    """As MAESTRO: three minutes are wanted of a split whose pieces last nine on average."""
    table = recordings(60, splits=("train", "validation", "test"))
    table["duration_s"] = np.random.default_rng(0).lognormal(np.log(420), 0.7, 60)
    chosen = choice.choose(table, 0.55, 0, SHARES).recordings
    for split in ("validation", "test"):
        own, there = chosen[chosen["split"] == split], table[table["split"] == split]
        assert len(own) == 1 and own["duration_s"].iloc[0] <= there["duration_s"].median()


def test_of_recordings_that_are_all_too_long_the_shortest_is_taken():
    table = recordings(5, n_groups=5).assign(duration_s=[900.0, 500.0, 300.0, 700.0, 800.0])
    for seed in range(6):
        assert choice.choose(table, 0.05, seed, SHARES).recordings["duration_s"].tolist() == [300.0]


def test_a_shortage_is_told_by_split_and_none_at_all_is_an_error():
    table = recordings(40, splits=("train", "test"))
    with pytest.raises(ValueError, match="no recording to choose from in the validation split"):
        choice.choose(table, 1.0, 0, SHARES)
    chosen = choice.choose(table, 1.0, 0, {"train": 0.5, "test": 0.5, "validation": 0.0})
    assert chosen.shortage.startswith("there is less than was asked for: ") and "(train)" in chosen.shortage


def test_lengths_are_asked_for_of_those_only_that_are_drawn():
    table = recordings(40_000, n_groups=20_000, n_strata=1)
    asked = []
    started = time.perf_counter()
    chosen = choice.choose(table, 1.0, 0, SHARES, lambda row: asked.append(row["name"]) or 30.0).recordings
    assert len(asked) == len(chosen) + 1 == 121
    assert time.perf_counter() - started < 20  # an order of magnitude above what it takes


@settings(max_examples=80, deadline=None)
@given(st.integers(3, 120), st.integers(3, 25), st.integers(0, 20))
def test_no_group_is_left_in_two_splits_and_no_split_without_a_group(n, n_groups, seed):
    table = recordings(n, n_groups, splits=("train", "train", "validation", "test"), seed=seed)
    reasons = pd.Series(choice.torn_groups(table, 0.2, seed, SHARES))
    kept = table[(reasons == "").to_numpy()]
    assert (kept.groupby("group")["split"].nunique() == 1).all()
    assert set(kept["group"]) == set(table["group"])
    assert (
        reasons[reasons != ""]
        .str.fullmatch(r"its group lies in two official splits: g\d+ is used in the (train|validation|test) split")
        .all()
    )
    if table.groupby("split")["group"].nunique().reindex(list(SHARES), fill_value=0).min() >= 3:
        assert set(kept["split"]) == set(SHARES)


def test_nothing_is_left_out_where_the_split_keeps_groups_whole():
    table = recordings(50)
    table["split"] = table["group"].map(lambda group: ("train", "validation", "test")[int(group[1:]) % 3])
    assert choice.torn_groups(table, 1.0, 0, SHARES) == [""] * 50


def test_splits_near_their_shares_of_the_hours_are_kept():
    """Twenty sessions that the official split goes through, as Groove MIDI's."""
    table = recordings(1000, n_groups=20, splits=("train",) * 8 + ("validation", "test"))
    kept = table[[reason == "" for reason in choice.torn_groups(table, 4.0, 0, SHARES)]]
    hours = kept.groupby("split")["duration_s"].sum() / 3600
    assert hours["train"] >= 3.0 and hours[["validation", "test"]].min() > 0.05


def test_what_was_put_aside_as_too_long_comes_in_if_too_little_is_found():
    table = recordings(3, n_groups=3).assign(duration_s=[100.0, 20.0, 500.0])
    for seed in range(6):
        chosen = choice.choose(table, 90 / 3600, seed, SHARES).recordings
        assert sorted(chosen["duration_s"]) == [20.0, 100.0]


def test_each_split_gets_a_group_of_its_own_where_groups_suffice():
    """The group that lies mostly in one split may be the only one of another."""
    parts = {"a": {"validation": 60, "test": 40}, "b": {"validation": 50, "train": 50}, "c": {"train": 100}}
    rows = [
        {"name": f"{group}{split}", "group": group, "stratum": "", "split": split, "duration_s": float(seconds)}
        for group, own in parts.items()
        for split, seconds in own.items()
    ]
    table = pd.DataFrame(rows)
    for seed in range(4):
        kept = table[[reason == "" for reason in choice.torn_groups(table, 1.0, seed, SHARES)]]
        assert dict(zip(kept["group"], kept["split"], strict=True)) == {"a": "test", "b": "validation", "c": "train"}
