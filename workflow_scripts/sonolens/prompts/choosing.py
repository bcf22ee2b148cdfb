"""A seeded choice of prompts: which ones follows from the seed and their names alone, and more keep the first.

A set of prompts is a module of this folder with a card beside it. It offers `read(path, say) -> DataFrame`, all
prompts of a released file as tables.PROMPTS.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from sonolens import plugins, tables


def choose(prompts: pd.DataFrame, n_prompts: int, seed: int) -> pd.DataFrame:
    """The first `n_prompts` in a random order, whatever subset of the release they are of.

    Raises ValueError if there are fewer.
    """
    if len(prompts) < n_prompts:
        raise ValueError(f"{n_prompts} prompts are asked for, there are {len(prompts)}: lower `prompts.n`")
    ranks = [hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in prompts["prompt_id"]]
    order = pd.Series(ranks, prompts.index).sort_values().index
    return prompts.loc[order[:n_prompts]].reset_index(drop=True)


def choose_from_file(
    module: str,
    captions_path: str | Path,
    output_path: str | Path,
    n_prompts: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Read the released file with a module of this folder, choose, and write what is chosen (tables.PROMPTS)."""
    prompts = plugins.load("prompts", module).read(captions_path, say)
    chosen = choose(prompts, n_prompts, seed)
    say(f"{len(chosen)} of {len(prompts)} prompts are chosen")
    tables.write(chosen, output_path, tables.PROMPTS)
