"""The embedded demo corpus: solo lines, mixes and drum patterns, rendered with their truth.

Nothing is downloaded: the scores come with music21, the samples with pretty_midi. A clip is planned here, by its
number, and made in rendering.py; more minutes add clips and leave the first ones as they are.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens.datasets import drums
from sonolens.datasets.files import Making, candidates
from sonolens.datasets.instruments import KITS, SOLOISTS
from sonolens.datasets.rendering import ENSEMBLES, Plan, write_clip
from sonolens.datasets.scores import four_part_chorales

# Of twenty clips 12 are solos, 5 mixes, 3 drums; the first three are one of each
KINDS = {"s": "solo", "m": "mix", "d": "drums"}
CYCLE = "smdsssmssdsmssmsdssm"


def fetch(folder: Path, options: dict, making: Making) -> pd.DataFrame:
    """Render the corpus under `folder`, on several processes; one row of files.FILES per clip."""
    plans = plan_clips(max(1, round(options["minutes"] * 60.0 / options["clip_seconds"])), making.seed)
    work = partial(write_clip, folder=folder, seed=making.seed, options=options)
    rows = pd.DataFrame(tqdm(_map(work, plans, making.n_workers), "rendering", len(plans), unit="clip", mininterval=5))
    rows["group"] = merge_groups(rows["group"], rows.pop("tune"))
    rows["left_out"] = ""
    _remove_others(folder, {*rows["path"], *rows["truth_f0_path"], *rows["truth_notes_path"]})
    return rows


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every clip as a candidate (files.CANDIDATES), called by its number."""
    rows = candidates(folder, files)
    rows["stem"] = [Path(path).stem for path in files["path"]]
    return rows


def plan_clips(n_clips: int, seed: int) -> list[Plan]:
    """What each clip is to be. Every chorale is used once before one is used again, in a seeded order."""
    rng = np.random.default_rng([seed, 0xC0DA])
    names = [str(name) for name in rng.permutation(four_part_chorales())]
    decks = {kind: _shuffled_forever(cards, rng.spawn(1)[0]) for kind, cards in _PLAYERS.items()}
    styles = _shuffled_forever(tuple(drums.STYLES), rng.spawn(1)[0])
    plans, n_chorales = [], 0
    for number in range(n_clips):
        kind = KINDS[CYCLE[number % len(CYCLE)]]
        if kind == "drums":
            score, turn = next(styles), 0
        else:
            turn, position = divmod(n_chorales, len(names))
            score, n_chorales = names[position], n_chorales + 1
        plans.append(Plan(number, kind, score, next(decks[kind]), turn))
    return plans


_PLAYERS = {"solo": tuple(player.name for player in SOLOISTS), "mix": tuple(ENSEMBLES), "drums": tuple(KITS)}


def merge_groups(families: pd.Series, tunes: pd.Series) -> list[str]:
    """One group per set of clips linked by a family of variants or by a tune; named after its first family.

    families, tunes: (n_clips,) strings; an empty tune links nothing.
    """
    parent = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for family, tune in zip(families, tunes, strict=True):
        if tune:
            ends = sorted([root(("family", family)), root(("tune", tune))])
            parent[ends[1]] = ends[0]
    return [root(("family", family))[1] for family in families]


def _shuffled_forever(cards: tuple[str, ...], rng: np.random.Generator) -> Iterator[str]:
    """Every card once, then again in another order."""
    while True:
        yield from (str(card) for card in rng.permutation(cards))


def _map(work: partial, plans: list[Plan], n_workers: int) -> Iterator[dict]:
    """Rows in the order of the plans, from this process or from several."""
    if n_workers == 1:
        yield from map(work, plans)
        return
    # Forked: a spawned process would run the job's script again, which has no main guard.
    # An executor, not a Pool: that would wait for ever for a process that was killed.
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(work, plans)


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove clips of an earlier, longer corpus."""
    for path in [*folder.glob("audio/*.wav"), *folder.glob("truth/*.parquet")]:
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink()
