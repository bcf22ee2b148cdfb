"""Every job from its first to its last line: log, threads, signals, the hold on its outputs, and their provenance."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, TextIO

from sonolens.files import remove_temporaries
from sonolens.jobs import finishing, life, progress, provenance, slurm
from sonolens.jobs.interruption import Interrupted, Interruption
from sonolens.jobs.lease import Lease
from sonolens.jobs.resumption import Resumption, deadline


class Description(Protocol):
    """What a job is told by whatever started it: Snakemake's `snakemake` object, or anything with its attributes.

    Iterating over one of the collections gives values; they have `keys()`, `items()` and `get()` too.
    """

    rule: str
    wildcards: object
    params: object
    input: object
    output: object
    log: list[str]
    threads: int
    resources: object


@contextlib.contextmanager
def running(description: Description, n_threads: int | None = None) -> Iterator[Resumption]:
    """Run the block as this job, alone, and record what made its outputs.

    What the block prints goes to the log. If another process works on the same job it is waited for, and its result
    adopted: the program then ends here (SystemExit with code 0). What is yielded lets a long computation save its
    state, and find what an earlier attempt at exactly this job has saved. n_threads: if not the job's own.
    """
    began, started = life.now(), time.monotonic()
    log, n_threads = description.log[0], n_threads or description.threads
    story = life.Life(Path(log).with_suffix(".jsonl"))
    screen = log_to(log)
    progress.is_seen_on(screen)
    life.becomes(story)
    use_threads(n_threads)
    interruption = Interruption()
    try:
        job = _described(description)
        lease = Lease(job.folder, job.key, story.who)
        progress.is_written_to(lease)
        with _holding(lease, story, interruption):
            _report_lost(story, lease)
            if finishing.adopted(job, story):
                sys.exit(0)
            story.say("started", key=job.key)
            finishing.forget_others(job)
            remove_temporaries([*job.outputs, provenance.record_path(job.name)])
            yield Resumption(
                folder=job.saved,
                interval_s=description.resources.get("checkpoint_s", float("inf")),
                say=story.say,
                interruption=interruption,
                lease=lease,
                deadline=deadline(slurm.seconds_left()) if job.is_resumable else None,
            )
            finishing.finish(job, story, began, time.monotonic() - started, n_threads)
    except BaseException as error:
        _say_end(story, error, time.monotonic() - started, screen, log)
        raise


@contextlib.contextmanager
def _holding(lease: Lease, story: life.Life, interruption: Interruption) -> Iterator[None]:
    try:
        lease.acquire(story.say, on_loss=interruption.request)
        yield
    finally:
        interruption.is_deferred = True  # nothing interrupts the clearing up
        lease.release()


def _described(description: Description) -> finishing.Job:
    code = {str(path) for path in description.input.get("code", [])}
    inputs = {str(path) for path in description.input} - code
    return finishing.Job(
        name=str(Path(description.log[0]).with_suffix("").relative_to("logs")),
        rule=description.rule,
        wildcards=provenance.canonical(dict(description.wildcards.items())),
        params=provenance.canonical(dict(description.params.items())),
        code={path: provenance.sha256(path) for path in sorted(code)},
        inputs={path: provenance.sha256(path) for path in sorted(inputs)},
        outputs=[str(path) for path in description.output],
        is_resumable="checkpoint_s" in description.resources.keys(),  # noqa: SIM118 (iterating gives values)
    )


def _report_lost(story: life.Life, lease: Lease) -> None:
    """Say which earlier attempts ended without a word: only the holder of the lease knows that they do not run."""
    dead = lease.predecessor or {}
    for began, ended in life.attempts(life.read(story.path)):
        if ended is None:
            where = f"{began['host']} (process {began['pid']}, cluster job {began['slurm_job']})"
            seconds = dead["seconds"] if dead.get("attempt") == began["attempt"] else 0.0
            detail = f"the attempt of {began['time']} on {where} ended without a word: killed, out of memory, node lost"
            story.say("lost", detail, attempt=began["attempt"], seconds=round(seconds, 1))


def _say_end(story: life.Life, error: BaseException, seconds: float, screen: TextIO, log: str) -> None:
    """The last event of an attempt that did not come to its end; an interruption is on the screen as well."""
    if isinstance(error, Interrupted):
        story.say("interrupted", str(error), seconds=round(seconds, 3))
        print(f"interrupted: {error} (log: {log})", file=screen, flush=True)
    elif not (isinstance(error, SystemExit) and error.code == 0):
        story.say("failed", f"{type(error).__name__}: {error}", seconds=round(seconds, 3))


class _Log(io.TextIOWrapper):
    """A log that loses lines on a full disk, but does not end the job for them."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def log_to(path: str) -> TextIO:
    """Send what this process prints, tracebacks and progress bars included, to `path`, line by line.

    The file descriptors are redirected, not only Python's objects, so that libraries' own messages land there too.
    Of an error, its message and the log's path go to where stderr led before, the screen or the cluster's own log,
    which is returned.
    """
    screen = os.fdopen(os.dup(2), "w")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    log = _Log(open(path, "wb"), line_buffering=True)  # noqa: SIM115, PTH123 (until the end)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log

    def say_on_both(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        print(f"\n{kind.__name__}: {error}\n(traceback in {path})", file=screen, flush=True)

    sys.excepthook = say_on_both
    return screen


def use_threads(n_threads: int) -> None:
    """Bound every thread pool of this process to `n_threads`.

    Sums of floats depend on how they are split, so a fixed thread count is also what makes a rerun bit-identical.
    Pools that start later (OpenMP, numba) read the environment; those that run are told directly.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(n_threads)
