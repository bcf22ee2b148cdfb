"""DAMP-VSEP: karaoke performances of half a minute, as their singers recorded them on telephones.

Access has to be asked for, so nothing is fetched: recordings are read where the user has them. A performance is a
folder <n>/<COUNTRY>/<language>/<arrangement>_<performance>; recordings of one arrangement have one accompaniment and
stay in one split. Who sings is not said.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from sonolens import audio, plugins
from sonolens.datasets import choice
from sonolens.datasets.files import Supply, candidates, from_rows

FILES_OF = {"mix": "mix.m4a", "vocals": "vocal.ogg"}
COLUMNS = {"mix": "mix_path", "vocals": "vocal_path"}  # of the table
SECOND_VOICE = "vocal2.ogg"
PERFORMANCE = re.compile(r"(?P<arrangement>[^_/]+)_[^/]+")
LAYOUT = "<n>/<COUNTRY>/<language>/<arrangement>_<performance>"
USUAL_S = 29.7  # how long a performance whose file cannot be read is taken to be; it is rejected later, by name


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Draw performances out of the user's folder; rows of files.FILES.

    Raises PermissionError with the way to get access if no path is given, FileNotFoundError or ValueError if the folder
    or the table are not what they should be.
    """
    if options["path"] is None:
        raise PermissionError(plugins.card("datasets", "damp_vsep")["gated"])
    root = Path(options["path"]).expanduser().absolute()
    performances = _performances(root, options["part"], options["singles_only"])
    if options["table"] is not None:
        performances = _listed(performances, Path(options["table"]).expanduser(), options["part"])
    elif options["singles_only"]:
        supply.say("a duet whose second voice lies in another folder cannot be told from a solo without `table`")
    chosen = choice.choose(performances, options["hours"], supply.seed, supply.splits, _duration_s)
    if chosen.shortage:
        supply.note("shortage", chosen.shortage)
    described = {"kind": "solo", "instrument": "voice"} if options["part"] == "vocals" else {"kind": "mix"}
    return from_rows([_row(row) | described for _, row in chosen.recordings.iterrows()])


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every recording as a candidate (files.CANDIDATES), called by the folder of its performance."""
    root = Path(options["path"]).expanduser().absolute()
    rows = candidates(folder, files)
    rows["stem"] = [PurePosixPath(path).parent.relative_to(root).as_posix() for path in files["path"]]
    return rows


def _performances(root: Path, part: str, singles_only: bool) -> pd.DataFrame:
    """Performances that have the part, with what choose() needs."""
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder '{root}'; correct `path` of damp_vsep in the config")
    rows, n_folders = [], 0
    for path, names in _folders(root):
        n_folders += 1
        if FILES_OF[part] in names and not (singles_only and SECOND_VOICE in names):
            name = path.relative_to(root).as_posix()
            group = PERFORMANCE.fullmatch(path.name)["arrangement"]
            rows.append({"name": name, "path": str(path / FILES_OF[part]), "group": group})
    if not rows:
        raise ValueError(
            f"'{root}' has {n_folders} folders {LAYOUT}, and none of them a {FILES_OF[part]}; `path` of damp_vsep in "
            "the config has to be the folder that holds 1/, 2/, ..."
        )
    return pd.DataFrame(rows).assign(stratum="", split=choice.NO_SPLIT)


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders of performances, in order, with the names in each."""
    level = [root]
    for _ in range(3):
        level = [Path(entry.path) for path in level for entry in _sorted(path) if entry.is_dir()]
    for path in level:
        for entry in _sorted(path):
            if entry.is_dir() and PERFORMANCE.fullmatch(entry.name):
                yield Path(entry.path), {file.name for file in _sorted(Path(entry.path))}


def _sorted(path: Path) -> list[os.DirEntry]:
    with os.scandir(path) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _listed(performances: pd.DataFrame, path: Path, part: str) -> pd.DataFrame:
    """Those that the table lists, by the folder that its paths lead to."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no table '{path}'; correct `table` of damp_vsep in the config")
    table, column = pd.read_csv(path, dtype=str, keep_default_na=False), COLUMNS[part]
    if column not in table:
        raise ValueError(f"{path} has no column '{column}'; its columns are {list(table.columns)}")
    wanted = {PurePosixPath(listed).parent.name for listed in table[column]}
    found = performances[[PurePosixPath(name).name in wanted for name in performances["name"]]]
    if found.empty:
        raise ValueError(
            f"not one of {len(wanted)} performances in {path} is among the {len(performances)} that are there"
        )
    return found


def _duration_s(performance: dict) -> float:
    try:
        n_samples, sample_rate_hz, _ = audio.header(performance["path"])
    except (RuntimeError, ValueError, OSError):  # libsndfile's error is a RuntimeError
        return USUAL_S
    return n_samples / sample_rate_hz


def _row(performance: pd.Series) -> dict:
    state = Path(performance["path"]).stat()
    where = {"path": performance["path"], "size_bytes": state.st_size, "modified_ns": state.st_mtime_ns}
    return where | {"group": performance["group"]}
