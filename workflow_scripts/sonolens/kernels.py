"""Loops compiled for this processor (numba)."""

import functools
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core.registry import cpu_target


def kernel(function: Callable | None = None, **options) -> Callable:
    """Decorator: compile `function`, and keep what was compiled for the next process, beside its module or in the
    folder that the environment variable NUMBA_CACHE_DIR names.

    Where no file can be written there, each process compiles anew, a second for a handful of kernels. What was kept is
    used as long as the module's file and `lanes.py` are the same: so a kernel takes its numbers from its arguments, its
    own file or that one, never from another module.
    """
    if function is None:
        return lambda function: kernel(function, **options)
    options = {"nogil": True} | options
    folder = _folder(Path(function.__code__.co_filename).parent)
    if folder is None:
        return numba.njit(function, **options)
    setting, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)  # read while a function is decorated
    try:
        return numba.njit(function, cache=True, **options)
    finally:
        numba.config.CACHE_DIR = setting


@functools.cache
def _folder(beside: Path) -> Path | None:
    """Where what is compiled of a module in the folder `beside` is kept, if a file can be written there.

    Each kind of processor has its own: numba reads the index of a folder, adds to it and writes it back, so of two
    nodes that compile at the same time one could find the other's code under its name, and die of an illegal
    instruction. So has each text of `lanes.py`, which becomes a part of what is compiled.
    """
    system, name, features = cpu_target.target_context.codegen().magic_tuple()
    lanes = Path(__file__).with_name("lanes.py").read_text()
    processor = f"{name}-{hashlib.sha256((system + features + lanes).encode()).hexdigest()[:8]}"
    folder = Path(numba.config.CACHE_DIR or beside / "__pycache__") / processor
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder
