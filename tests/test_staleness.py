"""code() finds what a script runs: by parsing, and no more than that."""

from pathlib import Path

from sonolens import staleness

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"


def reached(script: str) -> set[str]:
    return {str(path.relative_to(SCRIPTS)) for path in staleness.reached(SCRIPTS, [SCRIPTS / script])}


def test_imports_are_followed_through_modules(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "job.py").write_text("from pack import first\nimport json\n")
    (tmp_path / "pack" / "first.py").write_text("def late():\n    import pack.second\n")
    (tmp_path / "pack" / "second.py").write_text("from pack.first import late\n")  # a cycle
    (tmp_path / "pack" / "second.yaml").write_text("title: a card\n")
    (tmp_path / "pack" / "other.py").write_text("")
    names = [str(path.relative_to(tmp_path)) for path in staleness.reached(tmp_path, [tmp_path / "job.py"])]
    assert names == ["job.py", "pack/first.py", "pack/second.py", "pack/second.yaml"]


def test_training_depends_on_the_model_and_on_no_label_figure_or_encoder():
    files = reached("train_sae.py")
    assert {"sonolens/sae/model.py", "sonolens/sae/loss.py", "sonolens/sae/training.py"} <= files
    assert not [name for name in files if name.startswith(("sonolens/labels/", "sonolens/figures/"))]
    assert not [name for name in files if name.startswith("sonolens/encoders/")]
    assert "sonolens/audio.py" not in files


def test_a_probe_depends_on_the_model_and_not_on_how_it_was_trained():
    files = reached("fit_probes.py")
    assert "sonolens/sae/model.py" in files
    assert not {"sonolens/sae/training.py", "sonolens/sae/gradients.py", "sonolens/sae/loss.py"} & files


def test_labels_do_not_depend_on_the_sae():
    for script in ("label_frames.py", "align_labels.py", "fit_bins.py"):
        assert not [name for name in reached(script) if name.startswith("sonolens/sae/")], script


def test_figures_load_no_torch():
    for script in sorted(SCRIPTS.glob("figure_*.py")):
        for name in reached(script.name):
            assert "import torch" not in (SCRIPTS / name).read_text(), f"{script.name} reaches {name}"


def test_snakemake_is_known_to_scripts_only():
    for path in (SCRIPTS / "sonolens").rglob("*.py"):
        assert "snakemake." not in path.read_text(), path
