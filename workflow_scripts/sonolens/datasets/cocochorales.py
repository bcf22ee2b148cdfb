"""CocoChorales: Bach chorales harmonised by a network and played by synthesised ensembles of four.

Its archives have some 2000 tracks (11 h, 5 GB) each. Of every ensemble, and of every official split, one is read from
its beginning as far as it is wanted; which one, the seed says. Tracks made from one MIDI file stay in one split.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sonolens.datasets import cocochorales_f0
from sonolens.datasets.choice import TORN
from sonolens.datasets.cocochorales_tracks import ENSEMBLES, Track, arriving, known
from sonolens.datasets.files import Supply, candidates, from_rows

SUMS = "cocochorales_md5s.txt"
# Archives per official split. That the first quarter of them are strings, and so on, is taken on trust and checked.
N_ARCHIVES = {"test": 12, "valid": 12, "train": 96}
OFFICIAL = {"test": "test", "valid": "validation", "train": "train"}
BYTES_PER_HOUR = 2 * 16000 * 3600  # of its recordings: 16 bits, mono
N_IN_VAIN = 300  # tracks in a row that are of no use, after which an archive is left


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Read archives until the hours are there; rows of files.FILES, truth beside them.

    Raises ValueError if the official list of sums lacks an archive, or an archive holds no track.
    """
    supply.reserve(int(options["hours"] * BYTES_PER_HOUR))
    sums = _sums(supply.file(SUMS))
    taken = _Taken()
    for split, hours in _hours_of_splits(options, supply.splits).items():
        quotas = _Quotas(dict.fromkeys(ENSEMBLES, 3600 * hours / len(ENSEMBLES)))
        for ensemble, number in _order(split, supply.seed):
            if quotas.lacks(ensemble):
                _read(folder, f"{split}/{number}", ensemble, quotas, taken, sums, options, supply)
        if quotas.lacking_s() > 60:
            supply.note("shortage", f"{quotas.lacking_s() / 3600:.2f} h less than asked for in the {split} archives")
    return from_rows(taken.rows(options["split"] == "official"))


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every recording as a candidate (files.CANDIDATES), called <track>/<mix or stem>."""
    rows = candidates(folder, files)
    rows["stem"] = [re.search(r"[a-z]+_track\d{6}/(.*/)?[^/]+$", path)[0].rsplit(".", 1)[0] for path in files["path"]]
    rows["stem"] = rows["stem"].str.replace("stems_audio/", "")
    return rows


def _sums(path: Path) -> dict[str, str]:
    """The official list: lines of an md5 and a path."""
    found = {}
    for line in path.read_text().splitlines():
        md5, _, name = line.strip().partition(" ")
        if re.fullmatch(r"[0-9a-fA-F]{32}", md5):
            found[name.strip().lstrip("*").removeprefix("./")] = md5.lower()
    if not found:
        raise ValueError(f"{path} is not the list of CocoChorales' checksums: no line of it has an md5")
    return found


def _sum_of(name: str, sums: dict[str, str]) -> str:
    """That of one archive, whatever folder the list has it under."""
    matching = {md5 for path, md5 in sums.items() if path == name or path.endswith(f"/{name}")}
    if len(matching) != 1:
        raise ValueError(f"{SUMS} has {'no' if not matching else 'more than one'} checksum of {name}")
    return matching.pop()


def _hours_of_splits(options: dict, shares: dict[str, float]) -> dict[str, float]:
    """Hours out of the archives of each official split, the test split first; out of one if splits are drawn."""
    if options["split"] == "drawn":
        return {"valid": options["hours"]}
    wanted = {split: shares[name] for split, name in OFFICIAL.items() if shares[name] > 0}
    return {split: options["hours"] * share / sum(wanted.values()) for split, share in wanted.items()}


def _order(split: str, seed: int) -> Iterator[tuple[str, int]]:
    """(ensemble that it should be of, number) of a split's archives: one of each ensemble, then another of each."""
    n_each = N_ARCHIVES[split] // len(ENSEMBLES)
    rng = np.random.default_rng([seed, *split.encode()])
    drawn = [rng.permutation(n_each) for _ in ENSEMBLES]
    for turn in range(n_each):
        for place, ensemble in enumerate(ENSEMBLES):
            yield ensemble, 1 + place * n_each + int(drawn[place][turn])


class _Quotas:
    """Seconds that are wanted of each ensemble in one split."""

    def __init__(self, wanted_s: dict[str, float]):
        self._left_s = wanted_s
        self.is_as_expected = True  # every archive is of the ensemble that it should be of

    def lacks(self, ensemble: str) -> bool:
        """Whether an archive that should be of this ensemble is worth reading."""
        return self._left_s[ensemble] > 0 if self.is_as_expected else self.lacking_s() > 0

    def wants(self, track: str) -> bool:
        """Whether more is wanted of the ensemble of that track."""
        return self._left_s[track.partition("_")[0]] > 0

    def count(self, track: Track) -> None:
        self._left_s[track.ensemble] -= track.duration_s

    def lacking_s(self) -> float:
        return sum(max(0.0, left_s) for left_s in self._left_s.values())


class _Taken:
    """Tracks of all archives, and which split each source is in."""

    def __init__(self) -> None:
        self._split_of: dict[str, str] = {}
        self._tracks: list[tuple[Track, str, str]] = []  # with its split, and why it is left out

    def take(self, track: Track, split: str) -> bool:
        """Whether it can be used: there is sound, and its source is in no other split. It is listed in any case."""
        reason = track.problem
        if not reason and self._split_of.setdefault(track.group, split) != split:
            reason = f"{TORN}: {track.group} is used in the {self._split_of[track.group]} split"
        self._tracks.append((track, split, reason))
        return not reason

    def rows(self, is_official: bool) -> list[dict]:
        return [
            row | {"group": track.group, "split": split if is_official else "", "left_out": reason}
            for track, split, reason in self._tracks
            for row in track.rows
        ]


def _read(
    folder: Path,
    name: str,
    ensemble: str,
    quotas: _Quotas,
    taken: _Taken,
    sums: dict[str, str],
    options: dict,
    supply: Supply,
) -> None:
    """Take tracks from one archive until there are enough, and give them their truth."""
    archive_name, split = f"main_dataset/{name}.tar.bz2", OFFICIAL[name.partition("/")[0]]
    used: list[Track] = []
    with supply.tar(archive_name, md5=_sum_of(archive_name, sums)) as archive:
        in_vain = 0
        for track in _tracks(archive, folder, options["parts"], quotas):
            if track.ensemble != ensemble and quotas.is_as_expected:
                quotas.is_as_expected = False
                found = f"{archive_name} begins with {track.name}, where tracks of {ensemble} ensembles were expected"
                supply.note("other_order", f"{found}; ensembles are balanced by what is found")
            is_useful = quotas.wants(track.name) and taken.take(track, split)
            in_vain = 0 if is_useful else in_vain + 1
            if is_useful:
                quotas.count(track)
                used.append(track)
            if not quotas.lacks(ensemble) or in_vain == N_IN_VAIN:
                break
        else:
            if not used and not in_vain:
                raise ValueError(f"{archive_name} holds no folder like string_track000001: it is another archive")
    cocochorales_f0.add(folder, name, used, options, lambda found: _sum_of(found, sums), supply)


def _tracks(archive: object, folder: Path, parts: str, quotas: _Quotas) -> Iterator[Track]:
    """Those that an earlier process has dealt with, then those that arrive. Each is marked before it is handed on."""
    done = known(archive, folder, parts)
    yield from list(done)
    for track in arriving(archive, folder, parts, quotas.wants):
        done.append(track)
        archive.mark({"parts": parts, "tracks": [one.as_json() for one in done]})
        yield track
