"""How often a server that fails is asked again, and after which waits."""

import time
from collections.abc import Callable

from sonolens.downloads import faults

WAITS_S = (1, 2, 5, 15, 30)  # before each further try; counted anew once more has arrived than ever before


class Tries:
    """The tries at one file."""

    def __init__(self, wanted: dict, say: Callable[[str], None]):
        self._wanted, self._say = wanted, say
        self._furthest, self._n_failures = 0, 0

    def again(self, error: faults.Broken, n_there: int) -> None:
        """Wait before the next try. n_there: bytes that have arrived by now. Raises DownloadError if none is left."""
        if n_there > self._furthest:
            self._furthest, self._n_failures = n_there, 0
        if self._n_failures == len(WAITS_S):
            raise faults.given_up(self._wanted, str(error), n_there) from error
        wait_s = max(WAITS_S[self._n_failures], error.wait_s)
        self._n_failures += 1
        self._say(f"{error}; trying again in {wait_s:g} s")
        time.sleep(wait_s)
