"""The audit: the verdict on every job from records and content, and the graph that it takes from Snakemake."""

import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sonolens.jobs import provenance
from sonolens.overview import audit_text, costs
from sonolens.overview.audit import Verdict, audit, differences
from sonolens.overview.planned import PlannedJob, with_makers
from workflow_project import ENVIRONMENT, ROOT, copy_of_the_project, job_counts

VERSIONS = {"python": "3.11", "torch": "2.13.0"}


def train(lam: str, steps: int = 10) -> PlannedJob:
    cell = f"minivae/lam~{lam}"
    outputs = [f"results/saes/{cell}/model", f"results/saes/{cell}/metrics.json"]
    return PlannedJob(f"train_sae/{cell}", "train_sae", {"steps": steps}, ["train.py"], ["data.txt"], outputs)


def probe(lam: str) -> PlannedJob:
    inputs = [train(lam).outputs[0]]
    outputs = [f"results/probes/lam~{lam}"]
    return PlannedJob(f"fit_probe/lam~{lam}", "fit_probe", {"at": (1, 2)}, ["probe.py"], inputs, outputs)


LAMS = ["0.1", "0.2", "0.5"]
JOBS = [*map(train, LAMS), *map(probe, LAMS)]


def make(job: PlannedJob, **changes) -> None:
    """Run a job: write its outputs and its record."""
    for path in job.outputs:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(f"{path} {job.params} {[Path(given).read_text() for given in job.inputs]}")
    record = {"job": job.name, "rule": job.rule, "params": provenance.canonical(job.params)}
    for kind, paths in (("code", job.code), ("inputs", job.inputs), ("outputs", job.outputs)):
        record[kind] = {path: provenance.sha256(path) for path in paths}
    record |= {"versions": VERSIONS, "host": "n1", "device": "cpu", "commit": None, "gpus": 1, "n_interruptions": 0}
    record |= {"wall_seconds": 1800.0, "finished": "2026-11-22T15:00:00+00:00"}
    provenance.write(record | changes)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder with what JOBS make; the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "probe.py", "data.txt"):
        Path(name).write_text(name)
    for job in JOBS:
        make(job)
    return tmp_path


def verdicts(jobs: list[PlannedJob] = JOBS) -> dict[str, tuple[str, str]]:
    """(verdict, why) of every job that is not current."""
    return {
        judgement.job.name: (judgement.verdict, judgement.why)
        for judgement in audit(jobs).judgements
        if judgement.verdict is not Verdict.CURRENT
    }


def test_what_was_made_as_planned_is_current(results):
    found = audit(JOBS)
    assert found.is_current
    assert not found.strays
    assert found.counts == {Verdict.CURRENT: 6}


def test_other_parameters_are_named_and_what_follows_is_stale_too(results):
    planned = [train("0.1", steps=20), *JOBS[1:]]
    assert verdicts(planned) == {
        "train_sae/minivae/lam~0.1": ("stale", "params steps 10 → 20"),
        "fit_probe/lam~0.1": ("stale", "made from 1 stale train_sae"),
    }
    assert audit_text.targets(audit(planned)) == [train("0.1").outputs[0]]
    make(planned[0])
    assert list(verdicts(planned)) == ["fit_probe/lam~0.1"]  # its input has other content now
    make(probe("0.1"))
    assert verdicts(planned) == {}


def test_edited_code_makes_stale_and_put_back_current(results):
    Path("probe.py").write_text("edited")
    assert verdicts() == {job.name: ("stale", "code probe.py changed") for job in JOBS[3:]}
    assert audit_text.targets(audit(JOBS)) == ["fit_probe"]
    Path("probe.py").write_text("probe.py")
    assert verdicts() == {}


def test_an_input_with_other_content_is_named(results):
    Path("data.txt").write_text("new data")
    assert verdicts()["train_sae/minivae/lam~0.2"] == ("stale", "input data.txt changed")
    assert len(verdicts()) == 6


def test_what_other_jobs_are_to_blame_for_is_no_fault_of_a_job(results):
    Path(JOBS[0].outputs[0]).write_text("edited by hand")
    Path(JOBS[1].outputs[0]).unlink()
    assert verdicts()["fit_probe/lam~0.1"] == ("stale", "made from 1 altered train_sae")
    assert verdicts()["fit_probe/lam~0.2"] == ("stale", "made from 1 missing train_sae")
    assert set(audit_text.targets(audit(JOBS))) == {JOBS[0].outputs[0], JOBS[1].outputs[0]}
    text = audit_text.describe(audit(JOBS), VERSIONS, [], now=0.0)
    assert "stale       made from what is not current\n            fit_probe (2 of 3: lam~0.1, lam~0.2)" in text


def test_an_input_that_was_made_anew_behind_ones_back_is_named(results):
    Path("data.txt").write_text("new data")
    make(JOBS[0])
    assert verdicts()["fit_probe/lam~0.1"] == ("stale", f"input {JOBS[0].outputs[0]} changed")


def test_inputs_that_came_or_went_are_named(results):
    Path("more.txt").write_text("")
    more = JOBS[0]._replace(inputs=["more.txt"])
    assert verdicts([more])[more.name][1] == "input more.txt new; input data.txt no longer used"
    Path("data.txt").unlink()
    assert verdicts([JOBS[0]])[more.name][1] == "input data.txt not there"


def test_an_output_that_is_not_as_it_was_written_is_altered(results):
    Path(JOBS[0].outputs[1]).write_text("edited by hand")
    verdict, why = verdicts()["train_sae/minivae/lam~0.1"]
    assert verdict == "altered"
    assert JOBS[0].outputs[1] in why
    assert verdicts()["fit_probe/lam~0.1"] == ("stale", "made from 1 altered train_sae")


def test_altered_is_told_before_stale_with_both_reasons(results):
    Path(JOBS[3].outputs[0]).write_text("edited by hand")
    Path("probe.py").write_text("edited")
    verdict, why = verdicts()["fit_probe/lam~0.1"]
    assert verdict == "altered"
    assert why == "results/probes/lam~0.1 changed since it was written; code probe.py changed"


def test_what_is_not_there_is_missing(results):
    Path(JOBS[0].outputs[0]).unlink()
    assert verdicts() == {
        "train_sae/minivae/lam~0.1": ("missing", f"{JOBS[0].outputs[0]} not there"),
        "fit_probe/lam~0.1": ("stale", "made from 1 missing train_sae"),
    }
    shutil.rmtree("results/probes")
    assert verdicts()["fit_probe/lam~0.5"] == ("missing", "no output is there")


@pytest.mark.parametrize("damage", ["", "{", '["a list"]', '{"params": {}}', None])
def test_without_a_readable_record_nothing_is_believed(results, damage):
    path = provenance.record_path(JOBS[1].name)
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    found = verdicts()
    assert found["train_sae/minivae/lam~0.2"][0] == "unrecorded"
    assert found["fit_probe/lam~0.2"] == ("stale", "made from 1 unrecorded train_sae")
    assert len(found) == 2


def test_the_audit_and_the_page_are_not_audited_but_expected(results):
    page = PlannedJob("write_report", "write_report", {}, [], [], ["results/report/index.html"])
    Path("results/report").mkdir()
    Path("results/report/index.html").write_text("")
    provenance.record_path("write_report").write_text("{}")
    found = audit([*JOBS, page])
    assert found.is_current
    assert not found.strays


def test_what_no_job_makes_is_foreign(results):
    found = audit([*JOBS[:2], *JOBS[3:5]])
    assert found.is_current
    assert {stray.path for stray in found.strays} == {
        "results/saes/minivae/lam~0.5/model",
        "results/saes/minivae/lam~0.5/metrics.json",
        "results/probes/lam~0.5",
        "results/provenance/train_sae/minivae/lam~0.5.json",
        "results/provenance/fit_probe/lam~0.5.json",
    }
    Path("results/saes/.model.1a2b.tmp").write_text("half of it")
    assert [stray.path for stray in audit(JOBS).strays] == ["results/saes/.model.1a2b.tmp"]


def test_checkpoints_that_nothing_goes_on_from(results):
    def save(path: str) -> None:
        (Path("checkpoints") / path).parent.mkdir(parents=True, exist_ok=True)
        (Path("checkpoints") / path).write_text("12345")

    key = "0123456789abcdef0123"
    save(f"train_sae/minivae/lam~0.1/{key}/state~000000000400.ckpt")
    save(f"train_sae/minivae/lam~0.2/{key}/finished/0")  # kept for a second process until the workflow has ended
    save(f"train_sae/minivae/lam~0.5/{key}/state~000000000400.ckpt")  # not finished: it will go on from here
    save(f"train_sae/minivae/lam~9/{key}/state~000000000100.ckpt")
    save(f"train_sae/minivae/lam~9/{key}/state~000000000200.ckpt")
    save("train_sae/minivae/lam~0.2/lease.1")
    Path(JOBS[2].outputs[0]).unlink()
    strays = {stray.path: (stray.what, stray.n_bytes) for stray in audit(JOBS).strays}
    assert strays == {
        "checkpoints/train_sae/minivae/lam~0.1": ("of a finished job", 5),
        "checkpoints/train_sae/minivae/lam~9": ("of no job of this config", 10),
    }


def test_mixed_versions_are_counted_over_current_results(results):
    make(JOBS[4], versions=VERSIONS | {"torch": "2.12.0"})
    make(JOBS[5], versions=VERSIONS | {"torch": "2.11.0"})
    Path(JOBS[5].outputs[0]).write_text("edited by hand")
    found = audit(JOBS)
    assert found.versions == {"python": Counter({"3.11": 5}), "torch": Counter({"2.13.0": 4, "2.12.0": 1})}
    text = audit_text.describe(found, VERSIONS, [], now=0.0)
    assert "torch: 2.13.0 (4 jobs), 2.12.0 (1 jobs); installed now: 2.13.0" in text
    assert "python:" not in text


def test_differences_name_the_place():
    then = {"a": {"b": 1, "c": [1, 2]}, "gone": 0, "same": 2}
    now = {"a": {"b": 1, "c": [1, 3]}, "new": "x" * 100, "same": 2.0}
    assert differences(then, now) == ["a.c [1, 2] → [1, 3]", "gone (gone)", f"new (new) {'x' * 39}…"]
    assert differences({"flag": True}, {"flag": 1}) == ["flag True → 1"]
    assert differences({"flag": None}, {"flag": False}) == ["flag None → False"]


def test_makers_come_before_users():
    order = [job.name for job, _ in with_makers(JOBS[::-1])]
    assert all(order.index(train(lam).name) < order.index(probe(lam).name) for lam in LAMS)
    assert (JOBS[3], [JOBS[0]]) in with_makers(JOBS)


def test_text_says_how_many_why_and_what_to_do(results):
    text = audit_text.describe(audit(JOBS), VERSIONS, ["--profile", "slurm"], now=0.0)
    assert text.startswith("6 results, all made by the present code and config.")
    assert "forcerun" not in text
    Path("probe.py").write_text("edited")
    Path(JOBS[0].outputs[0]).unlink()
    text = audit_text.describe(audit(JOBS), VERSIONS, ["--profile", "slurm"], now=0.0)
    assert text.startswith("2 of 6 results are made by the present code and config; 1 missing, 3 stale.")
    assert "train_sae (1 of 3: minivae/lam~0.1)" in text
    command = ".venv/bin/snakemake --profile slurm --forcerun fit_probe 'results/saes/minivae/lam~0.1/model'"
    assert command in text


def test_hundreds_of_reasons_that_differ_by_cell_are_one(results):
    for job in JOBS[:3]:
        Path(job.outputs[1]).write_text("edited by hand")
    text = audit_text.describe(audit(JOBS), VERSIONS, [], now=0.0)
    assert text.count("changed since it was written") == 1
    assert "results/saes/minivae/lam~*/metrics.json" in text
    assert "train_sae (all 3)" in text
    each = audit_text.describe(audit(JOBS), VERSIONS, [], now=0.0, each=True)
    assert each.count("changed since it was written") == 3


def test_costs_are_sums_over_attempts_and_gpus(results):
    make(JOBS[1], gpus=2, n_interruptions=3, wall_seconds=3600.0)
    provenance.record_path(JOBS[5].name).unlink()
    records = {job.name: provenance.read(job.name) for job in JOBS}
    memory = dict.fromkeys(records, math.nan) | {JOBS[0].name: 120.5, JOBS[1].name: 900.0}
    table = costs.by_stage(JOBS, records, memory).set_index("stage")
    assert list(table.index) == ["train_sae", "fit_probe", "all"]
    row = table.loc["train_sae"]
    assert (row["jobs"], row["recorded"], row["attempts"], row["interruptions"]) == (3, 3, 6, 3)
    assert (row["wall_hours"], row["gpu_hours"], row["peak_memory_mb"]) == (2.0, 3.0, 900.0)
    row = table.loc["fit_probe"]
    assert (row["jobs"], row["recorded"], row["wall_hours"], row["gpu_hours"]) == (3, 2, 1.0, 1.0)
    assert math.isnan(row["peak_memory_mb"])
    assert table.loc["all", "gpu_hours"] == 4.0
    assert table.loc["all", "attempts"] == 8


def test_figures_are_one_stage():
    figures = [PlannedJob(name, name, {}, [], [], [name]) for name in ("figure_a", "figure_b")]
    table = costs.by_stage(figures, dict.fromkeys(["figure_a", "figure_b"]), dict.fromkeys(["figure_a", "figure_b"], 1))
    assert table["stage"].tolist() == ["figures", "all"]
    assert table["jobs"].tolist() == [2, 2]
    assert table["gpu_hours"].tolist() == [0, 0]


def test_peak_memory_is_read_from_the_benchmark(tmp_path):
    (tmp_path / "train_sae").mkdir()
    (tmp_path / "train_sae/a.tsv").write_text(
        "s\th:m:s\tmax_rss\tcpu_time\n5.0\t0:00:05\t310.25\t4\n6.0\t0:00:06\tNA\t4\n"
    )
    (tmp_path / "short.tsv").write_text("s\th:m:s\tmax_rss\n0.1\t0:00:00\t-\n")
    assert costs.peak_memory_mb("train_sae/a", tmp_path) == 310.25
    assert math.isnan(costs.peak_memory_mb("short", tmp_path))
    assert math.isnan(costs.peak_memory_mb("never/ran", tmp_path))


SNAKEFILE = """
configfile: "config.yaml"

rule all:
    input: "results/sum.json", "results/audit.json"

rule make_number:
    input: code=["make_number.py"]
    output: "results/numbers/{n}.json"
    log: "logs/make_number/{n}.log"
    params: factor=config["factor"]
    script: "make_number.py"

rule add_numbers:
    input: code=["add_numbers.py"], numbers=expand("results/numbers/{n}.json", n=config["numbers"])
    output: "results/sum.json"
    log: "logs/add_numbers.log"
    script: "add_numbers.py"

rule audit_results:
    input: code=["look.py"], sum="results/sum.json"
    output: "results/audit.json"
    log: "logs/audit_results.log"
    params: config=config
    script: "look.py"
"""
SCRIPTS = {
    "make_number.py": """
from pathlib import Path
from sonolens.jobs import job
with job.running(snakemake):
    Path(snakemake.output[0]).write_text(str(int(snakemake.wildcards.n) * snakemake.params.factor))
""",
    "add_numbers.py": """
from pathlib import Path
from sonolens.jobs import job
with job.running(snakemake):
    Path(snakemake.output[0]).write_text(str(sum(int(Path(path).read_text()) for path in snakemake.input.numbers)))
""",
    "look.py": """
import json
from pathlib import Path
import job_graph
from sonolens.jobs import job
from sonolens.overview.audit import audit
with job.running(snakemake):
    found = audit(job_graph.of_config(snakemake.params.config, "Snakefile"))
    Path(snakemake.output[0]).write_text(json.dumps({one.job.name: one.verdict for one in found.judgements}))
""",
}
ARGUMENTS = ["--cores", "1", "--rerun-triggers", "mtime", "params", "input", "software-env", "--snakefile", "Snakefile"]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    """A workflow of five jobs after a run; the last of them has audited the others."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "config.yaml").write_text("factor: 2\nnumbers: [1, 2, 3]\n")
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    call(folder, "snakemake", *ARGUMENTS)
    return folder


@pytest.fixture
def small(small_run, tmp_path) -> Path:
    """A copy of it with its time stamps."""
    return Path(shutil.copytree(small_run, tmp_path / "copy"))


def call(folder: Path, *command: str, fails: bool = False) -> str:
    """What a command prints in a folder."""
    path = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT | path, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def audited(folder: Path, fails: bool = False) -> str:
    return call(folder, sys.executable, str(ROOT / "workflow_scripts/audit.py"), *ARGUMENTS, fails=fails)


def follow_advice(folder: Path, text: str) -> None:
    """Call what the audit says that should be called."""
    command = shlex.split(re.search(r"\.venv/bin/(snakemake .*)", text).group(1))
    call(folder, *command)


def n_planned(folder: Path) -> int:
    """Jobs that Snakemake itself would run now."""
    output = call(folder, "snakemake", *ARGUMENTS, "--dry-run")
    total = re.search(r"^total +(\d+)$", output, re.MULTILINE)
    return int(total.group(1)) if total else 0


@pytest.mark.workflow
def test_a_job_audits_the_workflow_that_it_belongs_to(small_run):
    names = ["make_number/1", "make_number/2", "make_number/3", "add_numbers"]
    assert json.loads((small_run / "results/audit.json").read_text()) == dict.fromkeys(names, "current")
    assert "4 results, all made by the present code and config." in audited(small_run)


@pytest.mark.workflow
def test_status_from_outside_of_a_run(small):
    status = [sys.executable, str(ROOT / "workflow_scripts/status.py"), *ARGUMENTS]
    assert re.search(r"^all .* 5 of 5 done$", call(small, *status), re.MULTILINE)
    (small / "config.yaml").write_text("factor: 3\nnumbers: [1, 2, 3, 4]\n")
    told = call(small, *status)
    assert re.search(r"^make_number .* 0 of 4 done  3 outdated, 1 waiting$", told, re.MULTILINE)
    assert re.search(r"^add_numbers .* 0 of 1 done  1 outdated$", told, re.MULTILINE)


@pytest.mark.workflow
def test_what_snakemake_has_forgotten_is_found_and_made_current(small):
    shutil.rmtree(small / ".snakemake/metadata")
    (small / "config.yaml").write_text("factor: 3\nnumbers: [1, 2, 3]\n")
    assert n_planned(small) == 0  # why there is an audit
    text = audited(small, fails=True)
    assert "params factor 2 → 3" in text
    assert "0 of 4 results are made by the present code and config; 4 stale." in text
    assert text.rstrip().count("--forcerun make_number") == 1
    follow_advice(small, text)
    assert (small / "results/sum.json").read_text() == "18"
    audited(small)
    assert n_planned(small) == 0


@pytest.mark.workflow
def test_single_files_are_made_again_by_the_advice(small):
    (small / "results/numbers/1.json").unlink()
    (small / "results/numbers/2.json").write_text("200")
    (small / "results/provenance/make_number/3.json").unlink()
    text = audited(small, fails=True)
    assert "1 missing, 1 unrecorded, 1 altered, 1 stale" in text
    follow_advice(small, text)
    assert (small / "results/sum.json").read_text() == "12"
    audited(small)
    assert n_planned(small) == 0


@pytest.mark.workflow
def test_the_graph_is_snakemakes_own(tmp_path):
    project = copy_of_the_project(tmp_path)
    arguments = ["--profile", "profiles/demo", "--configfile", "config.yaml", "tests/smoke.yaml"]
    script = (
        "import json, sys; sys.path.insert(0, 'workflow_scripts'); import job_graph;"
        f"print(json.dumps([job._asdict() for job in job_graph.of_command({arguments})]))"
    )
    printed = call(project, sys.executable, "-c", script)
    jobs = [PlannedJob(**job) for job in json.loads(printed.splitlines()[0])]
    assert not list((project / ".snakemake").glob("l*/*")), "a log or a lock was left"
    dry_run = call(project, "snakemake", *arguments, "--forceall", "--dry-run")
    assert Counter(job.rule for job in jobs) == job_counts(dry_run)
    by_name = {job.name: job for job in jobs}
    assert len(by_name) == len(jobs)
    cell = by_name["train_sae/minivae/dim~64/lam~0.05"]
    assert "results/saes/minivae/dim~64/lam~0.05/model.safetensors" in cell.outputs
    assert "workflow_scripts/sonolens/sae/model.py" in cell.code
    assert "results/latents/minivae/scaling.json" in cell.inputs
    assert not set(cell.code) & set(cell.inputs)
    assert cell.params["seed"] == 0
    assert cell.cluster_logs == ".snakemake/slurm_logs/rule_train_sae/minivae_64_0.05"
    # nothing is made after the audit but the page: what it does not see, nobody would
    behind = {"audit_results"}
    makers = {job.name: found for job, found in with_makers(jobs)}
    while more := {maker.name for name in behind for maker in makers[name]} - behind:
        behind |= more
    assert behind == set(by_name) - {"write_report"}
