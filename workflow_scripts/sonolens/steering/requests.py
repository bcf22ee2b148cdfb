"""What a user asks a file to be steered towards, read from text: which class, and how strongly over time.

    ATTRIBUTE=CLASS alpha=A [from=SECONDS] [to=SECONDS] [ramp=SECONDS]
    ATTRIBUTE=CLASS envelope=SECONDS:ALPHA,SECONDS:ALPHA,...

Light: the classes of a cell are known before anything heavy is imported.
"""

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sonolens import audio
from sonolens.labels.bins import Bins
from sonolens.steering import envelope
from sonolens.steering.class_names import class_index, like, not_there
from sonolens.steering.envelope import Envelope

GRAMMAR = "ATTRIBUTE=CLASS alpha=A [from=S] [to=S] [ramp=S], or ATTRIBUTE=CLASS envelope=S:A,S:A,..."
# How strongly, over time; what a control says beside attribute and class
SETTINGS = ("alpha", "from", "to", "ramp", "envelope")


class Request(NamedTuple):
    """A control as it was asked for; what `wanted` means depends on the attribute's classes."""

    attribute: str
    wanted: str
    envelope: Envelope


class Target(NamedTuple):
    """A request with the class that it means."""

    attribute: str
    class_index: int
    name: str  # of the class
    envelope: Envelope


def read(text: str) -> Request:
    """Read one control. Words are quoted as in a shell. Raises ValueError, quoting the text, if it says none."""
    try:
        words = shlex.split(text)
        pairs = [word.partition("=")[::2] for word in words]
        if not words or not all(key and value for key, value in pairs):
            raise ValueError(f"a control reads {GRAMMAR}")
        (attribute, wanted), *settings = pairs
        if attribute in SETTINGS:
            raise ValueError(f"a control begins with ATTRIBUTE=CLASS, not with '{attribute}'")
        return made(attribute, wanted, settings)
    except ValueError as error:
        raise ValueError(f"control '{text}': {error}") from error


def made(attribute: str, wanted: str, settings: Iterable[tuple[str, str]]) -> Request:
    """A request from settings (key, text). Raises ValueError if one is unknown, doubled, missing or no number."""
    given: dict[str, str] = {}
    for key, text in settings:
        if key not in SETTINGS:
            raise ValueError(f"there is no '{key}'{like(key, SETTINGS)}; a control reads {GRAMMAR}")
        if key in given:
            raise ValueError(f"{key} is given twice")
        given[key] = text
    return Request(attribute, wanted, _envelope(given))


def _envelope(given: Mapping[str, str]) -> Envelope:
    """The envelope that settings by key describe."""
    if "envelope" in given:
        others = [key for key in given if key != "envelope"]
        if others:
            raise ValueError(f"an envelope holds α and time, so {' and '.join(others)} cannot stand beside it")
        return read_envelope(given["envelope"])
    if "alpha" not in given:
        raise ValueError("alpha or envelope is missing: how strongly to steer; the paper takes 1 to 30")
    numbers = {key: number(text, key) for key, text in given.items()}
    return stretch(numbers["alpha"], *(numbers.get(key) for key in ("from", "to", "ramp")))


def stretch(alpha: float, start_s: float | None, stop_s: float | None, ramp_s: float | None) -> Envelope:
    """α between two times; None is an end of the file, where there is no ramp. Raises ValueError if that is empty."""
    if any(time_s is not None and time_s < 0 for time_s in (start_s, stop_s, ramp_s)):
        raise ValueError("from, to and ramp are seconds from the start of the file, 0 or more")
    if start_s is not None and stop_s is not None:
        return envelope.stretch(alpha, start_s, stop_s, ramp_s or 0.0)
    if ramp_s and start_s is None and stop_s is None:
        raise ValueError("a ramp leads from `from` or to `to`, and neither is given")
    if start_s is not None:
        return envelope.breakpoints([(start_s, 0.0), (start_s + (ramp_s or 0.0), alpha)])
    if stop_s is not None:
        return envelope.breakpoints([(stop_s - (ramp_s or 0.0), alpha), (stop_s, 0.0)])
    return envelope.constant(alpha)


def read_envelope(text: str) -> Envelope:
    """Breakpoints time:α, separated by spaces or commas. Raises ValueError naming what is none."""
    points = []
    for point in re.split(r"[\s,]+", text.strip(", \t")):
        time_s, colon, alpha = point.partition(":")
        if not colon:
            raise ValueError(f"envelope: '{point}' is not SECONDS:ALPHA, as in 0:0,2:20,4:0")
        points.append((number(time_s, "envelope"), number(alpha, "envelope")))
    return envelope.breakpoints(points)


def number(text: str, key: str) -> float:
    """A finite number. Raises ValueError naming `key` if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{key}: '{text}' is not a number")
    return value


def target(request: Request, classes: Mapping[str, Bins]) -> Target:
    """What a request means, given the classes of each attribute. Raises ValueError if there is no such thing."""
    if request.attribute not in classes:
        raise not_there(request.attribute, classes, "attribute")
    of_attribute = classes[request.attribute]
    index = class_index(request.wanted, of_attribute, request.attribute)
    return Target(request.attribute, index, of_attribute.class_names[index], request.envelope)


def notes(targets: Sequence[Target], duration_s: float) -> list[str]:
    """What may not be as it was meant for a file of this duration."""
    return [
        f"the control of {target.attribute} goes on to {target.envelope.times_s[-1]:g} s, and the file ends at "
        f"{duration_s:.3f} s"
        for target in targets
        if target.envelope.times_s[-1] > duration_s
    ]


def check_files(recording: Path, outputs: Sequence[Path], overwrites: bool) -> None:
    """Raise ValueError if the recording cannot be used, or an output not be written; a recording is never replaced.

    Outputs that stand there already are replaced only if `overwrites`.
    """
    if why := audio.why_unusable(recording, shortest_s=0):
        raise ValueError(f"{recording} cannot be steered: {why}")
    for output in outputs:
        if output.suffix.lower() != ".wav":
            raise ValueError(f"{output}: what is written is WAV, so its name has to end in .wav")
        if not output.parent.is_dir():
            raise ValueError(f"{output} cannot be written: there is no folder {output.parent}")
        if not os.access(output.parent, os.W_OK):
            raise ValueError(f"{output} cannot be written: no permission to write into {output.parent}")
        if output.exists() and output.samefile(recording):
            raise ValueError(f"{output} is the recording itself, which is never overwritten")
        if output.is_dir() or (output.exists() and not overwrites):
            raise ValueError(f"{output} is there already; --force overwrites a file")
    if len({output.resolve() for output in outputs}) < len(outputs):
        raise ValueError(f"{outputs[0]} would be written twice")
