"""The audit as text for a terminal: counts, what is not current and why, and the command that makes it so."""

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable

from sonolens.overview.audit import FOLLOWS, Audit, Judgement, StrayFile, Verdict
from sonolens.overview.wording import age, size

MAX_TARGETS = 12
INDENT = " " * 12
MEANING = {
    Verdict.MISSING: "outputs that are not there",
    Verdict.UNRECORDED: "outputs without a record of what made them",
    Verdict.ALTERED: "outputs that are not as they were written",
    Verdict.STALE: "made from other parameters, code or inputs than those of now",
    Verdict.CURRENT: "made by the present code and config",
}


def headline(counts: Counter) -> str:
    """One sentence. counts: jobs per verdict."""
    n_jobs, n_current = counts.total(), counts[Verdict.CURRENT]
    if n_current == n_jobs:
        return f"{n_jobs} results, all made by the present code and config."
    rest = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict] and verdict != "current")
    return f"{n_current} of {n_jobs} results are made by the present code and config; {rest}."


def describe(audit: Audit, installed: dict[str, str], arguments: list[str], now: float, each: bool = False) -> str:
    """Everything that was found.

    installed: versions of packages here and now; arguments: what the audit, and so Snakemake, was called with;
    now: seconds since 1970; each: a line for every job that is not current, instead of a few for each rule
    """
    parts = [headline(audit.counts), _count_table(audit)]
    if not audit.is_current:
        parts += [_every_job(audit.judgements) if each else _by_cause(audit.judgements), _advice(audit, arguments)]
    parts += [_strays(audit.strays, now), _versions(audit.versions, installed), _machines(audit.judgements)]
    return "\n\n".join(part for part in parts if part)


def _count_table(audit: Audit) -> str:
    n_derived = sum(judgement.verdict is Verdict.STALE and not judgement.is_root for judgement in audit.judgements)
    lines = []
    for verdict in reversed(Verdict):
        if audit.counts[verdict]:
            derived = f" ({n_derived} only for what they are made from)" if verdict == "stale" and n_derived else ""
            lines.append(f"{audit.counts[verdict]:7d}  {verdict:<11} {MEANING[verdict]}{derived}")
    return "\n".join(lines)


def _every_job(judgements: Iterable[Judgement]) -> str:
    return "\n".join(
        f"{judgement.verdict:<11} {judgement.job.name}: {judgement.why}"
        for judgement in judgements
        if judgement.verdict is not Verdict.CURRENT
    )


def _by_cause(judgements: list[Judgement], n_shown: int = 12) -> str:
    """The causes of each verdict, each with the jobs that it concerns, rule by rule."""
    n_of_rule = Counter(judgement.job.rule for judgement in judgements)
    groups: dict[tuple[Verdict, str], list[Judgement]] = {}
    for judgement in judgements:
        if judgement.verdict is not Verdict.CURRENT:
            groups.setdefault((judgement.verdict, cause(judgement.why)), []).append(judgement)
    # own faults before what follows from them, and then the order of the workflow, in which they were met
    ordered = sorted(groups.items(), key=lambda group: not group[1][0].is_root)
    lines = []
    for (verdict, why), group in ordered[:n_shown]:
        lines.append(f"{verdict:<11} {group[0].why if len(group) == 1 else why}")
        lines += textwrap.wrap(_names(group, n_of_rule), 108, initial_indent=INDENT, subsequent_indent=INDENT)
    n_rest = sum(len(group) for _, group in ordered[n_shown:])
    return "\n".join([*lines, *([f"and {n_rest} results for other reasons (--each)"] if n_rest else [])])


def cause(why: str) -> str:
    """What a reason has in common with that of other cells, so that hundreds can be told in a line.

    "dim~64/lam~0.05/model" becomes "dim~*/lam~*/model"; what follows from other jobs is told only where a job has no
    fault of its own, and then without their names.
    """
    own = [text for text in why.split("; ") if not text.startswith(FOLLOWS)]
    return re.sub(r"~[^/\s,;]+", "~*", "; ".join(own)) or f"{FOLLOWS}what is not current"


def _names(judgements: list[Judgement], n_of_rule: Counter, n_names: int = 2) -> str:
    """ "train_sae (all 18), fit_probes (3 of 18: minivae/dim~64/lam~0.05, … and 1 more)"."""
    of_rule: dict[str, list[str]] = {}
    for judgement in judgements:
        of_rule.setdefault(judgement.job.rule, []).append(judgement.job.name.partition("/")[2])
    texts = []
    for rule, names in of_rule.items():
        shown = ", ".join(names[:n_names]) + (f" and {len(names) - n_names} more" if len(names) > n_names else "")
        if len(names) < n_of_rule[rule]:
            texts.append(f"{rule} ({len(names)} of {n_of_rule[rule]}: {shown})")
        else:
            texts.append(rule if len(names) == 1 else f"{rule} (all {len(names)})")
    return ", ".join(texts)


def targets(audit: Audit) -> list[str]:
    """What `snakemake --forcerun` needs to make everything current: rules whose every job is at fault, else files.

    Jobs that are stale only for what they are made from follow by themselves. A missing file is among them too: while
    what was made from it is there, Snakemake does not miss it.
    """
    n_of_rule = Counter(judgement.job.rule for judgement in audit.judgements)
    n_at_fault = Counter(judgement.job.rule for judgement in audit.roots)
    whole = [rule for rule in n_at_fault if n_at_fault[rule] == n_of_rule[rule]]
    return whole + [root.job.outputs[0] for root in audit.roots if root.job.rule not in whole]


def _advice(audit: Audit, arguments: list[str]) -> str:
    found = targets(audit)
    given = [shlex.join(arguments)] if arguments else []
    what = f"--forcerun {shlex.join(found)}"
    if len(audit.roots) == len(audit.judgements):
        what = "--forceall"
    elif len(found) > MAX_TARGETS:
        what = f"--forcerun $({' '.join(['.venv/bin/python workflow_scripts/audit.py', *given, '--targets'])})"
    return f"To make them current:\n{INDENT}{' '.join(['.venv/bin/snakemake', *given, what])}"


def _strays(strays: list[StrayFile], now: float, n_shown: int = 20) -> str:
    if not strays:
        return ""
    total = sum(stray.n_bytes for stray in strays)
    lines = [f"foreign: {len(strays)}, {size(total)}; nothing reads them, and they can be deleted"]
    lines += [
        f"{INDENT}{stray.path}  ({stray.what}, {size(stray.n_bytes)}, {age(now - stray.modified)} old)"
        for stray in strays[:n_shown]
    ]
    return "\n".join([*lines, *([f"{INDENT}and {len(strays) - n_shown} more"] if len(strays) > n_shown else [])])


def _versions(used: dict[str, Counter], installed: dict[str, str]) -> str:
    """Packages of which the current results saw several versions, or another than the installed one."""
    lines = []
    for package, counts in used.items():
        present = installed[package] if package in installed else "not installed"
        if set(counts) != {present}:
            shown = ", ".join(f"{version} ({n} jobs)" for version, n in counts.most_common())
            lines.append(f"{INDENT}{package}: {shown}; installed now: {present}")
    if not lines:
        return ""
    is_mixed = any(len(counts) > 1 for counts in used.values())
    head = "mixed versions: current results were made with" if is_mixed else "versions: the results were made with"
    return "\n".join([f"{head} other packages than those installed now" if not is_mixed else head, *lines])


def _machines(judgements: list[Judgement]) -> str:
    """Where the recorded results were made: for information, since the last bits of a float depend on it."""
    lines = []
    for what in ("host", "device", "commit"):
        found = [judgement.record[what] for judgement in judgements if judgement.record]
        counts = Counter(value for value in found if value is not None)
        if counts:
            lines.append(f"{what:<11} " + ", ".join(f"{value} ({n})" for value, n in counts.most_common(6)))
    return "\n".join(lines)
