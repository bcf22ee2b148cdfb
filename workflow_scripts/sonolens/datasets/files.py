"""What a dataset's module hands over: the files there are, and what each of them is.

A dataset is a module of this folder with a card beside it. It offers two functions:

`fetch(folder, options, seed, n_workers) -> DataFrame` puts the data under `folder`, or only looks at data that lie
elsewhere, and returns what there is (FILES).
`index(folder, files, options) -> DataFrame` returns what each file is (CANDIDATES), before anything is checked.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from sonolens import plugins, tables

# What fetch returns and files.parquet holds. Text columns are '' where nothing is known.
FILES = pa.schema(
    [
        ("path", pa.string()),  # relative to the dataset's folder under resources/, or absolute for a user's own
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),  # time of change; 0 where sha256 is known
        ("sha256", pa.string()),  # '' where the file was listed, not read
        ("group", pa.string()),
        ("kind", pa.string()),
        ("instrument", pa.string()),
        ("split", pa.string()),  # '' where it is to be drawn
        ("truth_f0_path", pa.string()),  # as path
        ("truth_notes_path", pa.string()),
    ]
)
# What index returns: columns of FILES, a stem unique in the dataset, and `problem` where a file is out from the start
CANDIDATES = ("stem", "path", "group", "kind", "instrument", "split", "truth_f0_path", "truth_notes_path", "problem")


def from_rows(rows: list[dict]) -> pd.DataFrame:
    """A table of FILES; text that a row does not give is ''."""
    empty = {field.name: "" for field in FILES if field.type == pa.string()}
    return pd.DataFrame([empty | row for row in rows], columns=FILES.names)


def fetch(module: str, path: str | Path, options: dict, seed: int, n_workers: int) -> None:
    """Fetch a dataset into the folder of `path`, and list its files there. Processes: at most `n_workers`."""
    path = Path(path)
    files = plugins.load("datasets", module).fetch(path.parent, options, seed, n_workers)
    tables.write(files, path, FILES)
