"""Leaving in good order: on SIGTERM, on Ctrl-C, before the scheduler's time limit, or when another took over.

A signal raises `Interrupted` at once, wherever the job is, so that temporary files are removed on the way out. A loop
that can be resumed defers it to its next step, where the state is whole and can be saved (`resumption.Resumption`).
Schedulers send SIGTERM more than once and SIGKILL half a minute later: every signal after the first is ignored.
"""

import os
import signal
from types import FrameType


class Interrupted(SystemExit):
    """The job was told to leave. A SystemExit, so that no `except Exception` on the way swallows it."""

    def __init__(self, reason: str):
        super().__init__(1)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Interruption:
    """What SIGTERM and SIGINT do to this process from now on."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.is_deferred = False
        self._requested: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def request(self, reason: str) -> None:
        """Tell this process to leave, from any of its threads."""
        self._requested = reason
        os.kill(os.getpid(), signal.SIGTERM)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.reason:
            return
        self.reason = self._requested or signal.Signals(number).name
        if not self.is_deferred:
            raise Interrupted(self.reason)
