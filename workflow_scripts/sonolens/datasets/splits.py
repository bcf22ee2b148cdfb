"""Train, validation and test: drawn by group, so that no composition is on two sides."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd


def draw_splits(clips: pd.DataFrame, shares: dict[str, float], seed: int, dataset: str) -> list[str]:
    """The split of each clip, in the order of `clips` (columns group, kind, duration_s, split).

    Groups are drawn within strata of equal kinds (solo, mix, drums, or a mixture), so that each split gets some of
    each where there are groups enough. Where `split` is given already, it is checked and kept. Raises ValueError if a
    group would lie in two splits, or if there are fewer groups than splits.
    """
    wanted = {name: share for name, share in shares.items() if share > 0}
    if (clips["split"] != "").any():
        return _given(clips, wanted, dataset)
    groups = clips.groupby("group", sort=True).agg(kinds=("kind", _kinds), duration_s=("duration_s", "sum"))
    if len(groups) < len(wanted):
        raise ValueError(
            f"dataset '{dataset}' has {len(groups)} group(s) of recordings that belong together, "
            f"fewer than the {len(wanted)} splits ({', '.join(wanted)}); add recordings or choose another split_by"
        )
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(dataset.encode()).digest()[:8], "big")])
    strata = {kinds: list(part.index) for kinds, part in groups.groupby("kinds", sort=True)}
    # Strata with too few groups for every split are drawn together
    few = [name for names in strata.values() if len(names) < len(wanted) for name in names]
    large = [names for names in strata.values() if len(names) >= len(wanted)]
    split_of = {}
    for names in [*large, few]:
        split_of |= _deal(groups.loc[names, "duration_s"], wanted, rng, is_first=not split_of)
    return [split_of[group] for group in clips["group"]]


def _deal(durations_s: pd.Series, shares: dict[str, float], rng: np.random.Generator, is_first: bool) -> dict[str, str]:
    """Deal groups to splits, the longest first, each to the split that lacks most; with groups enough none is empty."""
    shuffled = durations_s.iloc[rng.permutation(len(durations_s))].sort_values(ascending=False, kind="stable")
    lacking_s = {split: share * float(durations_s.sum()) for split, share in shares.items()}
    empty, split_of = set(shares), {}
    must_fill = is_first or len(shuffled) >= len(shares)
    for n_dealt, (group, duration_s) in enumerate(shuffled.items()):
        n_left = len(shuffled) - n_dealt
        open_to = empty if must_fill and n_left <= len(empty) else set(shares)
        split = max((name for name in shares if name in open_to), key=lacking_s.__getitem__)
        split_of[group] = split
        lacking_s[split] -= duration_s
        empty.discard(split)
    return split_of


def _given(clips: pd.DataFrame, wanted: dict[str, float], dataset: str) -> list[str]:
    """Splits that the dataset itself prescribes, checked."""
    unknown = sorted(set(clips["split"]) - set(wanted))
    if unknown:
        raise ValueError(f"dataset '{dataset}': split is {unknown} for some files; it must be one of {list(wanted)}")
    missing = sorted(set(wanted) - set(clips["split"]))
    if missing:
        raise ValueError(f"dataset '{dataset}': no usable file is in the split(s) {missing}")
    n_splits = clips.groupby("group")["split"].nunique()
    torn = sorted(n_splits[n_splits > 1].index)
    if torn:
        raise ValueError(f"dataset '{dataset}': the group(s) {torn[:10]} lie in several splits; a group may lie in one")
    return list(clips["split"])


def _kinds(kinds: Iterable[str]) -> str:
    return "+".join(sorted(set(kinds)))
