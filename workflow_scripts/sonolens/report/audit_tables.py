"""The audit and the costs as CSV. What they say differs from run to run: where and when a result was made, and how long
it took.
"""

import hashlib
import json
from datetime import UTC, datetime

import pandas as pd

from sonolens.jobs import provenance
from sonolens.overview import costs
from sonolens.overview.audit import Audit, Judgement, audit
from sonolens.overview.audit_text import headline
from sonolens.overview.planned import PlannedJob
from sonolens.report.csv_tables import write_csv


def write_audit_tables(jobs: list[PlannedJob], outputs: dict, n_threads: int) -> None:
    """Audit the working folder and write results/report/tables/{audit,costs,versions,foreign}.csv.

    jobs: all that the config asks for; outputs: path of each CSV by its name
    """
    found = audit(jobs, n_threads)
    memory_mb = {judgement.job.name: costs.peak_memory_mb(judgement.job.name) for judgement in found.judgements}
    for name, frame in audit_tables(found, memory_mb, provenance.versions()).items():
        write_csv(frame, outputs[name])
    print(headline(found.counts))


def audit_tables(found: Audit, memory_mb: dict[str, float], installed: dict[str, str]) -> dict[str, pd.DataFrame]:
    """The four tables. memory_mb: peak memory by a job's name; installed: versions of packages here and now."""
    records = {judgement.job.name: judgement.record for judgement in found.judgements}
    return {
        "audit": pd.DataFrame([_row(judgement) for judgement in found.judgements]),
        "costs": costs.by_stage([judgement.job for judgement in found.judgements], records, memory_mb),
        "versions": _versions(found, installed),
        "foreign": _foreign(found),
    }


def _row(judgement: Judgement) -> dict:
    row = {"job": judgement.job.name, "rule": judgement.job.rule, "verdict": judgement.verdict, "why": judgement.why}
    known = ["finished", "host", "device", "wall_seconds", "n_attempts", "n_interruptions", "versions"]
    record = judgement.record
    if record is None:
        return row | dict.fromkeys(known)
    digest = hashlib.sha256(json.dumps(record["versions"], sort_keys=True).encode()).hexdigest()[:8]
    derived = {"n_attempts": costs.n_attempts(record), "versions": f"v{digest}"}  # never read as a number
    return row | {name: (record | derived)[name] for name in known}


def _versions(found: Audit, installed: dict[str, str]) -> pd.DataFrame:
    """A row per package and version: current results made with it, and whether it is the one installed now."""
    rows = [
        {
            "package": package,
            "version": version,
            "jobs": n_jobs,
            "installed": package in installed and installed[package] == version,
        }
        for package, counts in found.versions.items()
        for version, n_jobs in counts.most_common()
    ]
    return pd.DataFrame(rows, columns=["package", "version", "jobs", "installed"])


def _foreign(found: Audit) -> pd.DataFrame:
    """A row per file or saved state that no job of this config makes or needs."""
    rows = [
        {
            "path": stray.path,
            "what": stray.what,
            "bytes": stray.n_bytes,
            "modified": datetime.fromtimestamp(stray.modified, UTC).isoformat(timespec="seconds"),
        }
        for stray in found.strays
    ]
    return pd.DataFrame(rows, columns=["path", "what", "bytes", "modified"])
