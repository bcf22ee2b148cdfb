"""Files of torch are zip archives with a checksum of each part, which torch does not look at."""

import zipfile
from pathlib import Path


def check_archive(path: str | Path, kind: str) -> None:
    """Raise ValueError, naming the file, unless all of it is there and sound. kind: what it should be, in words"""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError(unreadable(path, kind, error)) from error
    if damaged:
        raise ValueError(unreadable(path, kind, ValueError(f"wrong checksum of {damaged}")))


def unreadable(path: str | Path, kind: str, error: Exception) -> str:
    """What to tell of a file that torch cannot read as `kind`."""
    cause = str(error).strip().split("\n")[0].split(". ")[0]
    return (
        f"{path} cannot be read as {kind} ({cause}): it is damaged, cut off, or another kind of file; "
        "delete it and run again"
    )
