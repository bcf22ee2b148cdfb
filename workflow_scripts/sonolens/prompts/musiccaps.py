"""MusicCaps: captions of 5521 ten-second excerpts, each with a list of aspects; the excerpts are not fetched."""

import ast
from collections.abc import Callable
from pathlib import Path

import pandas as pd

NEEDED = ("ytid", "caption")
FLAGS = ("is_audioset_eval", "is_balanced_subset")
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def read(path: str | Path, say: Callable[[str], None]) -> pd.DataFrame:
    """All captions as tables.PROMPTS, in the file's order; what is left out is said, with its number.

    Left out are rows without a name or a caption, and all but the first of those that share one. Aspects that cannot
    be read are none; a column that a copy of the file lacks is empty. Raises ValueError naming the file if it is
    another one.
    """
    table = _read_csv(path)
    caption = table["caption"].str.split().str.join(" ")
    prompts = pd.DataFrame({"prompt_id": table["ytid"].str.strip(), "caption": caption})
    prompts["aspects"] = _aspects(table, say)
    for flag in FLAGS:
        prompts[flag] = table[flag].str.strip().str.lower().map(TRUTHS) if flag in table else None
    is_empty = (prompts["prompt_id"] == "") | (prompts["caption"] == "")
    kept = _without(prompts, is_empty, "without a name or a caption", say)
    kept = _without(kept, kept["prompt_id"].duplicated(), "named as an earlier one", say)
    return _without(kept, kept["caption"].duplicated(), "with an earlier one's caption", say).reset_index(drop=True)


def _read_csv(path: str | Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # not UTF-8, empty, or rows longer than the header
        raise ValueError(f"{path} cannot be read as CSV ({error}); delete it and run again") from error
    missing = sorted(set(NEEDED) - set(table))
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}, it has {list(table)[:12]}: it is not MusicCaps")
    return table


def _aspects(table: pd.DataFrame, say: Callable[[str], None]) -> list[list[str]]:
    """Of each row."""
    if "aspect_list" not in table:
        return [[] for _ in table.index]
    found = [_listed(text) for text in table["aspect_list"]]
    if None in found:
        say(f"{found.count(None)} lists of aspects cannot be read: these prompts have none")
    return [aspects or [] for aspects in found]


def _listed(text: str) -> list[str] | None:
    """A list of strings as Python writes it; None if it is none."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the last two where it is nested too deeply
        return None
    return found if isinstance(found, list) and all(isinstance(aspect, str) for aspect in found) else None


def _without(prompts: pd.DataFrame, is_out: pd.Series, what: str, say: Callable[[str], None]) -> pd.DataFrame:
    if is_out.any():
        say(f"{int(is_out.sum())} of {len(prompts)} prompts are left out: {what}")
    return prompts[~is_out]
