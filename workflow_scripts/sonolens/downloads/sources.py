"""Files that are fetched: where from, what has to arrive, under which licence.

A card (of an encoder, a dataset) states what was released, a name and its link being the template of many files
maybe; the config's `downloads` may put a mirror, a file of the user's own or the folder that an archive was extracted
to in its place, and says which restricting licences are accepted. Read by every Snakemake process, the remote ones
included, so nothing heavy is imported here; `fetching` does the work.
"""

import json
import re

from sonolens import plugins
from sonolens.downloads import templates
from sonolens.downloads.licences import alternatives, licence
from sonolens.downloads.links import as_it_lies, is_link, link_or_path, replaced_link

# Hexadecimal digits of a whole sum. The first eight suffice to tell files apart that were not made to collide.
SUM_DIGITS = {"sha256": 64, "md5": 32}
FEWEST_DIGITS = 8


def card_files(card: dict) -> list[dict]:
    """The files that a card names, those of all its variants included."""
    variants = card["variants"].values() if "variants" in card else []
    return [file for holder in (card, *variants) for file in _files(holder)]


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
        source = link_or_path(own)
    return {
        "name": stated["name"],
        "source": source,
        "link": stated["url"],
        "size_bytes": stated["size_bytes"],
        **{kind: _checked_sum(kind, stated[kind], stated["name"]) for kind in SUM_DIGITS},
        "sum_is_certain": stated["sum_is_certain"],
        "licence": licence(stated["licence"]).key,
    }


def wanted_by_name(files: list[dict], name: str, downloads: dict, md5: str | None = None) -> dict:
    """`wanted` for the file called `name` among a card's `files`, where an entry may be the template of many.

    md5: as if the card stated it. What stands in for a template stands in for all that are of it, placeholders filled
    in; a name of its own goes before. Where a local archive is not there, but the folder that it was extracted to is,
    source is that folder. Raises ValueError if the card has no such file.
    """
    stated, values = _entry(files, name)
    own = downloads["files"]
    if name not in own and stated["name"] in own:
        own = {name: templates.filled(own[stated["name"]], values)}
    instance = stated | {"name": name, "url": templates.filled(stated["url"], values)} | ({"md5": md5} if md5 else {})
    found = wanted(instance, downloads | {"files": own})
    return found | {"source": found["source"] if is_link(found["source"]) else as_it_lies(found["source"])}


def _entry(files: list[dict], name: str) -> tuple[dict, dict[str, str]]:
    """The entry of that name or of a template that fits it, and what the placeholders stand for."""
    for file in files:
        values = templates.values_in(name, file["name"])
        if file["name"] == name or values is not None:
            return file, values or {}
    raise ValueError(f"the card names no file '{name}'; {alternatives(name, [file['name'] for file in files])}")


def origin(card: dict, downloads: dict) -> str:
    """Where the files of a dataset come from, as compact JSON: no part of what they are. `as_told` reads it.

    Raises ValueError if one of them cannot be fetched from where the config says.
    """
    own = _own_of(card, downloads)
    for name in [*own, *(file["name"] for file in _files(card))]:
        wanted_by_name(_files(card), name, downloads)
    sources = {name: entry["source"] if isinstance(entry, dict) else entry for name, entry in own.items()}
    return json.dumps({"mirrors": downloads["mirrors"], "files": sources}, separators=(",", ":"), sort_keys=True)


def own_sums_of(card: dict, downloads: dict) -> dict[str, dict[str, str]]:
    """`own_sums` of the files of one card: what they are, besides what the card says."""
    return own_sums({"files": _own_of(card, downloads)})


def as_told(origin: str, own_sums: dict[str, dict[str, str]]) -> dict:
    """The config's `downloads`, so far as it concerns one card, from what `origin` and `own_sums_of` made of it."""
    told = json.loads(origin)
    with_sums = {name: {"source": told["files"][name]} | own for name, own in own_sums.items()}
    return {"accepted_licences": [], "mirrors": told["mirrors"], "files": told["files"] | with_sums}


def _own_of(card: dict, downloads: dict) -> dict:
    """Of what the config puts in the place of files, that which concerns this card."""
    patterns = [file["name"] for file in _files(card)]
    return {name: own for name, own in downloads["files"].items() if _is_one_of(name, patterns)}


def _is_one_of(name: str, patterns: list[str]) -> bool:
    return name in patterns or any(templates.values_in(name, pattern) is not None for pattern in patterns)


def _files(card: dict) -> list[dict]:
    return card["files"] if "files" in card else []


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
        for file in _files(entry["card"])
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
    kinds = ("encoders", "datasets", "prompts", "generators")
    cards = [plugins.card(kind, module) for kind in kinds for module in plugins.available(kind)]
    cards += [entry["card"] for entry in entries]
    names = sorted({file["name"] for card in cards for file in card_files(card)})
    for name in downloads["files"]:
        if isinstance(downloads["files"][name], dict) and templates.is_template(name):
            raise ValueError(f"downloads.files: '{name}' stands for many files, and one sum cannot be that of them all")
        if not _is_one_of(name, names):
            raise ValueError(f"downloads.files: no card names a file '{name}'; {alternatives(name, names)}")
