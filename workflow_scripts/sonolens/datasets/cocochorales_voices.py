"""Which voice of a CocoChorales track something is stated of: files, metadata and f0 count voices each in their way."""

import re
from collections.abc import Iterable

UNNUMBERED = 1 << 20


def in_order(stems: Iterable[str]) -> list[str]:
    """Names of stems, soprano first."""
    return sorted(stems, key=lambda stem: (_number_of(stem), stem))


def without_number(stem: str) -> str:
    """The instrument that the name of a stem ends with."""
    return re.sub(r"^\d+_", "", stem)


def paired(stems: list[str], keys: Iterable[object]) -> dict[str, object]:
    """By which of `keys` something is stated of each stem: its own name, or the key in the same place.

    stems: in order. As released, files count from 1 and metadata and f0 from 0, the documentation has files from 0:
    a number alone says nothing. Where there are not as many keys, instruments that are there once tell, or nothing.
    """
    keys = {str(key): key for key in keys}
    if keys.keys() <= set(stems) or set(stems) <= keys.keys():
        return {stem: keys[stem] for stem in stems if stem in keys}
    numbers = {_number_of(key) for key in keys}
    if len(keys) == len(numbers) == len(stems) and UNNUMBERED not in numbers:
        return {stem: keys[key] for stem, key in zip(stems, in_order(keys), strict=True)}
    instruments = [without_number(stem) for stem in stems]
    once = {name: stem for name, stem in zip(instruments, stems, strict=True) if instruments.count(name) == 1}
    return {stem: keys[name] for name, stem in once.items() if name in keys}


def _number_of(name: str) -> int:
    leading = re.match(r"\d+", name)
    return int(leading[0]) if leading else UNNUMBERED
