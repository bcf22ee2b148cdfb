"""Whether `results/` is what the present config and code would make, judged by content and by each job's own record.

Snakemake knows this only of jobs whose end it saw. Here a result counts as current if its record
(sonolens.jobs.provenance) names the parameters, code and inputs of now, and what it was made from is current too.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from sonolens.jobs import provenance
from sonolens.overview.planned import PlannedJob, with_makers

# The audit itself and the page that shows it come after what they look at.
NOT_AUDITED = {"audit_results", "write_report"}
# How the reason of a job begins that is stale for what it was made from.
FOLLOWS = "made from "
RECORDED = {"params", "code", "inputs", "outputs", "versions"}


class Verdict(StrEnum):
    """What a job's outputs are; in the order in which the worse one is told."""

    MISSING = "missing"  # not there
    UNRECORDED = "unrecorded"  # there, and nothing says what made them
    ALTERED = "altered"  # not as the job wrote them
    STALE = "stale"  # made from other parameters, code or inputs
    CURRENT = "current"


class Reason(NamedTuple):
    """Why a job is not current. `is_own` is False where only a job that it depends on is to blame."""

    verdict: Verdict
    text: str
    is_own: bool = True


class Judgement(NamedTuple):
    """What the audit says of one job; `record` is None without a readable one."""

    job: PlannedJob
    record: dict | None
    reasons: list[Reason]

    @property
    def verdict(self) -> Verdict:
        """The worst of the reasons."""
        found = {reason.verdict for reason in self.reasons}
        return next((verdict for verdict in Verdict if verdict in found), Verdict.CURRENT)

    @property
    def why(self) -> str:
        """All reasons on one line."""
        return "; ".join(reason.text for reason in self.reasons)

    @property
    def is_root(self) -> bool:
        """Whether this job has to be made again for its own sake; those that follow from it then are too."""
        return any(reason.is_own for reason in self.reasons)


class StrayFile(NamedTuple):
    """A file or folder that no job of the present config makes or needs; modified is in seconds since 1970."""

    path: str
    n_bytes: int
    modified: float
    what: str


def read_record(job: str) -> dict | None:
    """The record of a job by its name; None if there is none, or none that can be read."""
    try:
        record = provenance.read(job)
    except (ValueError, OSError):
        return None
    return record if isinstance(record, dict) and record.keys() >= RECORDED else None


def digests(jobs: list[PlannedJob], records: dict[str, dict | None], n_threads: int) -> dict[str, str | None]:
    """sha256 of every file that has to be compared, each read once; None for a file that is not there.

    Of a job without a record only the presence of its outputs counts: theirs are "" if no other job reads them.
    """
    compared = {path for job in jobs if records[job.name] for path in (*job.code, *job.inputs, *job.outputs)}
    sizes = {path: _size(path) for path in sorted(compared.union(*(job.outputs for job in jobs)))}
    found = {path: None if size is None else "" for path, size in sizes.items()}
    read = [path for path in sizes if path in compared and sizes[path] is not None]
    with (
        ThreadPoolExecutor(n_threads) as pool,  # hashlib lets go of the interpreter's lock
        tqdm(total=sum(sizes[path] for path in read), unit="B", unit_scale=True, desc="reading", disable=None) as bar,
    ):
        for path, digest in zip(read, pool.map(_digest, read), strict=True):
            found[path] = digest
            bar.update(sizes[path])
    return found


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return None


def _digest(path: str) -> str | None:
    try:
        return provenance.sha256(path)
    except FileNotFoundError:  # a job that runs meanwhile has taken it away
        return None


def judge(
    jobs: list[PlannedJob], records: dict[str, dict | None], digest: dict[str, str | None]
) -> dict[str, Judgement]:
    """The verdict on every job by its name, in the order of `jobs`.

    digest: sha256 of each file, None for one that is not there
    """
    judged: dict[str, Judgement] = {}
    for job, makers in with_makers(jobs):
        at_fault = [judged[maker.name] for maker in makers if judged[maker.name].verdict is not Verdict.CURRENT]
        explained = {path for fault in at_fault for path in fault.job.outputs}
        reasons = _own_reasons(job, records[job.name], digest, explained)
        if at_fault and not {Verdict.MISSING, Verdict.UNRECORDED} & {reason.verdict for reason in reasons}:
            counts = Counter((fault.job.rule, fault.verdict) for fault in at_fault)
            from_what = ", ".join(f"{n} {verdict} {rule}" for (rule, verdict), n in counts.items())
            reasons.append(Reason(Verdict.STALE, f"{FOLLOWS}{from_what}", is_own=False))
        judged[job.name] = Judgement(job, records[job.name], reasons)
    return {job.name: judged[job.name] for job in jobs}


def _own_reasons(
    job: PlannedJob, record: dict | None, digest: dict[str, str | None], explained: set[str]
) -> list[Reason]:
    """Why a job is not current, as far as its own record and files tell.

    explained: outputs of jobs that are not current; that such an input differs is no fault of its own
    """
    absent = [path for path in job.outputs if digest[path] is None]
    if absent:
        is_partial = len(absent) < len(job.outputs)
        return [Reason(Verdict.MISSING, f"{_some(absent)} not there" if is_partial else "no output is there")]
    if record is None:
        return [Reason(Verdict.UNRECORDED, "no record says how it was made")]
    written = record["outputs"]
    altered = [path for path in job.outputs if path in written and written[path] != digest[path]]
    unknown = [path for path in job.outputs if path not in written]
    reasons = [Reason(Verdict.ALTERED, f"{_some(altered)} changed since it was written")] if altered else []
    changed = differences(record["params"], provenance.canonical(job.params))
    texts = [f"params {', '.join(changed)}"] if changed else []
    texts += _file_differences("code", job.code, record["code"], digest, explained)
    texts += _file_differences("input", job.inputs, record["inputs"], digest, explained)
    texts += [f"{_some(unknown)} not among the recorded outputs"] if unknown else []
    return reasons + [Reason(Verdict.STALE, text) for text in texts]


def _file_differences(
    kind: str, now: list[str], then: dict[str, str], digest: dict[str, str | None], explained: set[str]
) -> list[str]:
    """How the files of now differ from those of a record, at most one text for each way."""
    compared = [path for path in now if path not in explained]
    ways = {
        "changed": [path for path in compared if path in then and digest[path] not in (None, then[path])],
        "not there": [path for path in compared if digest[path] is None],
        "new": [path for path in now if path not in then and digest[path] is not None],
        "no longer used": sorted(set(then) - set(now)),
    }
    return [f"{kind} {_some(paths)} {way}" for way, paths in ways.items() if paths]


def differences(then: object, now: object, place: str = "") -> list[str]:
    """Where two JSON values differ, each as "key.key old → new"."""
    if isinstance(then, dict) and isinstance(now, dict):
        found = []
        for key in sorted(then.keys() | now.keys()):
            within = f"{place}.{key}" if place else key
            if key not in then:
                found.append(f"{within} (new) {_short(now[key])}")
            elif key not in now:
                found.append(f"{within} (gone)")
            else:
                found += differences(then[key], now[key], within)
        return found
    # True == 1 and 1 == 1.0 in Python: the first is another parameter, the second is not
    is_same = then == now and isinstance(then, bool) == isinstance(now, bool)
    return [] if is_same else [f"{place} {_short(then)} → {_short(now)}"]


def _short(value: object, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _some(paths: list[str], n_shown: int = 2) -> str:
    """The first paths, and how many there are beside them."""
    rest = len(paths) - n_shown
    return ", ".join(paths[:n_shown]) + (f" and {rest} more" if rest > 0 else "")


def stray_results(jobs: Iterable[PlannedJob], folder: str | Path = "results") -> list[StrayFile]:
    """Files under `folder` that no job makes, and no record of a job's. jobs: all, those that are not audited too."""
    expected = {path for job in jobs for path in (*job.outputs, str(provenance.record_path(job.name)))}
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and str(path) not in expected)
    return [_stray(str(path), [path], "of no job of this config") for path in files]


def stray_checkpoints(
    jobs: Iterable[PlannedJob], finished: set[str], folder: str | Path = "checkpoints"
) -> list[StrayFile]:
    """Saved states that nothing will go on from: of no job of this config, or of a finished one. One entry a job.

    finished: names of jobs whose outputs and records are there. What such a job keeps for a second process that may
    wait for it (sonolens.jobs.finishing) goes when the workflow ends.
    """
    names = {job.name for job in jobs}
    by_job: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).rglob("*")):
        name = _job_of_checkpoint(path.relative_to(folder).parent, names)
        is_needed = name in names and (name not in finished or path.parent.name == "finished" or path.stem == "lease")
        if path.is_file() and not is_needed:
            by_job.setdefault(name, []).append(path)
    return [
        _stray(str(Path(folder) / name), paths, "of a finished job" if name in names else "of no job of this config")
        for name, paths in by_job.items()
    ]


def _job_of_checkpoint(parent: Path, names: set[str]) -> str:
    """checkpoints/<job>/<key>/: the planned job that a folder belongs to, or its path without the key."""
    for folder in (parent, *parent.parents):
        if str(folder) in names:
            return str(folder)
    return str(parent.parent if re.fullmatch(r"[0-9a-f]{16,}", parent.name) else parent)


def _stray(path: str, files: list[Path], what: str) -> StrayFile:
    found = []
    for file in files:
        try:
            found.append(file.stat())
        except FileNotFoundError:  # a heartbeat's temporary file
            continue
    return StrayFile(path, sum(stat.st_size for stat in found), max((stat.st_mtime for stat in found), default=0), what)


def versions_used(judgements: Iterable[Judgement]) -> dict[str, Counter]:
    """Of each package, how many current results were made with which version."""
    used: dict[str, Counter] = {}
    for judgement in judgements:
        if judgement.verdict is Verdict.CURRENT:
            for package, version in judgement.record["versions"].items():
                used.setdefault(package, Counter())[version] += 1
    return used


class Audit(NamedTuple):
    """All that was found."""

    judgements: list[Judgement]
    strays: list[StrayFile]
    versions: dict[str, Counter]

    @property
    def counts(self) -> Counter:
        """Jobs per verdict."""
        return Counter(judgement.verdict for judgement in self.judgements)

    @property
    def is_current(self) -> bool:
        """Whether every job's outputs are what the present config and code would make."""
        return set(self.counts) <= {Verdict.CURRENT}

    @property
    def roots(self) -> list[Judgement]:
        """Jobs that have to be made again for their own sake."""
        return [judgement for judgement in self.judgements if judgement.is_root]


def audit(jobs: list[PlannedJob], n_threads: int | None = None) -> Audit:
    """Compare the working folder with `jobs`, all that the present config and code ask for. Reads every file once."""
    audited = [job for job in jobs if job.rule not in NOT_AUDITED]
    records = {job.name: read_record(job.name) for job in audited}
    judgements = judge(audited, records, digests(audited, records, n_threads or min(8, os.cpu_count() or 1)))
    finished = {name for name, judgement in judgements.items() if judgement.record}
    finished -= {name for name, judgement in judgements.items() if judgement.verdict is Verdict.MISSING}
    strays = stray_results(jobs) + stray_checkpoints(jobs, finished)
    return Audit(list(judgements.values()), strays, versions_used(judgements.values()))
