"""The end of a job: its record, and its outputs for a second process that may be waiting for them.

Snakemake deletes the outputs of a job before it runs it. If its main process is killed and started again, a second
job for a cell can be queued while the first still trains, and begin after the first has ended: what a resumable job
has finished is therefore kept under `checkpoints/` as well, as hard links, until the whole workflow has ended well.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sonolens.files import link_or_copy, read_json, write_json
from sonolens.jobs import life, provenance
from sonolens.jobs.lease import remove_if_empty

CHECKPOINTS = Path("checkpoints")


@dataclass(frozen=True)
class Job:
    """What is to be computed, with the content of everything that the result depends on."""

    name: str  # "train_sae/minivae/dim~64/lam~0.05": the path of its log
    rule: str
    wildcards: dict
    params: dict
    code: dict[str, str]  # path: sha256
    inputs: dict[str, str]  # path: sha256
    outputs: list[str]
    is_resumable: bool

    @property
    def key(self) -> str:
        """A digest of everything that the result depends on."""
        return provenance.key(self.name, self.params, self.code, self.inputs, self.outputs)

    @property
    def folder(self) -> Path:
        """The lease lies here, and what attempts have saved."""
        return CHECKPOINTS / self.name

    @property
    def saved(self) -> Path:
        """What attempts at exactly this job have saved."""
        return self.folder / self.key

    @property
    def finished(self) -> Path:
        """The kept outputs, numbered, and their record."""
        return self.saved / "finished"


def adopted(job: Job, story: life.Life) -> bool:
    """Put another process's finished result of exactly this job in place, if there is one that is whole."""
    if not (job.finished / "record.json").is_file():
        return False
    record = read_json(job.finished / "record.json")
    kept = [job.finished / str(number) for number in range(len(job.outputs))]
    if not all(path.is_file() for path in kept) or _hashes(kept) != [record["outputs"][path] for path in job.outputs]:
        story.say("checkpoint_discarded", f"the finished result in {job.finished} is damaged; it is made again")
        shutil.rmtree(job.finished)
        return False
    for source, target in zip(kept, job.outputs, strict=True):
        link_or_copy(source, target)
    provenance.write(record)
    detail = f"what {record['host']} finished at {record['finished']} (delete {job.saved} to have it computed again)"
    story.say("adopted", detail)
    return True


def forget_others(job: Job) -> None:
    """Remove what was saved for other parameters, code or data of this job: nobody will ask for it again."""
    for folder in job.folder.iterdir():
        if folder.is_dir() and folder.name != job.key:
            shutil.rmtree(folder, ignore_errors=True)


def finish(job: Job, story: life.Life, began: str, seconds: float, n_threads: int) -> None:
    """Write the record; of a resumable job keep the outputs and drop the saved states.

    began: when this attempt did; seconds: how long it took.
    """
    earlier = [attempt for attempt in _since_finished(story, job.key) if attempt.began["attempt"] != story.attempt]
    device = str(life.facts.get("device", "cpu"))
    record = {
        "job": job.name,
        "rule": job.rule,
        "wildcards": job.wildcards,
        "params": job.params,
        "code": job.code,
        "inputs": job.inputs,
        "outputs": dict(zip(job.outputs, _hashes(job.outputs), strict=True)),
        "versions": provenance.versions(),
        "commit": provenance.git_commit(),
        "seed": job.params.get("seed"),
        "host": story.who["host"],
        "processor": provenance.processor(),
        "device": device,
        "threads": n_threads,
        "gpus": _n_gpus(device),
        "slurm_job": story.who["slurm_job"],
        "started": earlier[0].began["time"] if earlier else began,
        "finished": life.now(),
        "wall_seconds": round(seconds + sum(past.ended["seconds"] for past in earlier if past.ended), 3),
        "n_interruptions": len(earlier),
    }
    if job.is_resumable:
        _keep(job, record)
    provenance.write(record)
    story.say("finished", f"in {record['wall_seconds']:.1f} s", seconds=round(seconds, 3))


def _keep(job: Job, record: dict) -> None:
    for number, output in enumerate(job.outputs):
        link_or_copy(output, job.finished / str(number))
    write_json(job.finished / "record.json", record)
    for path in job.saved.iterdir():
        if path.is_file():
            path.unlink()


def forget_finished(lasting: Collection[str] = ()) -> None:
    """Remove what finished jobs have kept for waiting ones: once a workflow has ended well, nobody waits.

    lasting: rules whose results are kept, as hard links, for their next run. Snakemake plans every job behind one that
    runs, also where that will make what it made before (a choice among cells); such a job then takes over its own.
    """
    kept = [Path(folder) / "finished" for folder, below, _ in os.walk(CHECKPOINTS) if "finished" in below]
    for finished in kept:
        record = finished / "record.json"
        if record.is_file() and read_json(record)["rule"] in lasting:
            continue
        if not list(finished.parents[1].glob("lease.*")):
            shutil.rmtree(finished, ignore_errors=True)
            remove_if_empty(finished.parent)


def _since_finished(story: life.Life, key: str) -> list[life.Attempt]:
    """Attempts at exactly this job since it was last finished."""
    events = life.read(story.path)
    finished = [number for number, event in enumerate(events) if event["event"] in ("finished", "adopted")]
    recent = events[finished[-1] + 1 :] if finished else events
    return [attempt for attempt in life.attempts(recent) if attempt.began["key"] == key]


def _hashes(paths: list) -> list[str]:
    return [provenance.sha256(path) for path in paths]


def _n_gpus(device: str) -> int:
    """GPUs that this job occupies: those that the cluster gave it, used or not, or the one that it computes on."""
    if "SLURM_JOB_ID" in os.environ:
        return len([gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu])
    return int(device.startswith("cuda"))
