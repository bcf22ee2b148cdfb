"""How far a long job is: a bar on the terminal of a person who looks on, else in the job's log."""

from typing import TextIO

from tqdm import tqdm

LOG_INTERVAL_S, SCREEN_INTERVAL_S = 5.0, 0.5

# Where stderr led before it became the log
_screen: TextIO | None = None


def is_seen_on(screen: TextIO | None) -> None:
    """From now on bars are drawn there, if it is a terminal."""
    global _screen
    _screen = screen


def of_bytes(what: str, n_bytes: int | None, n_there: int = 0) -> tqdm:
    """A bar, with rate and time left, of which n_there bytes are there at its beginning. A context manager."""
    counted = {"desc": what, "total": n_bytes, "initial": n_there, "unit": "B", "unit_scale": True}
    if _screen is None or not _screen.isatty():
        return tqdm(**counted, mininterval=LOG_INTERVAL_S)
    # Removed at its end: what is done is said in the log
    return tqdm(**counted, mininterval=SCREEN_INTERVAL_S, file=_screen, dynamic_ncols=True, leave=False)
