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
from sonolens.datasets.cocochorales_hours import Quotas, Taken
from sonolens.datasets.cocochorales_tracks import ENSEMBLES, Track, arriving, known, state_of
from sonolens.datasets.files import Supply, Tar, candidates, from_rows

SUMS = "cocochorales_md5s.txt"
# Archives per official split. The program that packed them put 2000 tracks into each, ensemble after ensemble, so that
# the first quarter of them should be strings; no archive has been looked into, so it is checked.
N_ARCHIVES = {"test": 12, "valid": 12, "train": 96}
NUMBERS = {"test": range(216001, 240001), "valid": range(192001, 216001), "train": range(1, 192001)}  # of its tracks
OFFICIAL = {"test": "test", "valid": "validation", "train": "train"}
BYTES_PER_HOUR = 2 * 16000 * 3600  # of its recordings: 16 bits, mono
N_IN_VAIN = 50  # tracks in a row that are of no use, after which an archive is left


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Read archives until the hours are there; rows of files.FILES, truth beside them.

    Raises ValueError if the official list of sums lacks an archive, if an archive holds no track or tracks of another
    split, or if there is nothing of an ensemble.
    """
    supply.reserve(int(options["hours"] * BYTES_PER_HOUR))
    sums = _sums(supply.file(SUMS))
    taken = Taken()
    for split, hours in _hours_of_splits(options, supply.splits).items():
        quotas = Quotas(dict.fromkeys(ENSEMBLES, 3600 * hours / len(ENSEMBLES)))
        for ensemble, number in _order(split, supply.seed):
            if quotas.lacks(ensemble):
                _read(folder, f"{split}/{number}", ensemble, quotas, taken, sums, options, supply)
        if untouched := quotas.untouched():
            raise ValueError(f"no archive of the {split} split has a track of use of these ensembles: {untouched}")
        if quotas.lacking_s() > 60:
            supply.note("shortage", f"{quotas.lacking_s() / 3600:.2f} h less than asked for in the {split} archives")
    if others := taken.other_formats():
        supply.note("other_format", f"{len(others)} tracks are not 16 kHz mono, and used as they are: {others[0]}")
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


def _read(
    folder: Path,
    name: str,
    ensemble: str,
    quotas: Quotas,
    taken: Taken,
    sums: dict[str, str],
    options: dict,
    supply: Supply,
) -> None:
    """Take tracks from one archive until there are enough, and give them their truth."""
    archive_name, split = f"main_dataset/{name}.tar.bz2", OFFICIAL[name.partition("/")[0]]
    used: list[Track] = []
    is_empty, n_in_vain = True, 0
    with supply.tar(archive_name, md5=_sum_of(archive_name, sums)) as archive:
        for track in _tracks(archive, folder, options["parts"]):
            is_empty = False
            _check(track, archive_name, ensemble, quotas, supply)
            is_useful = quotas.wants(track) and taken.take(track, split)
            n_in_vain = 0 if is_useful else n_in_vain + 1
            if is_useful:
                quotas.count(track)
                used.append(track)
            if not quotas.lacks(ensemble):
                break
            if n_in_vain == N_IN_VAIN:
                supply.note("left", f"{archive_name}: none of {N_IN_VAIN} tracks in a row is of use, it is left")
                break
    if is_empty:
        raise ValueError(f"{archive_name} holds no folder like string_track000001: it is another archive")
    cocochorales_f0.add(folder, name, used, options, lambda found: _sum_of(found, sums), supply)


def _check(track: Track, archive_name: str, ensemble: str, quotas: Quotas, supply: Supply) -> None:
    """Whether a track is where it should be. Raises ValueError if it is of another split."""
    split = archive_name.split("/")[1]
    if track.number not in NUMBERS[split]:
        own = next((name for name, numbers in NUMBERS.items() if track.number in numbers), "no")
        raise ValueError(
            f"{track.name} in {archive_name} is of the {own} split by its number, not of {split}: what is there is "
            "another archive, or several that were extracted to one folder. Give each a folder of its own"
        )
    if track.ensemble != ensemble and quotas.is_as_expected:
        quotas.is_as_expected = False
        found = f"{archive_name} has {track.name}, where tracks of {ensemble} ensembles were expected"
        supply.note("other_order", f"{found}; ensembles are balanced by what is found")


def _tracks(archive: Tar, folder: Path, parts: str) -> Iterator[Track]:
    """Those that an earlier process has dealt with, then those that arrive. Each is marked before it is handed on."""
    done = known(archive, folder, parts)
    yield from list(done)
    for track in arriving(archive, folder, parts, [track.name for track in done]):
        done.append(track)
        archive.mark(state_of(parts, done))
        yield track
