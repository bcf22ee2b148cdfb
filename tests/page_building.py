"""The whole report from synthetic results, as the rules would make it."""

from pathlib import Path

import synthetic_player
import synthetic_strip
from figure_drawing import GENERATION_CSV_NAMES, aggregate, aggregate_generation, draw_all
from sonolens.report.audit_tables import audit_tables
from sonolens.report.csv_tables import write_csv
from sonolens.report.page import write_page
from sonolens.report.write_tables import write_tables
from synthetic_results import SyntheticResults, write

PROJECT = Path(__file__).parent.parent
CSV_NAMES = [
    "cells", "probes", "paper_comparison", "claims", "objective", "codecs", "frame_times", "labels", "recordings",
    "chosen", "rejected",
]  # fmt: skip
STEERING_CSV_NAMES = ["steering", "steering_methods"]  # written by aggregate
STAGES = ["original", "codec", "sae"]


def build_tables(results: SyntheticResults) -> dict[str, str]:
    """Write every CSV; returns their paths by name."""
    csv_paths = {name: results.path(f"results/report/tables/{name}.csv") for name in CSV_NAMES}
    inputs = aggregate(results) | {
        "codecs": results.encoder_files("results/codecs/{encoder}/quality.json"),
        "frame_times": results.encoder_files("results/latents/{encoder}/frame_time.json"),
        "manifests": results.dataset_files("manifest.parquet"),
        "rejected": results.dataset_files("rejected.parquet"),
        "labels": results.path("results/labels/check.json"),
    }
    write_tables(inputs, csv_paths, {encoder: encoder for encoder in results.encoders})
    return csv_paths


def build_audit(results: SyntheticResults) -> dict[str, str]:
    """Write the CSVs of the audit; returns their paths by name."""
    found, memory_mb, installed = results.audit()
    frames = audit_tables(found, memory_mb, installed)
    paths = {name: results.path(f"results/report/tables/{name}.csv") for name in frames}
    for name, frame in frames.items():
        write_csv(frame, paths[name])
    return paths


def demo_page(tmp_path_factory) -> Path:
    """index.html of a report of the demo's size, built once for all tests."""
    root = tmp_path_factory.getbasetemp() / "demo_report"
    page = root / "results/report/index.html"
    return page if page.is_file() else build_page(write(SyntheticResults(root)), generators=synthetic_strip.GENERATORS)


def build_page(
    results: SyntheticResults,
    with_figures: bool = True,
    with_player: bool = True,
    generators: tuple[str, ...] = (),
) -> Path:
    """Write tables, figures, what the player and the strip play, and the page; returns the path of index.html."""
    csv_paths = build_tables(results)
    aggregate_generation(results, generators)
    written = [*STEERING_CSV_NAMES, *GENERATION_CSV_NAMES]
    csv_paths |= {name: results.path(f"results/report/tables/{name}.csv") for name in written}
    synthetic_strip.write(results, generators)
    if with_player:
        synthetic_player.write(results)
    if with_figures:
        draw_all(results, results.root / "results/report/figures")
    audio = [
        f"{encoder}/clip~{clip}/{stage}.wav"
        for encoder in results.encoders
        for clip in range(results.n_clips)
        for stage in STAGES
    ]
    page = results.root / "results/report/index.html"
    library = PROJECT / "workflow_scripts/sonolens/report"
    inputs = {
        "template": [library / f"page{suffix}" for suffix in (".html.j2", ".css", ".js")],
        "tables": list(csv_paths.values()),
        "audit": list(build_audit(results).values()),
        "captions": sorted((PROJECT / "rules/captions").glob("*.rst")),
        "clips": results.encoder_files("results/clips/{encoder}/clips.json"),
        "audio": [results.path(f"results/clips/{path}") for path in audio],
        "steering": synthetic_player.tracks_paths(results) if with_player else [],
        "steering_sounds": synthetic_player.sounds_paths(results) if with_player else [],
        "generation": synthetic_strip.strip_paths(results, generators),
        "generation_sounds": synthetic_strip.sounds_paths(results, generators),
    }
    outputs = {
        "page": page,
        "audio": [results.path(f"results/report/audio/{path}") for path in audio],
        "steering_sounds": synthetic_player.sounds_paths(results, in_report=True) if with_player else [],
        "generation_sounds": synthetic_strip.sounds_paths(results, generators, in_report=True),
    }
    write_page(inputs, outputs, results.experiment())
    return page
