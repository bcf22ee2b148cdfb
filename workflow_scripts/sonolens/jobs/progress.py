"""How far a long job is: a bar on the terminal of a person who looks on, else in the job's log; and in its lease."""

from typing import TextIO

from tqdm import tqdm

from sonolens.jobs.lease import Lease

LOG_INTERVAL_S, SCREEN_INTERVAL_S = 5.0, 0.5

# Where stderr led before it became the log
_screen: TextIO | None = None
_lease: Lease | None = None


def is_seen_on(screen: TextIO | None) -> None:
    """From now on bars are drawn there, if it is a terminal."""
    global _screen
    _screen = screen


def is_written_to(lease: Lease | None) -> None:
    """From now on the lease says how far the bar is, to whoever asks for the state of the workflow."""
    global _lease
    _lease = lease


class _Bar(tqdm):
    def update(self, n: float = 1) -> bool | None:
        shown = super().update(n)
        if _lease is not None and self.total:
            _lease.progress = {"done": round(self.n / 1e6), "total": round(self.total / 1e6), "unit": "MB"}
        return shown


def of_bytes(what: str, n_bytes: int | None, n_there: int = 0) -> tqdm:
    """A bar, with rate and time left, of which n_there bytes are there at its beginning. A context manager."""
    counted = {"desc": what, "total": n_bytes, "initial": n_there, "unit": "B", "unit_scale": True}
    if _screen is None or not _screen.isatty():
        return _Bar(**counted, mininterval=LOG_INTERVAL_S)
    # Removed at its end: what is done is said in the log
    return _Bar(**counted, mininterval=SCREEN_INTERVAL_S, file=_screen, dynamic_ncols=True, leave=False)
