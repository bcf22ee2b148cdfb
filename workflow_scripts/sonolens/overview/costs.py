"""What the results have cost: hours, GPU hours, attempts and memory of each stage, from the jobs' own records."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sonolens.overview.planned import PlannedJob

TOTAL = "all"
KNOWN = ["recorded", "wall_hours", "gpu_hours", "attempts", "interruptions"]


def peak_memory_mb(job: str, folder: str | Path = "benchmarks") -> float:
    """The largest resident memory that Snakemake's benchmark of a job saw, in MB; NaN if it saw none."""
    try:
        with (Path(folder) / f"{job}.tsv").open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except FileNotFoundError:
        return math.nan
    return max((_number(row["max_rss"]) for row in rows if "max_rss" in row), default=math.nan)


def _number(text: str | None) -> float:
    """A benchmark's cell; "-" and "NA" stand for a job that was too short to be looked at."""
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def n_attempts(record: dict) -> int:
    """The attempt that made the result, and those before it that were interrupted, failed or lost."""
    return record["n_interruptions"] + 1


def by_stage(jobs: Iterable[PlannedJob], records: dict[str, dict | None], memory_mb: dict[str, float]) -> pd.DataFrame:
    """A row a stage, in the order of `jobs`, and one for all; of jobs without a record no cost is known.

    records: of each job by its name, None without one; memory_mb: peak memory of each job by its name
    GPU hours are wall hours, of all attempts together, times the GPUs that the job had.
    """
    table = pd.DataFrame([{"stage": job.stage, "jobs": 1, "peak_memory_mb": memory_mb[job.name]} for job in jobs])
    known = [_cost(records[job.name]) if records[job.name] else {"recorded": 0} for job in jobs]
    table = pd.concat([table, pd.DataFrame(known, columns=KNOWN).fillna(0)], axis=1)
    how = dict.fromkeys(["jobs", *KNOWN], "sum") | {"peak_memory_mb": "max"}
    stages = table.groupby("stage", sort=False).agg(how).reset_index()
    total = table.assign(stage=TOTAL).groupby("stage").agg(how).reset_index()
    return pd.concat([stages, total], ignore_index=True)[["stage", "jobs", *KNOWN, "peak_memory_mb"]]


def _cost(record: dict) -> dict[str, float]:
    hours = record["wall_seconds"] / 3600
    return {
        "recorded": 1,
        "wall_hours": hours,
        "gpu_hours": hours * record["gpus"],
        "attempts": n_attempts(record),
        "interruptions": record["n_interruptions"],
    }
