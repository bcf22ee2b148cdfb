"""Which class is meant: by its name, a value that lies in it, or its position. Light, as bins are."""

import difflib
import re
from collections.abc import Iterable

import numpy as np

from sonolens.labels import bins
from sonolens.labels.bins import Bins

_VALUE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)")


def class_index(wanted: str, classes: Bins, attribute: str) -> int:
    """The class that `wanted` means: by its name, by a value that lies in it, or by its position as index:N.

    Upper and lower case are alike. Raises ValueError, with the nearest names and the range, if there is no such class.
    """
    names = [name.casefold() for name in classes.class_names]
    if names.count(wanted.strip().casefold()) == 1:
        return names.index(wanted.strip().casefold())
    if (position := re.fullmatch(r"index:(\d+)", wanted.strip())) and int(position[1]) < classes.n_classes:
        return int(position[1])
    value = _VALUE.fullmatch(wanted.strip())
    if value and value[2].casefold() in _spellings(classes.unit):
        index = int(bins.classify(np.array([float(value[1])]), classes)[0])
        if index != bins.LEFT_OUT:
            return index
    raise ValueError(
        f"{attribute} has no class '{wanted}'{like(wanted, classes.class_names)}; its classes are "
        f"{described(classes)}; a number is a value in {classes.unit}, index:N the class at position N, 0 to "
        f"{classes.n_classes - 1}"
    )


def described(classes: Bins) -> str:
    """All classes in a few words: the outer ones, and that of undefined frames."""
    of_bins = classes.class_names[: len(classes.edges) - 1]
    others = classes.class_names[len(of_bins) :]
    return ", ".join([f"'{of_bins[0]}' to '{of_bins[-1]}'", *(f"'{name}'" for name in others)])


def _spellings(unit: str) -> set[str]:
    """How a value's unit may be written: not at all, in full, or without or as what it has in brackets."""
    return {"", unit.casefold(), *(part.strip(" )").casefold() for part in unit.split("("))}


def like(wanted: str, there: Iterable[str]) -> str:
    """Names like `wanted`, as part of a message; nothing if there are none."""
    by_folded = {name.casefold(): name for name in there}
    near = difflib.get_close_matches(wanted.casefold(), list(by_folded), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(by_folded[name] for name in near)}?)" if near else ""


def not_there(wanted: str, there: Iterable[str], what: str) -> ValueError:
    """The error that there is no such thing, with the nearest names and all of them."""
    there = list(there)
    return ValueError(f"there is no {what} '{wanted}'{like(wanted, there)}; there are: {', '.join(there)}")
