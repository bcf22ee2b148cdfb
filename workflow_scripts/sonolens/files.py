"""Files that are either whole or not there."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there once the block has ended well.

    The temporary file is flushed to disk before the rename, and removed if the block raises (a full disk
    included), so that nothing half-written ever stands under `path`. The name is new for each call: two
    writers of one path do not meet, the last to finish wins.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path, secrets.token_hex(4)))
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())  # some writers (safetensors) keep a file to its owner
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror or error} while writing {path}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name(path: Path, unique: str) -> str:
    # The suffix is kept: soundfile, numpy and matplotlib choose a format by it.
    return f".{path.stem}.{unique}.tmp{path.suffix}"


def remove_temporaries(paths: Iterable[str | Path]) -> None:
    """Remove what writers of these paths left behind when they were killed. Nobody else may be writing them."""
    for path in map(Path, paths):
        for left in path.parent.glob(_temporary_name(path, "*")):
            left.unlink(missing_ok=True)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Put `source` under the name `target` as well: a hard link where the file system has them, else a copy."""
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_json(path: str | Path, content: dict | list) -> None:
    """Write JSON with sorted keys; NaN is refused, since it is not JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read JSON; a damaged file is named in the error."""
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); delete it and run again") from error
