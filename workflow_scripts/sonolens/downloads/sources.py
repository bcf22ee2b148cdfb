"""Files that are fetched: where from, what has to arrive, under which licence.

A card (of an encoder, a dataset) states what was released; the config's `downloads` may put a mirror or a file of the
user's own in its place, and says which restricting licences are accepted. Read by every Snakemake process, the remote
ones included, so nothing heavy is imported here; `fetching` does the work.
"""

import difflib
import functools
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

from sonolens import plugins

LICENCES = Path(__file__).parents[1] / "licences.yaml"

# Hexadecimal digits of a whole sum. The first eight suffice to tell files apart that were not made to collide.
SUM_DIGITS = {"sha256": 64, "md5": 32}
FEWEST_DIGITS = 8


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
        raise ValueError(f"there is no licence '{key}'; {_alternatives(key, _licences())}")
    return _licences()[key]


def _alternatives(name: str, known: object) -> str:
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"there are {', '.join(sorted(known)) or 'none'}{hint}"


def card_files(card: dict) -> list[dict]:
    """The files that a card names, those of all its variants included."""
    variants = card["variants"].values() if "variants" in card else []
    return [file for holder in (card, *variants) for file in (holder["files"] if "files" in holder else [])]


def wanted(card_file: dict, downloads: dict) -> dict:
    """What to fetch for one entry of a card's `files`: plain values, complete, None where something is not known.

    source is a link, or the path of a local file; link is the released one. Everything released is expected of a
    mirror and of a local file too, unless the config gives the sum of the user's own.
    """
    stated = {"size_bytes": None, "sha256": None, "md5": None, "sum_is_certain": True} | card_file
    source = replaced_link(stated["url"], downloads["mirrors"])
    if stated["name"] in downloads["files"]:
        own = downloads["files"][stated["name"]]
        if isinstance(own, dict):
            stated |= {"size_bytes": None, "md5": None, "sum_is_certain": True, "sha256": own["sha256"]}
            own = own["source"]
        source = _link_or_path(own)
    return {
        "name": stated["name"],
        "source": source,
        "link": stated["url"],
        "size_bytes": stated["size_bytes"],
        **{kind: _checked_sum(kind, stated[kind], stated["name"]) for kind in SUM_DIGITS},
        "sum_is_certain": stated["sum_is_certain"],
        "licence": licence(stated["licence"]).key,
    }


def replaced_link(link: str, mirrors: dict[str, str]) -> str:
    """`link` with the longest of the prefixes that it begins with replaced by what stands in for it."""
    prefixes = [prefix for prefix in mirrors if link.startswith(prefix)]
    if prefixes:
        prefix = max(prefixes, key=len)
        link = mirrors[prefix] + link.removeprefix(prefix)
    return _link_or_path(link)


def is_link(source: str) -> bool:
    """Whether it has to be downloaded, as against a path."""
    return source.startswith(("http://", "https://"))


def _link_or_path(source: str) -> str:
    """A link as it is, a path with `~` expanded, and the path that a file:// link means."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", source)
    if scheme is None:
        return str(Path(source).expanduser())
    if scheme[1].lower() in ("http", "https"):
        return scheme[1].lower() + source.removeprefix(scheme[1])
    if scheme[1].lower() == "file" and urlsplit(source).netloc in ("", "localhost"):
        return unquote(urlsplit(source).path)
    raise ValueError(f"'{source}' cannot be fetched: it has to be a path or begin with https://, http:// or file:///")


def _checked_sum(kind: str, digits: object, name: str) -> str | None:
    if digits is None:
        return None
    # YAML reads a sum that has no letters as a number
    if not isinstance(digits, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{FEWEST_DIGITS},{SUM_DIGITS[kind]}}}", digits):
        raise ValueError(
            f"'{digits}' is no {kind} of {name}: that is {SUM_DIGITS[kind]} hexadecimal digits, or its first "
            f"{FEWEST_DIGITS} or more, in quotes"
        )
    return digits.lower()


def own_sums(downloads: dict) -> dict[str, dict[str, str]]:
    """{name: {"sha256": sum}} of the files that a user's own stand in for."""
    own = {name: entry for name, entry in downloads["files"].items() if isinstance(entry, dict)}
    return {name: {"sha256": entry["sha256"]} for name, entry in own.items()}


def has_sum(wanted: dict) -> bool:
    """Whether the content is known: a sum is stated, and another one would be an error."""
    return wanted["sum_is_certain"] and any(wanted[kind] for kind in SUM_DIGITS)


def local_source(wanted: dict) -> str | None:
    """The path of the local file that is taken, an input of the rule; None for what is downloaded."""
    return None if is_link(wanted["source"]) else wanted["source"]


def refuse_unaccepted(entries: list[dict], downloads: dict) -> None:
    """Raise ValueError if a file of one of the entries is under a restricting licence that is not accepted.

    entries: resolved ones of a list of plugins, with `name` and `card`. The message lists what is fetched for which
    entry, what its licence forbids, and the line of the config that accepts it. A local copy is under it all the same.
    A misspelt name among those that the config gives of licences or files is a ValueError, too.
    """
    _refuse_unknown_names(entries, downloads)
    accepted = downloads["accepted_licences"]
    held_back = [
        (entry["name"], file["name"], licence(file["licence"]))
        for entry in entries
        for file in (entry["card"]["files"] if "files" in entry["card"] else [])
        if licence(file["licence"]).restricts and file["licence"] not in accepted
    ]
    if not held_back:
        return
    listed = [
        f"  {name}: {file} is under the {terms.title}: {terms.summary} ({terms.url})" for name, file, terms in held_back
    ]
    keys = list(dict.fromkeys([*accepted, *(terms.key for _, _, terms in held_back)]))
    raise ValueError(
        "licences that restrict use have to be accepted before their files are fetched:\n"
        + "\n".join(listed)
        + "\nIf you have read and accept them, write in the config:\n"
        + f"  downloads: {{accepted_licences: [{', '.join(keys)}]}}"
    )


def _refuse_unknown_names(entries: list[dict], downloads: dict) -> None:
    for key in downloads["accepted_licences"]:
        try:
            licence(key)
        except ValueError as error:
            raise ValueError(f"downloads.accepted_licences: {error}") from error
    if not downloads["files"]:
        return
    # of entries that are commented out for now, too: only a misspelt name is an error
    cards = [plugins.card(kind, module) for kind in ("encoders", "datasets") for module in plugins.available(kind)]
    cards += [entry["card"] for entry in entries]
    names = {file["name"] for card in cards for file in card_files(card)}
    for name in downloads["files"]:
        if name not in names:
            raise ValueError(f"downloads.files: no card names a file '{name}'; {_alternatives(name, names)}")
