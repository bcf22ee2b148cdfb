"""A user's own folder of recordings as a dataset: listed where it lies, nothing is copied."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

import pandas as pd

from sonolens.datasets.files import Making, from_rows

KINDS = ("solo", "mix", "drums", "unknown")
NOT_IN_TABLE = "not listed in the table"


def fetch(folder: Path, options: dict, making: Making) -> pd.DataFrame:
    """List the recordings that the patterns match, with size and time of change (files.FILES), sorted by path.

    Raises FileNotFoundError or NotADirectoryError if there is no such folder, ValueError if nothing matches.
    """
    root = Path(options["path"]).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"there is no folder '{root}'; correct `path` of this dataset in the config")
    if not root.is_dir():
        raise NotADirectoryError(f"'{root}' is a file, not a folder; correct `path` of this dataset in the config")
    found = {path for pattern in options["pattern"] for path in root.glob(pattern) if not path.is_dir()}
    if not found:
        raise ValueError(f"no file in '{root}' matches {options['pattern']}; correct `pattern` of this dataset")
    rows = []
    for path in sorted(found):
        state = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
        row = {"path": _text(path), "size_bytes": state.st_size, "modified_ns": state.st_mtime_ns}
        rows.append(row | {"kind": "unknown"})
    return from_rows(rows)


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every file as a candidate (files.CANDIDATES), grouped as `split_by` says."""
    root = Path(_text(Path(options["path"]).expanduser()))
    rows = files.drop(columns=["size_bytes", "modified_ns", "sha256"])  # paths are relative to the project's root
    names = [PurePosixPath(path).relative_to(root).as_posix() for path in rows["path"]]
    rows["stem"] = _stems(names)
    rows["problem"] = None
    if options["table"] is not None:
        _fill_from_table(rows, names, Path(options["table"]).expanduser())
    if options["split_by"] == "file":
        rows["group"] = rows["stem"]
    elif options["split_by"] == "parent":
        rows["group"] = [PurePosixPath(name).parent.as_posix() for name in names]
    elif options["table"] is None:
        raise ValueError(f"split_by: '{options['split_by']}' is a column of `table`, and no table is given")
    else:
        rows["group"] = _column(rows, options)
    return rows


def _fill_from_table(rows: pd.DataFrame, names: list[str], path: Path) -> None:
    """Put the table's columns beside the files (as `table:<column>`), its split, kind and instrument in their place."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no table '{path}'; correct `table` of this dataset in the config")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "path" not in table:
        raise ValueError(f"{path} has no column 'path'; its columns are {list(table.columns)}")
    table.index = [_normal(PurePosixPath(name).as_posix()) for name in table.pop("path")]
    twice = sorted(set(table.index[table.index.duplicated()]))
    if twice:
        raise ValueError(f"{path} lists files more than once: {twice[:10]}")
    matched = table.reindex([_normal(name) for name in names])
    is_listed = matched.index.isin(table.index)
    rows.loc[~is_listed, "problem"] = NOT_IN_TABLE
    for column in matched:
        rows[f"table:{column}"] = matched[column].fillna("").to_numpy()
    for column in {"split", "kind", "instrument"} & set(matched):
        rows[column] = rows[f"table:{column}"]
    rows["kind"] = rows["kind"].replace("", "unknown")
    strange = sorted(set(rows["kind"]) - set(KINDS))
    if strange:
        raise ValueError(f"{path}: the kind of a recording is one of {KINDS}, not {strange}")


def _column(rows: pd.DataFrame, options: dict) -> pd.Series:
    name = f"table:{options['split_by']}"
    if name not in rows:
        columns = [column.removeprefix("table:") for column in rows if column.startswith("table:")]
        raise ValueError(f"split_by: {options['table']} has no column '{options['split_by']}'; it has {columns}")
    return rows[name]


def _stems(names: list[str]) -> list[str]:
    """Names without suffix where that is enough to tell them apart, with it where two would be one."""
    short = [_normal(PurePosixPath(name).with_suffix("").as_posix()) for name in names]
    return [stem if short.count(stem) == 1 else _normal(name) for stem, name in zip(short, names, strict=True)]


def _normal(name: str) -> str:
    """Accents composed: file systems differ in how they spell é."""
    return unicodedata.normalize("NFC", name)


def _text(path: Path) -> str:
    """A path as valid text; a name that is not UTF-8 becomes one that is not found, and is rejected as such."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
