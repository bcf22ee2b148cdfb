"""Which recordings make up the hours that are asked for: seeded, spread over strata and groups, split by split.

The order in which recordings are drawn follows from the seed and their names alone, so that two people get the same
hours, and more hours keep those that fewer had (unless fewer were less than one recording lasts).
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd
from scipy.optimize import linear_sum_assignment

TORN = "its group lies in two official splits"
NO_SPLIT = ""  # to be drawn later, by group
N_TRIED = 10  # recordings that are looked at for one that is not longer than all that is wanted


class Chosen(NamedTuple):
    """What was drawn."""

    recordings: pd.DataFrame  # rows in the order drawn, with duration_s
    shortage: str  # in which way it is less than was asked for; '' if it is not


def choose(
    recordings: pd.DataFrame,
    hours: float,
    seed: int,
    shares: dict[str, float],
    duration_of: Callable[[dict], float] | None = None,
) -> Chosen:
    """Draw recordings until they last `hours`, to within half a recording.

    recordings: columns name (unique), group, stratum, split, and duration_s, unless `duration_of` finds it out from a
    row; only of those drawn. Strata take turns so that each gets equal hours, and within a stratum its groups take
    turns. Where `split` is given, each split gets its share of the hours, and one recording at least. Raises ValueError
    if there is none.
    """
    is_official = (recordings["split"] != NO_SPLIT).any()
    wanted = {name: share for name, share in shares.items() if share > 0} if is_official else {NO_SPLIT: 1.0}
    rows, short = [], []
    for split, share in wanted.items():
        own = recordings[recordings["split"] == split].to_dict("records")
        lasting_s = 3600 * hours * share / sum(wanted.values())
        drawn, drawn_s = _draw(own, lasting_s, seed, duration_of)
        if not drawn:
            raise ValueError(f"there is no recording to choose from{f' in the {split} split' if split else ''}")
        rows += drawn
        if len(drawn) == len(own) and drawn_s < 0.99 * lasting_s:
            short.append(f"{drawn_s / 3600:.2f} of {lasting_s / 3600:.2f} h{f' ({split})' if split else ''}")
    shortage = f"there is less than was asked for: {', '.join(short)}; all of it is taken" if short else ""
    return Chosen(pd.DataFrame(rows).reset_index(drop=True), shortage)


def _draw(
    recordings: list[dict], lasting_s: float, seed: int, duration_of: Callable[[dict], float] | None
) -> tuple[list[dict], float]:
    """Recordings of one split, and how long they last.

    What is longer than all that is wanted is put aside as long as nothing is drawn. Of that the shortest come in if too
    little was found without them, and one in any case if nothing was.
    """
    decks = {stratum: _in_turn(own, seed) for stratum, own in _parted(recordings, "stratum", seed)}
    taken_s, drawn, too_long = dict.fromkeys(decks, 0.0), [], []
    while decks:
        stratum = min(decks, key=taken_s.__getitem__)  # of equals the first
        row = next(decks[stratum], None)
        if row is None:
            del decks[stratum]
            continue
        duration_s = duration_of(row) if duration_of else row["duration_s"]
        row = row | {"duration_s": duration_s}
        if not drawn and duration_s > lasting_s:
            too_long.append(row)
            if len(too_long) == N_TRIED:
                break
            continue
        if drawn and lasting_s - sum(taken_s.values()) < duration_s / 2:
            break
        taken_s[stratum] += duration_s
        drawn.append(row)
    drawn_s = sum(row["duration_s"] for row in drawn)
    for row in sorted(too_long, key=lambda row: row["duration_s"]):
        if not drawn or lasting_s - drawn_s >= row["duration_s"] / 2:
            drawn.append(row)
            drawn_s += row["duration_s"]
    return drawn, drawn_s


def _in_turn(recordings: list[dict], seed: int) -> Iterator[dict]:
    """Rows of one stratum: one of each group, then the second of each, in a seeded order."""
    groups = deque(
        deque(sorted(own, key=lambda row: _rank(seed, row["name"]))) for _, own in _parted(recordings, "group", seed)
    )
    while groups:
        group = groups.popleft()
        yield group.popleft()
        if group:
            groups.append(group)


def _parted(recordings: list[dict], column: str, seed: int) -> list[tuple[str, list[dict]]]:
    """Rows by their value in a column; the values in a seeded order."""
    parts: dict[str, list[dict]] = {}
    for row in recordings:
        parts.setdefault(row[column], []).append(row)
    return sorted(parts.items(), key=lambda item: _rank(seed, item[0]))


def torn_groups(recordings: pd.DataFrame, hours: float, seed: int, shares: dict[str, float]) -> list[str]:
    """For each recording why it has to be left out so that no group lies in two official splits; '' if it need not.

    recordings: as for `choose`, with duration_s. A group that an official split tears apart is kept in one of its
    splits: in that which lacks most of its share of the hours. First of all, no split is left without a group.
    """
    lasting = recordings.assign(duration_s=recordings["duration_s"].clip(lower=1e-3))  # so that none counts as absent
    seconds = lasting.pivot_table(index="group", columns="split", values="duration_s", aggfunc="sum", fill_value=0.0)
    torn = sorted(seconds.index[(seconds > 0).sum(axis=1) > 1], key=lambda group: _rank(seed, group))
    whole = seconds.drop(index=torn)
    lacking_s = {
        split: 3600 * hours * share - whole[split].sum() for split, share in shares.items() if split in seconds
    }
    empty = [split for split in lacking_s if shares[split] > 0 and not whole[split].any()]
    kept_in = _one_each(seconds.loc[torn], empty)
    for group, split in kept_in.items():
        lacking_s[split] -= seconds.loc[group, split]
    if len(whole):
        kept_in |= dict(whole.idxmax(axis=1))
    for group in torn:
        if group not in kept_in:
            own = {split: own_s for split, own_s in seconds.loc[group].items() if own_s > 0 and split in lacking_s}
            kept_in[group] = max(own, key=lambda split: (min(own[split], max(lacking_s[split], 0.0)), own[split]))
            lacking_s[kept_in[group]] -= own[kept_in[group]]
    return [
        "" if kept_in[row.group] == row.split else f"{TORN}: {row.group} is used in the {kept_in[row.group]} split"
        for row in recordings.itertuples()
    ]


def _one_each(seconds: pd.DataFrame, splits: list[str]) -> dict[str, str]:
    """A group for each of the splits if there are groups for all of them, and one that lies mostly in that split.

    seconds: a row per group, a column per split.
    """
    parts = seconds[splits].div(seconds.sum(axis=1), axis=0).to_numpy()
    # A group for one split more outweighs whatever part of the groups is lost by it
    rows, columns = linear_sum_assignment((parts > 0) * (len(splits) + parts), maximize=True)
    return {seconds.index[row]: splits[column] for row, column in zip(rows, columns, strict=True) if parts[row, column]}


def _rank(seed: int, name: str) -> bytes:
    """A place in a random order that depends on nothing but the seed and the name."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
