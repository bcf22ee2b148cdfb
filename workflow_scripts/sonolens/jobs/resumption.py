"""What a long computation needs in order to survive: when to save, when to leave, and where."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sonolens.jobs.interruption import Interrupted, Interruption
from sonolens.jobs.lease import Lease

# Before a time limit strikes, a computation needs this long to save its state and leave, or a quarter of its time.
MARGIN_S = 60.0


@dataclass
class Resumption:
    """Handed to a computation that can go on where an earlier attempt was stopped.

    It restores itself from `folder`, then calls `after` behind every step.
    """

    folder: Path  # named by everything the computation depends on
    interval_s: float  # at most this much work is lost
    say: Callable[[str, str], None]  # (event, detail): sonolens.life
    interruption: Interruption
    lease: Lease
    deadline: float | None = None  # on the monotonic clock: the time limit, the margin taken off
    _saved_at: float = field(default_factory=time.monotonic)

    def after(self, done: int, total: int, unit: str, save: Callable[[], None]) -> None:
        """A step is over and the state is whole: save it if it is time to, and leave if told to.

        Signals wait for this call from the first step to the last. Raises Interrupted once the state is saved.
        """
        self.lease.progress = {"done": done, "total": total, "unit": unit}
        self.interruption.is_deferred = done < total
        reason = self.interruption.reason
        if not reason and self.deadline is not None and time.monotonic() > self.deadline and done < total:
            reason = "the time limit is near"
        if reason or done == total or time.monotonic() - self._saved_at > self.interval_s:
            self._save(done, save)
        if reason:
            raise Interrupted(f"{reason} at {done} of {total} {unit}")

    def _save(self, done: int, save: Callable[[], None]) -> None:
        """A state that cannot be saved is a risk, not a failure: the one before it still stands."""
        try:
            save()
        except OSError as error:
            self.say("checkpoint_failed", f"at {done}: {error}; going on without it")
        self._saved_at = time.monotonic()


def deadline(seconds_left: float | None) -> float | None:
    """When, on the monotonic clock, a job with so many seconds left should begin to leave."""
    if seconds_left is None:
        return None
    return time.monotonic() + seconds_left - min(MARGIN_S, seconds_left / 4)
