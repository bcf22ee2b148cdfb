"""What the page says of the origin of its numbers: the audit's verdict on the results, and the versions behind them."""

from collections import Counter
from typing import NamedTuple

import pandas as pd

from sonolens.overview.audit import FOLLOWS, Verdict
from sonolens.overview.audit_text import cause, headline
from sonolens.report.claims import DID_NOT_HOLD, HELD


class Origin(NamedTuple):
    """The verdict in a sentence; what is not current, alike things together; each package with its versions."""

    state: str
    sentence: str
    faults: list[dict]
    versions: list[str]


def origin(audit: pd.DataFrame, versions: pd.DataFrame) -> Origin:
    """The verdict over all results. audit, versions: audit.csv and versions.csv read as text."""
    counts = Counter(Verdict(verdict) for verdict in audit["verdict"])
    is_current = set(counts) <= {Verdict.CURRENT}
    several = [package for package, own in versions.groupby("package", sort=False) if len(own) > 1]
    others = sorted(set(versions.loc[versions["installed"] == "False", "package"]) - set(several))
    sentence = headline(counts)
    if is_current and not several and not others:
        sentence = f"{counts.total()} results, all made by the present code, config and versions."
    elif several:
        sentence += f" Made with more than one version of {', '.join(several)}."
    elif others:
        sentence += f" Made with another version of {', '.join(others)} than is installed now."
    return Origin(HELD if is_current else DID_NOT_HOLD, sentence, _faults(audit), _versions(versions))


def _faults(audit: pd.DataFrame) -> list[dict]:
    """What is not current: a row per verdict, rule and cause, what only follows from other jobs last."""
    found = audit[audit["verdict"] != Verdict.CURRENT]
    found = found.assign(why=found["why"].map(cause), is_derived=found["why"].str.startswith(FOLLOWS))
    found = found.sort_values("is_derived", kind="stable")
    return [
        {"verdict": verdict, "rule": rule, "why": why, "n_jobs": len(own), "job": own["job"].iloc[0]}
        for (verdict, rule, why), own in found.groupby(["verdict", "rule", "why"], sort=False)
    ]


def _versions(versions: pd.DataFrame) -> list[str]:
    """ "torch 2.13.0", or "torch 2.13.0 (150 results), 2.12.0 (4 results)"."""
    texts = []
    for package, own in versions.groupby("package", sort=False):
        if len(own) == 1:
            texts.append(f"{package} {own['version'].iloc[0]}")
        else:
            each = [f"{row.version} ({row.jobs} results)" for row in own.itertuples()]
            texts.append(f"{package} {', '.join(each)}")
    return texts
