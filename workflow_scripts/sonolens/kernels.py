"""Loops compiled for this processor (numba)."""

from collections.abc import Callable

import numba


def kernel(function: Callable | None = None, **options) -> Callable:
    """Decorator: compile `function`, and keep what was compiled for the next process.

    It is kept beside the module, or in the user's cache folder; where neither can be written, each process compiles
    anew, a second for a handful of kernels. What was kept is used as long as the processor and the module's file are
    the same: so a kernel takes its numbers from its arguments or its own file, never from another module.
    """
    if function is None:
        return lambda function: kernel(function, **options)
    options = {"nogil": True} | options
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # "no locator available": no folder can be written
        return numba.njit(function, **options)
