"""A disk on which something may find no room."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def refuse_small(folder: Path, name: str, n_missing: int) -> None:
    """Raise OSError, with both numbers, if so many bytes more of what is called `name` do not fit."""
    free = shutil.disk_usage(folder).free
    if n_missing > free:
        detail = f"{name} needs {n_missing / 1e9:.2f} GB more and there are {free / 1e9:.2f} GB left"
        raise OSError(errno.ENOSPC, detail, str(folder))


@contextlib.contextmanager
def making_room(folder: Path, name: str, remove: Callable[[], None]) -> Iterator[None]:
    """While something is written: on a full disk the error names it, and what there is of it is removed."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        remove()
        detail = f"{error.strerror} while writing {name}; nothing of it was kept"
        raise OSError(error.errno, detail, str(folder)) from error


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def becomes(temporary: Path, path: Path) -> None:
    """Flush it to disk and give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flush(temporary)
    temporary.replace(path)
