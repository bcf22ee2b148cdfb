"""The state of a workflow as text for a terminal."""

from collections import Counter

from sonolens.overview.watching import Sighting, State, moment, remarkable
from sonolens.overview.wording import age, clock

BAR_WIDTH = 24


N_LISTED, N_EVENTS = 20, 15


def describe(sightings: list[Sighting], now: float, width: int, is_whole: bool = False) -> str:
    """Stages with their progress, then the jobs that run, failed or were lost, then what happened.

    now: seconds since 1970; width: of the terminal in characters, at which lines are cut; is_whole: all jobs and
    events, not N_LISTED of a kind and the last N_EVENTS
    """
    lines = _stages(sightings)
    kinds = {
        "running": [_running(sighting, now) for sighting in _in(State.RUNNING, sightings)],
        "failed": [_ended(sighting) for sighting in _in(State.FAILED, sightings)],
        "ended without a word: killed, out of memory, or the node is lost": [
            _ended(sighting) for sighting in _in(State.LOST, sightings)
        ],
        "to be made again": [
            [f"{sighting.job.name}  {sighting.detail}"] for sighting in _in(State.WAITING, sightings) if sighting.detail
        ],
        "what happened": [
            [f"{clock(moment(event)):<18}{name}  {event['event'].replace('_', ' ')}: {event['detail']}"]
            for name, event in remarkable(sightings)
        ],
    }
    for title, entries in kinds.items():
        shown = entries[-N_EVENTS:] if title == "what happened" else entries[:N_LISTED]
        if is_whole:
            shown = entries
        if len(entries) > len(shown):
            title = f"{title} ({len(shown)} of {len(entries)}; --all shows them)"
        if shown:
            lines += ["", title, *(f"  {line}" for entry in shown for line in entry)]
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _in(state: State, sightings: list[Sighting]) -> list[Sighting]:
    return [sighting for sighting in sightings if sighting.state is state]


def _stages(sightings: list[Sighting]) -> list[str]:
    """A line a stage, in the order of the workflow, and one for all."""
    by_stage: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        by_stage.setdefault(sighting.job.stage, []).append(sighting)
    name_width = max(map(len, [*by_stage, "all"]))
    n_width = len(str(len(sightings)))
    return [_stage(name, own, name_width, n_width) for name, own in (by_stage | {"all": sightings}).items()]


def _stage(name: str, sightings: list[Sighting], name_width: int, n_width: int) -> str:
    counts = Counter(sighting.state for sighting in sightings)
    n_unrecorded = sum(bool(sighting.detail) for sighting in _in(State.DONE, sightings))
    n_full = BAR_WIDTH * counts[State.DONE] // len(sightings)
    rest = [f"{counts[state]} {state}" for state in State if state is not State.DONE and counts[state]]
    rest += [f"{n_unrecorded} done without a record"] if n_unrecorded else []
    bar = "█" * n_full + "░" * (BAR_WIDTH - n_full)
    done = f"{counts[State.DONE]:{n_width}d} of {len(sightings):{n_width}d} done"
    return f"{name:<{name_width}}  {bar}  {done}  {', '.join(rest)}".rstrip()


def _running(sighting: Sighting, now: float) -> list[str]:
    """How far a job is, where, and when it was last heard of."""
    if not sighting.holder:
        return [f"{sighting.job.name}  {sighting.detail}".rstrip()]
    content = sighting.holder.content
    parts = [sighting.job.name]
    if "done" in content and content["total"]:
        share = content["done"] / content["total"]
        parts.append(f"{content['done']} of {content['total']} {content['unit']} ({share:.0%})")
    if "host" in content:
        parts.append(
            f"on {content['host']}" + (f", cluster job {content['slurm_job']}" if content["slurm_job"] else "")
        )
    return ["  ".join([*parts, f"heard of {age(now - sighting.holder.changed)} ago"])]


def _ended(sighting: Sighting) -> list[str]:
    """A job that failed or was lost: why, where and when, and where to read more."""
    last = sighting.events[-1] if sighting.events else None
    when = f" ({last['host']}, {clock(moment(last))})" if last else ""
    return [f"{sighting.job.name}  {sighting.detail}{when}", *(f"  {path}" for path in sighting.logs)]
