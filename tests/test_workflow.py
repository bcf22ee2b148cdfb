"""The workflow itself, on seconds of audio: what it makes, and exactly what it makes again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from sonolens import tables
from sonolens.files import read_json
from sonolens.jobs import life
from workflow_project import (
    ENVIRONMENT,
    ROOT,
    append,
    changed_config,
    copy_of_the_project,
    job_counts,
    planned,
    snakemake,
    tracked_files,
)

N_CELLS = 2 * 2 * 2  # encoders, dims, lams
pytestmark = pytest.mark.workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished run. Tests that change it work on a copy."""
    folder = copy_of_the_project(tmp_path_factory.mktemp("project"))
    snakemake(folder)
    return folder


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of the finished run with its time stamps."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


def test_every_cell_probe_and_table_is_there(finished):
    assert len(list(finished.glob("results/saes/*/*/*/model.safetensors"))) == N_CELLS
    assert len(list(finished.glob("results/probes/*/dim~*/*/*/metrics.json"))) == N_CELLS * 3
    assert len(list(finished.glob("results/probes/*/raw/*/metrics.json"))) == 2 * 3
    cells = pd.read_csv(finished / "results/report/tables/cells.csv")
    assert len(cells) == N_CELLS
    named = ["encoder", "dim", "expansion", "lam", "sparsity", "l0", "explained_variance", "mse", "dead_share"]
    named += ["frames_per_s", "train_seconds"]
    for attribute in ("pitch", "amplitude", "timbre"):
        for figure in ("accuracy", "majority_share", "macro_f1", "raw_latent_accuracy"):
            named.append(f"{attribute}_{figure}")
    assert set(named) <= set(cells.columns)
    assert not cells[named].isna().any().any()
    for name in ("paper_comparison", "claims", "objective", "labels", "rejected"):
        assert (finished / f"results/report/tables/{name}.csv").is_file(), name
    for png in finished.glob("results/report/figures/*.png"):
        assert png.with_suffix(".svg").is_file(), png


def test_every_steered_cell_is_measured_by_every_method(finished):
    steering = pd.read_csv(finished / "results/report/tables/steering.csv")
    first = ["encoder", "dim", "lam", "method", "attribute", "class", "alpha", "hit_rate", "shift", "shift_unit"]
    assert list(steering.columns[:11]) == [*first, "isolation"]
    steered = steering[steering["alpha"] > 0]
    assert set(zip(steered["encoder"], steered["cell"], strict=True)) == {
        ("minivae", "best"), ("minirvq", "best"), ("minirvq", "dense"),
    }  # fmt: skip
    dense = steered[steered["cell"] == "dense"]
    assert (dense["dim"] == 128).all() and (dense["lam"] == 0.005).all()
    counts = steered[steered["class"] != "all"].groupby(["encoder", "cell", "method", "attribute"]).size()
    assert (counts.xs("amplitude", level="attribute") == 1 * 2).all()  # one class by position, two α
    assert (counts.drop("amplitude", level="attribute") == 2 * 2).all()
    assert counts.groupby("method").size().nunique() == 1 and counts.index.unique("method").size == 7
    # moving the latents equally far is what makes methods comparable
    by_method = steered[steered["class"] == "all"].pivot_table(
        "displacement", ["encoder", "cell", "attribute"], "method"
    )
    assert np.allclose(by_method["latent_probe"], by_method["probe"], rtol=0.01)
    methods = pd.read_csv(finished / "results/report/tables/steering_methods.csv")
    assert set(methods["method"]) == set(counts.index.unique("method")) - {"probe"}


def test_the_cell_steered_as_best_is_the_selected_one(finished):
    for encoder in ("minivae", "minirvq"):
        selected = read_json(finished / f"results/selected/{encoder}.json")
        chosen = read_json(finished / f"results/steering/{encoder}/best/cell.json")
        assert (chosen["dim"], chosen["lam"]) == (selected["dim"], selected["lam"])
        model = Path(f"{encoder}/dim~{chosen['dim']}/lam~{chosen['lam']}/model.safetensors")
        taken = finished / f"results/steering/{encoder}/best/model.safetensors"
        assert taken.read_bytes() == (finished / "results/saes" / model).read_bytes()
        assert taken.stat().st_nlink == 1, "Snakemake touches outputs: a link would touch the cell's own model"


def test_no_temporary_file_is_left(finished):
    assert not [path for path in finished.rglob("*.tmp*") if ".snakemake" not in path.parts]


def test_rows_of_labels_are_rows_of_latents(finished):
    frames = sorted(finished.glob("results/latents/minivae/chorales/*/frames.parquet"))
    joined = tables.read_all(frames, tables.LATENT_FRAMES)
    for attribute in ("pitch", "amplitude", "timbre"):
        labels = tables.read(finished / f"results/labels/{attribute}/aligned/minivae.parquet", tables.ALIGNED_LABELS)
        assert (labels["clip_id"].astype(str) == joined["clip_id"].astype(str)).all()
        assert (labels["frame_index"] == joined["frame_index"]).all()


def test_two_runs_with_one_seed_agree_to_the_last_digit(finished, tmp_path):
    again = copy_of_the_project(tmp_path)
    snakemake(again)
    wall_time = ["frames_per_s", "train_seconds"]
    of_times = {"audit.csv", "costs.csv"}
    compared = sorted(path.relative_to(finished) for path in finished.glob("results/report/tables/*.csv"))
    compared = [path for path in compared if path.name not in of_times]
    assert len(compared) >= 8
    for name in compared:
        first, second = (
            pd.read_csv(folder / name, dtype=str).drop(columns=wall_time, errors="ignore")
            for folder in (finished, again)
        )
        pd.testing.assert_frame_equal(first, second, obj=str(name))
    for name in sorted(path.relative_to(finished) for path in finished.glob("results/**/*.safetensors")):
        assert (finished / name).read_bytes() == (again / name).read_bytes(), name


def test_nothing_is_stale_after_a_run(finished):
    assert planned(finished) == {}


def test_nothing_is_stale_after_touching_every_source_file(project):
    for name in tracked_files():
        os.utime(project / name)
    assert planned(project) == {}


def test_nothing_is_stale_in_a_fresh_clone_with_the_results_moved_in(project, tmp_path):
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    for name in ("results", "resources", ".snakemake"):
        shutil.move(project / name, clone / name)
    assert planned(clone) == {}


def test_one_more_lambda_costs_its_own_cells(project):
    jobs = planned(project, changed_config(project, lambda config: config["sae"]["lams"].append(0.1)))
    assert jobs["train_sae"] == 2 * 2  # encoders × dims
    assert jobs["fit_probes"] == 2 * 2
    assert jobs["evaluate_sae_audio"] == 2 * 2
    assert not {"train_codec", "extract_latents", "label_frames", "align_labels", "fit_raw_probes"} & set(jobs)
    assert "train_objective_sae" not in jobs
    assert jobs["write_report"] == 1


def test_an_edit_to_the_model_retrains_saes_and_relabels_nothing(project):
    append(project / "workflow_scripts/sonolens/sae/model.py", "\n# a comment is an edit\n")
    jobs = planned(project)
    assert jobs["train_sae"] == N_CELLS
    assert not {"train_codec", "extract_latents", "label_frames", "fit_bins", "align_labels"} & set(jobs)


def test_an_edit_put_back_is_no_edit(project):
    path = project / "workflow_scripts/sonolens/sae/model.py"
    text = path.read_text()
    path.write_text(text + "\n")
    path.write_text(text)
    assert planned(project) == {}


def test_an_edit_to_a_figure_redraws_that_figure(project):
    append(project / "workflow_scripts/sonolens/figures/dimension.py", "\n# a comment is an edit\n")
    assert planned(project) == {"figure_dimension": 1, "audit_results": 1, "write_report": 1}


def test_an_edit_to_one_encoder_leaves_the_other_alone(project):
    append(project / "workflow_scripts/sonolens/encoders/minirvq.py", "\n# a comment is an edit\n")
    jobs = planned(project)
    assert jobs["train_codec"] == 1
    assert jobs["train_sae"] == N_CELLS // 2
    assert "label_frames" not in jobs


def test_a_changed_label_edge_refits_probes_and_trains_nothing(project):
    def widen(config):
        config["attributes"][1]["low_percentile"] = 1.0

    jobs = planned(project, changed_config(project, widen))
    assert jobs["fit_bins"] == 1
    assert jobs["align_labels"] == 2
    assert jobs["fit_probes"] == N_CELLS
    assert not {"train_sae", "label_frames", "extract_latents", "train_codec", "evaluate_sae_audio"} & set(jobs)


def test_a_generation_is_traced_heard_measured_and_steered(finished):
    tables_folder = finished / "results/report/tables"
    generation = pd.read_csv(tables_folder / "generation.csv")
    assert list(generation.columns[:7]) == ["generator", "attribute", "form", "step", "s", "s_low", "s_high"]
    curves = generation.groupby(["attribute", "form", "view", "probe"]).size()
    assert (curves == 4).all() and len(curves) == 3 * 2 * 4 * 2  # steps; attributes, forms, views, probes
    samples = pd.read_csv(tables_folder / "generation_samples.csv")
    assert set(samples["source"]) == {"generated", "noise", "codec", "test"}
    steering = pd.read_csv(tables_folder / "generation_steering.csv")
    assert set(steering["mode"]) == {"on", "once"} and set(steering["step"]) == {0, 3}
    claims = pd.read_csv(tables_folder / "claims.csv")
    assert claims["claim"].str.contains("pitch converges before").any()
    for form in ("wav", "png"):
        played = list((finished / "results/report/generation/miniflow").rglob(f"*.{form}"))
        assert len(played) == 2 * 2  # steps, views
    assert "strip" in (finished / "results/report/index.html").read_text()


def test_an_edit_to_a_generator_trains_it_anew_and_nothing_else(project):
    append(project / "workflow_scripts/sonolens/generators/miniflow.py", "\n# a comment is an edit\n")
    jobs = planned(project)
    assert (jobs["train_generator"], jobs["embed_prompts"], jobs["trace_generation"]) == (1, 1, 2)
    assert (jobs["steer_generation"], jobs["measure_samples"], jobs["render_generation"]) == (3, 1, 1)
    assert not {"train_sae", "fit_probes", "steer_cell", "extract_latents", "fit_shuffled_probes"} & set(jobs)


def test_another_guidance_generates_anew_with_the_weights_that_are_there(project):
    jobs = planned(project, changed_config(project, lambda config: config["generators"][0].update(guidance=3)))
    assert jobs["trace_generation"] == 2
    assert not {"train_generator", "fit_shuffled_probes"} & set(jobs)


def test_a_deleted_cell_comes_back(project):
    shutil.rmtree(project / "results/saes/minivae/dim~64/lam~0.05")
    jobs = planned(project)
    assert jobs["train_sae"] == 1
    assert jobs["fit_probes"] == 1


def test_a_cell_that_is_chosen_again_is_not_steered_again(project):
    """Snakemake plans whatever reads the choice; a job that finds what it made from the same takes it over."""
    metrics = project / "results/saes/minivae/dim~64/lam~0.05/metrics.json"
    metrics.write_text(metrics.read_text() + "\n")  # of one candidate: the choice is made again
    logs = project / "logs/steer_cell/minivae/best"
    effects = project / "results/steering/minivae/best/pitch/effects.parquet"
    before = effects.read_bytes()
    snakemake(project, str(effects.relative_to(project)))
    events = [event["event"] for event in life.read(logs / "pitch.jsonl")]
    assert events[-2:] != ["started", "finished"] and events[-1] == "adopted"
    assert effects.read_bytes() == before


def test_a_typo_is_refused_before_anything_runs(project):
    overlay = changed_config(project, lambda config: config["sae"].update(lamz=[1]))
    assert "no such key: 'lamz'" in snakemake(project, "--dry-run", overlay=overlay, fails=True)


def test_a_cell_that_is_not_configured_cannot_be_asked_for(project):
    output = snakemake(project, "--dry-run", "results/saes/minivae/dim~64/lam~5e-3/model.safetensors", fails=True)
    assert "MissingRuleException" in output


@pytest.fixture
def recordings(tmp_path) -> Path:
    """A user's folder: three good recordings, and files that cannot be used."""
    folder = tmp_path / "my recordings"
    folder.mkdir()
    time_s = np.arange(48000) / 16000
    for name, f0_hz in [("a.wav", 220), ("b.wav", 330), ("café à 5 h.wav", 440)]:
        soundfile.write(folder / name, 0.3 * np.sin(2 * np.pi * f0_hz * time_s), 16000)
    (folder / "text.wav").write_text("this is no recording")
    soundfile.write(folder / "silence.wav", np.zeros(16000), 16000)
    return folder


def with_folder(path: Path, max_rejected_share: float):
    def change(config):
        config["datasets"] = [{"name": "mine", "module": "folder", "path": str(path)}]
        config["max_rejected_share"] = max_rejected_share

    return change


def test_a_users_folder_is_indexed_and_what_cannot_be_used_is_listed(project, recordings):
    overlay = changed_config(project, with_folder(recordings, 0.5))
    target = "results/datasets/mine/manifest.parquet"
    snakemake(project, target, overlay=overlay)
    manifest = tables.read(project / target, tables.MANIFEST)
    rejected = tables.read(project / "results/datasets/mine/rejected.parquet", tables.REJECTED)
    assert sorted(Path(path).name for path in manifest["path"]) == ["a.wav", "b.wav", "café à 5 h.wav"]
    reasons = {Path(row.path).name: row.reason for row in rejected.itertuples()}
    assert reasons["text.wav"].startswith("unreadable")
    assert reasons["silence.wav"].startswith("silent")
    # a recording that changes makes stale what was made of it, whatever its name
    soundfile.write(recordings / "a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000)
    output = snakemake(project, "--dry-run", target, overlay=overlay)
    assert "fetch_dataset" in output


def test_too_many_bad_files_are_an_error_that_names_them(project, recordings):
    overlay = changed_config(project, with_folder(recordings, 0.05))
    output = snakemake(project, "results/datasets/mine/manifest.parquet", overlay=overlay, fails=True)
    assert "2 of 5 files cannot be used" in output
    assert "text.wav: unreadable" in output
    assert not (project / "results/datasets/mine").exists() or not list((project / "results/datasets/mine").iterdir())


def test_a_missing_folder_is_named(project, tmp_path):
    overlay = changed_config(project, with_folder(tmp_path / "nowhere", 0.05))
    output = snakemake(project, "results/datasets/mine/manifest.parquet", overlay=overlay, fails=True)
    assert f"there is no folder '{tmp_path / 'nowhere'}'" in output


def test_profiles_share_the_staleness_policy():
    policies = {
        str(path): yaml.safe_load(path.read_text())["rerun-triggers"] for path in ROOT.glob("profiles/*/profile.yaml")
    }
    assert all(policy == ["mtime", "params", "input", "software-env"] for policy in policies.values()), policies
    assert not (ROOT / "profiles/default").exists()


def test_the_bare_command_plans_the_papers_grid_once_licences_are_accepted(tmp_path):
    folder = copy_of_the_project(tmp_path)

    def plan() -> subprocess.CompletedProcess:
        command = ["snakemake", "--profile", "slurm", "--dry-run"]
        return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)

    refused = plan()
    assert refused.returncode != 0
    line = re.search(r"^  downloads: \{(accepted_licences: \[.*\])\}$", refused.stdout + refused.stderr, re.MULTILINE)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("accepted_licences: []", line[1]))
    jobs = job_counts(plan().stdout)
    assert (jobs["train_sae"], jobs["fit_probes"]) == (3 * 42, 3 * 42)
    assert (jobs["fetch_weights"], jobs["download_dataset"], jobs["fetch_prompts"]) == (4, 5, 1)
    assert (jobs["fetch_generator_weights"], jobs["trace_generation"]) == (4, 50)
    assert "fetch_dataset" not in jobs


def test_a_report_by_snakemake_itself(finished, tmp_path):
    snakemake(finished, "--report", str(tmp_path / "report.zip"))
    assert (tmp_path / "report.zip").stat().st_size > 100_000
