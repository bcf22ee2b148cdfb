"""The licences of what is fetched, as licences.yaml has them."""

import difflib
import functools
from pathlib import Path
from typing import NamedTuple

import yaml

LICENCES = Path(__file__).parents[1] / "licences.yaml"


class Licence(NamedTuple):
    """One entry of licences.yaml."""

    key: str
    title: str
    url: str
    restricts: bool  # not everyone may use it for everything: it has to be accepted in the config
    summary: str  # one sentence: what it forbids or asks for


@functools.cache
def _licences() -> dict[str, Licence]:
    return {key: Licence(key, **entry) for key, entry in yaml.safe_load(LICENCES.read_text()).items()}


def licence(key: str) -> Licence:
    """The licence called `key`. Raises ValueError, naming near ones, if licences.yaml has none of that name."""
    if key not in _licences():
        raise ValueError(f"there is no licence '{key}'; {alternatives(key, _licences())}")
    return _licences()[key]


def alternatives(name: str, known: object) -> str:
    """Which names there are, and which of them was meant, in words."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"there are {', '.join(sorted(known)) or 'none'}{hint}"
