"""A digest of what lies in a user's folder, so that a new or changed recording there is noticed."""

import hashlib
from pathlib import Path


def digest(folder: str, patterns: list[str], table: str | None) -> str | None:
    """Hash of name, size and time of change of all files that the patterns match, and of the table's content.

    None if there is no such folder: the job that reads it says so in its own words.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        return None
    found = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()}):
        state = path.stat()
        found.update(f"{path.relative_to(root)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="replace"))
    if table is not None and Path(table).expanduser().is_file():
        found.update(Path(table).expanduser().read_bytes())
    return found.hexdigest()
