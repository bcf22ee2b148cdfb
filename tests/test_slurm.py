"""The workflow on a cluster: a real scheduler, the real plugin, the README's own commands, seconds of audio."""

import hashlib
import re
import subprocess
from collections import Counter

import pandas as pd
import pytest
import yaml

import encodec_files
from slurm_cluster import Cluster, edited_profile
from sonolens import plugins
from workflow_project import ENVIRONMENT, ROOT, append, copy_of_the_project, job_counts

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
pytest_plugins = ["slurm_fixtures"]

GPU_RULES = set(yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())["set-resources"])
LAMS = [0.005, 0.05]
# What one more λ has nothing to do with.
UNTOUCHED = {"fetch_dataset", "index_dataset", "train_codec", "evaluate_codec", "extract_latents", "measure_scaling"}
UNTOUCHED |= {"label_frames", "label_frames_on_gpu", "fit_bins", "align_labels", "check_labels", "fit_raw_probes"}
UNTOUCHED |= {"decode_excerpts", "train_objective_sae", "fit_objective_probe", "measure_frame_time"}
UNTOUCHED |= {"encode_steering_excerpts", "embed_originals"}
# Have nothing to fetch for the demo (tests/test_real_encoders.py, tests/test_paper_data.py)
LOCAL = {"fetch_weights", "fetch_generator_weights", "download_dataset", "fetch_prompts", "choose_prompts"}


def test_one_edit_names_partition_and_model_for_every_rule_with_a_gpu(tmp_path):
    folder = copy_of_the_project(tmp_path)
    profile = folder / "profiles/slurm/profile.yaml"
    text = edited_profile(profile.read_text())
    profile.write_text(text.replace("slurm_partition: gpu ", "slurm_partition: accelerated "))
    command = ["snakemake", "--profile", "slurm", "--dry-run", "--configfile", "config.yaml", "tests/smoke.yaml"]
    printed = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    jobs = re.findall(r"^rule (?!all)(\w+):\n(?: .*\n)*? +resources: (.*)$", printed, re.MULTILINE)
    assert len(jobs) == sum(job_counts(printed).values())
    for rule, resources in jobs:
        asked = dict(word.split("=") for word in resources.split(", "))
        expected = ("1", "accelerated", "pretended") if rule in GPU_RULES else (None, "cpu", None)
        assert tuple(map(asked.get, ("gpu", "slurm_partition", "gpu_model"))) == expected, rule
    assert {rule for rule, _ in jobs} >= GPU_RULES


def test_the_readmes_commands_end_in_the_report(on_the_cluster):
    assert (on_the_cluster.folder / "results/report/index.html").is_file()
    cells = pd.read_csv(on_the_cluster.folder / "results/report/tables/cells.csv")
    assert sorted(cells["lam"]) == LAMS


def test_every_rule_ran_as_a_job_and_none_twice(on_the_cluster):
    rules = set(re.findall(r"^(?!all)(\w+) \(", on_the_cluster.snakemake("--list-rules"), re.MULTILINE))
    jobs = on_the_cluster.jobs()
    assert {job.rule for job in jobs} == rules - LOCAL
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len({(job.rule, job.wildcards) for job in jobs}) == len(jobs)
    assert len({job.run for job in jobs}) == 1
    assert jobs[0].run.startswith("sonolens_")


def test_jobs_ask_for_a_gpu_if_their_rule_uses_one(on_the_cluster):
    for job in on_the_cluster.jobs():
        assert (job.gpus, job.partition) == ((1, "gpu") if job.rule in GPU_RULES else (0, "cpu")), job


def test_no_more_jobs_run_at_once_than_there_are_gpus(on_the_cluster):
    jobs = [job for job in on_the_cluster.jobs() if job.gpus]
    # by whole seconds: one that ends makes room for one that starts in the same second
    changes = sorted([(job.start, job.gpus) for job in jobs] + [(job.end, -job.gpus) for job in jobs])
    in_use = [sum(gpus for _, gpus in changes[: number + 1]) for number in range(len(changes))]
    assert max(in_use) == Cluster.n_gpus


def test_released_files_are_fetched_where_snakemake_was_started(copied, tmp_path):
    released = encodec_files.write(tmp_path, "24khz")
    name = plugins.card("encoders", "encodec")["variants"]["24khz"]["files"][0]["name"]
    own = {"source": str(released), "sha256": hashlib.sha256(released.read_bytes()).hexdigest()}
    overlay = copied.laid_over(
        encoders=[{"name": "encodec"}],
        generators=[],
        objective={"encoders": []},
        downloads={"accepted_licences": ["cc-by-nc-4.0"], "files": {name: own}},
    )
    n_before = len(copied.jobs())
    copied.snakemake("results/latents/encodec/frame_time.json", *overlay)
    assert [job.rule for job in copied.jobs()[n_before:]] == ["measure_frame_time"]
    assert (copied.folder / f"resources/encoders/encodec/{name}").read_bytes() == released.read_bytes()
    assert copied.events(f"fetch_weights/encodec/{name}")[-1] == "finished"


def test_nothing_is_stale_afterwards(on_the_cluster):
    assert on_the_cluster.planned() == {}


def test_other_memory_time_and_partitions_make_nothing_stale(copied):
    profile = copied.folder / "profiles/slurm/profile.yaml"
    text = profile.read_text().replace(
        "slurm_partition: gpu ", "slurm_partition: long\n    mem_mb: 9000\n    runtime: 9 "
    )
    profile.write_text(text.replace("slurm_partition: cpu ", "slurm_partition: short "))
    assert "mem_mb=9000" in copied.snakemake("--dry-run", "--forcerun", "train_sae")
    assert copied.planned() == {}


def test_one_more_lambda_runs_its_own_cells_and_the_report(copied):
    one_more = copied.laid_over(sae={"lams": [*LAMS, 0.1]})
    jobs = copied.planned(*one_more)
    assert not UNTOUCHED & set(jobs)
    assert (jobs["train_sae"], jobs["evaluate_sae_audio"], jobs["fit_probes"], jobs["write_report"]) == (1, 1, 1, 1)
    copied.snakemake(*one_more)
    assert {job.state for job in copied.jobs()} == {"COMPLETED"}
    assert Counter(job.rule for job in copied.jobs()) == jobs
    assert sorted(pd.read_csv(copied.folder / "results/report/tables/cells.csv")["lam"]) == [*LAMS, 0.1]
    assert copied.planned(*one_more) == {}


def test_an_edit_to_the_model_retrains_and_relabels_nothing(copied):
    append(copied.folder / "workflow_scripts/sonolens/sae/model.py", "\n# a comment is an edit\n")
    jobs = copied.planned()
    assert jobs["train_sae"] == len(LAMS)
    assert not {"train_codec", "extract_latents", "label_frames", "label_frames_on_gpu", "align_labels"} & set(jobs)
