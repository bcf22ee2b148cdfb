"""Tables and verdicts of the report, on numbers small enough to check by hand and on synthetic results."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthetic_data
from page_building import PROJECT, build_audit, build_tables
from sonolens import tables
from sonolens.files import write_json
from sonolens.report import claims, data_overview, data_tables, findings, paper
from sonolens.report.captions import inline_html, read_caption
from sonolens.report.csv_tables import text
from sonolens.report.data_tables import frame_times
from sonolens.report.matched_sparsity import explained_variance_at, overlap
from sonolens.report.origin import origin
from sonolens.report.page import SECTIONS, TITLES, config_yaml, is_number, short_number, span
from synthetic_results import SyntheticResults, write


def test_frame_times_say_how_far_the_measured_is_from_what_is_used(tmp_path):
    found = {"declared": 0.5, "measured": -0.5, "standard_error": 0.1, "used": 0.5, "hop_ms": 20.0}
    for encoder, changes in (("early", {}), ("deaf", {"measured": None, "standard_error": None})):
        write_json(tmp_path / encoder / "frame_time.json", found | changes)
    table = frame_times([str(tmp_path / name / "frame_time.json") for name in ("early", "deaf")]).set_index("encoder")
    assert table.loc["early", "deviation_ms"] == -20.0  # its frames speak of what was
    assert table.loc["deaf", ["measured", "deviation_ms"]].isna().all() and table.loc["deaf", "used"] == 0.5


FIXED_COLUMNS = [
    "encoder", "dim", "expansion", "lam", "sparsity", "l0", "explained_variance", "mse", "dead_share", "frames_per_s",
    "train_seconds", "pitch_accuracy", "pitch_majority_share", "pitch_macro_f1", "pitch_raw_latent_accuracy",
]  # fmt: skip


def grid(sparsity, explained_variance, l0=None) -> pd.DataFrame:
    """Cells of one encoder: rows are dims 64, 128, ..., columns λ 0.01, 0.02, ..."""
    sparsity, explained_variance = np.array(sparsity, float), np.array(explained_variance, float)
    rows = []
    for i, j in np.ndindex(sparsity.shape):
        dim = 64 * 2**i
        rows.append({"encoder": "toy", "dim": dim, "lam": 0.01 * (j + 1), "sparsity": sparsity[i, j]})
        rows[-1]["l0"] = dim * (1 - sparsity[i, j]) if l0 is None else l0[i][j]
        value = explained_variance[i, j]
        rows[-1] |= {"explained_variance": value}
        rows[-1] |= {"explained_variance_low": value - 0.01, "explained_variance_high": value + 0.01}
    return pd.DataFrame(rows)


def probes_of(cells: pd.DataFrame, accuracy: dict[str, list[float]], raw: dict[str, float]) -> pd.DataFrame:
    """Probes of one encoder's cells, accuracies in their order, and those on raw latents."""
    rows = []
    for attribute, values in accuracy.items():
        keys = [(0, np.nan, raw[attribute]), *zip(cells["dim"], cells["lam"], values, strict=True)]
        for dim, lam, value in keys:
            row = {"encoder": "toy", "attribute": attribute, "dim": dim, "lam": lam, "accuracy": value}
            row |= {"accuracy_low": value - 0.03, "accuracy_high": value + 0.04, "validation_accuracy": value}
            row |= {"majority_share": 0.2, "voiced_accuracy": np.nan, "voiced_majority_share": np.nan}
            rows.append(row)
    return pd.DataFrame(rows)


def test_sparsity_that_falls_once_does_not_hold():
    rising = claims.sparsity_rises(grid([[0.5, 0.6, 0.7], [0.6, 0.7, 0.9]], np.zeros((2, 3))), "toy")
    assert (rising.verdict, rising.n_held, rising.n_compared) == ("held", 4, 4)
    assert (rising.low, rising.high) == pytest.approx((0.1, 0.2))
    falling = claims.sparsity_rises(grid([[0.5, 0.6, 0.55]], np.zeros((1, 3))), "toy")
    assert (falling.verdict, falling.n_held, falling.n_compared) == ("did not hold", 1, 2)
    assert "Held in 1 of 2 pairs" in falling.how


def test_one_cell_tests_nothing():
    one = grid([[0.5]], [[0.5]])
    probes = probes_of(one, {"timbre": [0.3]}, {"timbre": 0.3})
    table = claims.judge(one, probes, {"toy": "toy"}).set_index("claim")
    for claim in (claims.SPARSER, claims.LARGER, claims.LARGER_MATCHED, claims.ORDER, claims.STEERING):
        assert table.loc[claim, "verdict"] == "not testable"
    assert set(table.loc[claims.STABLE, "verdict"]) == {"not testable"}


def test_larger_dictionary_at_the_same_lambda():
    finding = claims.larger_is_better(grid(np.zeros((2, 2)), [[0.5, 0.4], [0.6, 0.405]]), "toy")
    assert finding.verdict == "held"
    assert "apart in 1 of 2" in finding.how
    assert finding.value == pytest.approx((0.1 + 0.005) / 2)


def test_matched_l0_sees_through_a_gain_that_is_only_more_features():
    # on one and the same curve ev = log10(l0) / 3, the larger size has more active features at each λ
    l0 = [[10, 100], [30, 300]]
    cells = grid(np.zeros((2, 2)), np.log10(l0) / 3, l0)
    assert claims.larger_is_better(cells, "toy").verdict == "held"
    matched = claims.larger_is_better_at_matched_l0(cells, "toy")
    assert matched.verdict == "did not hold" or abs(matched.value) < 1e-12
    lifted = cells.assign(explained_variance=cells["explained_variance"] + 0.05 * (cells["dim"] > 64))
    assert claims.larger_is_better_at_matched_l0(lifted, "toy").value == pytest.approx(0.05)


def test_matched_l0_without_common_range_is_not_testable():
    cells = grid(np.zeros((2, 2)), [[0.1, 0.2], [0.3, 0.4]], [[1, 9], [10, 90]])
    finding = claims.larger_is_better_at_matched_l0(cells, "toy")
    assert finding.verdict == "not testable"
    assert not len(overlap(cells[cells["dim"] == 64], cells[cells["dim"] == 128]))


def test_interpolation_is_linear_in_log_l0_and_undefined_outside():
    cells = grid(np.zeros((1, 3)), [[0.2, 0.4, 0.9]], [[10, 1000, 0]])
    assert explained_variance_at(cells, np.array([2.0])) == pytest.approx([0.3])
    assert np.isnan(explained_variance_at(cells, np.array([0.9, 3.1]))).all()


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [([0.80, 0.82, 0.84], "held"), ([0.80, 0.82, 0.86], "did not hold"), ([0.15, 0.15, 0.15], "did not hold")],
)
def test_stable_pitch_needs_a_narrow_range_above_the_majority(accuracy, verdict):
    cells = grid([[0.7, 0.8, 0.9]], np.zeros((1, 3)))
    probes = probes_of(cells, {"pitch": accuracy}, {"pitch": 0.8})
    assert claims.pitch_is_stable(cells, probes[probes["dim"] > 0], "toy").verdict == verdict
    assert claims.pitch_is_stable(cells, probes[probes["dim"] > 0], "toy", "voiced_").verdict == "not testable"


def test_features_against_raw_latents():
    cells = grid([[0.7, 0.8]], np.zeros((1, 2)))
    probes = probes_of(cells, {"pitch": [0.9, 0.7]}, {"pitch": 0.8})
    every, best = claims.as_good_as_raw(probes[probes["dim"] > 0], probes[probes["dim"] == 0], "toy", "pitch")
    assert (every.verdict, every.n_held, every.n_compared) == ("did not hold", 1, 2)
    assert (best.verdict, best.value) == ("held", pytest.approx(0.1))
    assert (best.low, best.high) == pytest.approx((0.05, 0.15))  # √(0.03² + 0.04²) to either side


def test_order_of_attributes_counts_cells():
    cells = grid([[0.7, 0.8]], np.zeros((1, 2)))
    accuracy = {"pitch": [0.8, 0.8], "amplitude": [0.5, 0.3], "timbre": [0.4, 0.4]}
    probes = probes_of(cells, accuracy, dict.fromkeys(accuracy, 0.5))
    finding = claims.order_of_attributes(probes[probes["dim"] > 0], "toy")
    assert (finding.verdict, finding.n_held, finding.n_compared) == ("did not hold", 1, 2)


def test_ranges_of_the_paper_judge_only_its_own_encoders():
    cells = grid([[0.7, 0.8]], np.zeros((1, 2)))
    probes = probes_of(cells, {"pitch": [0.8, 0.8]}, {"pitch": 0.8})
    assert claims.ranges_reached(cells, probes, "toy", "encodec_24khz", "sparsity").verdict == "held"
    assert claims.ranges_reached(cells, probes, "toy", "minivae", "sparsity").verdict == "not testable"
    assert paper.paper_encoder("diffrhythm_vae").name == "DiffRhythm-VAE"
    rows = paper.compare(cells, probes, {"toy": "encodec"}).set_index(["encoder", "quantity"])
    assert rows.loc[("toy", "sparsity"), ["paper_low", "measured_high"]].tolist() == [0.55, 0.8]
    assert "EnCodec" not in rows.index.get_level_values(0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Paths of the CSVs made from synthetic results of the demo's size."""
    return build_tables(write(SyntheticResults(tmp_path_factory.mktemp("tables"))))


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_cells_have_the_fixed_columns_first_and_a_row_per_cell(written):
    rows = read(written["cells"])
    assert list(rows[0])[: len(FIXED_COLUMNS)] == FIXED_COLUMNS
    assert len(rows) == 2 * 3 * 3
    keys = [(row["encoder"], int(row["dim"]), float(row["lam"])) for row in rows]
    assert keys == sorted(keys)
    assert all(value for row in rows for value in row.values())


def test_equal_results_give_equal_tables(written, tmp_path):
    again = build_tables(write(SyntheticResults(tmp_path)))
    for name, path in written.items():
        assert Path(path).read_bytes() == Path(again[name]).read_bytes(), name


@pytest.fixture(scope="module")
def paths_of_five(tmp_path_factory) -> dict[str, str]:
    """Paths of the CSVs of an experiment on five datasets."""
    return build_tables(write(SyntheticResults(tmp_path_factory.mktemp("five"), datasets=synthetic_data.PAPERS_FIVE)))


@pytest.fixture
def of_five(paths_of_five) -> dict[str, list[dict[str, str]]]:
    """Rows of the CSVs about the data, of five datasets."""
    return {name: read(paths_of_five[name]) for name in ("recordings", "chosen", "rejected", "labels")}


def test_recordings_are_counted_by_split_and_what_is_not_used_apart(of_five):
    rows = {(row["dataset"], row["split"]): row for row in of_five["recordings"]}
    assert len(rows) == 5 * 5
    assert [split for dataset, split in rows if dataset == "groove"] == [
        "train", "validation", "test", "left out", "rejected",
    ]  # fmt: skip
    for dataset in synthetic_data.PAPERS_FIVE:
        used = [rows[dataset.name, split] for split in ("train", "validation", "test")]
        assert sum(int(row["n_clips"]) for row in used) == dataset.n_clips
        hours = dataset.n_clips * dataset.duration_s / 3600
        assert sum(float(row["hours"]) for row in used) == pytest.approx(hours, rel=1e-4)  # six digits in the CSV
        n_counted = sum(counts for _, counts in dataset.unused)
        assert int(rows[dataset.name, "rejected"]["n_clips"]) == n_counted
        assert int(rows[dataset.name, "left out"]["n_clips"]) == len(dataset.unused) - n_counted
    n_with_truth = [int(rows[name, "test"]["n_with_truth"]) for name in ("damp_vsep", "guitarset")]
    assert n_with_truth == [0, int(rows["guitarset", "test"]["n_clips"])]


def test_every_recording_that_is_used_is_listed_once_in_one_order(of_five):
    rows = of_five["chosen"]
    assert list(rows[0]) == ["dataset", "clip_id", "split", "group", "kind", "instrument", "duration_s", "sha256"]
    assert len(rows) == sum(dataset.n_clips for dataset in synthetic_data.PAPERS_FIVE)
    ids = [(row["dataset"], row["clip_id"]) for row in rows]
    assert ids == sorted(set(ids))
    (row,) = [row for row in rows if row["clip_id"] == "maestro/clip_0003"]
    assert (row["split"], row["kind"], row["instrument"], row["duration_s"]) == ("test", "solo", "piano", "495")
    assert row["sha256"] == f"{3:064x}"


def test_what_is_chosen_does_not_depend_on_the_order_of_manifests():
    one, two = (synthetic_data.manifest(dataset) for dataset in synthetic_data.PAPERS_FIVE[3:])
    assert data_tables.chosen(pd.concat([one, two])).equals(data_tables.chosen(pd.concat([two[::-1], one])))


def test_the_overview_has_a_line_per_dataset_in_the_order_of_the_config(of_five, paths_of_five, tmp_path):
    results = SyntheticResults(tmp_path, datasets=synthetic_data.PAPERS_FIVE[::-1])
    recorded, labels = (pd.read_csv(paths_of_five[name]) for name in ("recordings", "labels"))
    lines = {line.name: line for line in data_overview.overview(recorded, labels, results.experiment())}
    assert list(lines) == ["maestro", "guitarset", "groove", "damp_vsep", "cocochorales"]
    groove, guitarset = lines["groove"], lines["guitarset"]
    assert (groove.hours, groove.n_clips, groove.n_groups) == (pytest.approx(7.8), 702, 351)
    assert (groove.n_with_truth, groove.within_50_cents, groove.reason) == (0, "", "drums: no pitch")
    assert (groove.n_left_out, groove.n_rejected, lines["damp_vsep"].n_rejected) == (60, 0, 6)
    assert sum(guitarset.splits) == guitarset.n_with_truth == 48
    headline = next(row for row in of_five["labels"] if row["dataset"] == "guitarset" and row["frames"] == "all")
    assert guitarset.within_50_cents == f"{100 * float(headline['within_50_cents']):.1f}"
    low, high = map(float, guitarset.interval.split("–"))
    assert low < float(guitarset.within_50_cents) < high
    assert guitarset.reason == ""


def test_licences_are_named_with_their_link_and_other_texts_as_they_are():
    released = data_overview.licences_of(
        {"licence": "x", "files": [{"licence": "cc-by-4.0"}, {"licence": "cc-by-4.0"}]}
    )
    assert [(each["short"], each["title"]) for each in released] == [
        ("cc-by-4.0", "Creative Commons Attribution 4.0"),
    ]
    assert released[0]["url"].startswith("https://creativecommons.org/")
    (own,) = data_overview.licences_of({"licence": "rendered here; scores: free"})
    assert own == {"short": "rendered here", "title": "rendered here; scores: free", "url": ""}
    assert data_overview.licences_of({}) == []


def test_files_not_used_are_listed_one_by_one_or_by_reason_where_they_are_many():
    rows = [
        {"dataset": "a", "path": f"{n:02d}.wav", "reason": f"too short: 0.{n} s", "counts": "True"} for n in range(29)
    ]
    rows.append({"dataset": "a", "path": "x.wav", "reason": "too short: on purpose", "counts": "False"})
    single = data_overview.not_used(pd.DataFrame(rows))
    assert [row.path for row in single] == ["x.wav", *(f"{n:02d}.wav" for n in range(29))]
    assert {row.n_files for row in single} == {1}
    rows += [{"dataset": "b", "path": "y.wav", "reason": "silent: peak below -80 dBFS", "counts": "True"}]
    grouped = data_overview.not_used(pd.DataFrame(rows))
    assert [tuple(row) for row in grouped] == [
        ("a", "left out", 1, "too short: on purpose", "x.wav"),
        ("a", "rejected", 29, "too short: 0.0 s", "00.wav"),
        ("b", "rejected", 1, "silent: peak below -80 dBFS", "y.wav"),
    ]
    assert data_overview.not_used(pd.DataFrame(columns=["dataset", "path", "reason", "counts"], dtype=str)) == []


def test_what_is_left_out_keeps_its_reason_through_the_csv(of_five):
    rows = of_five["rejected"]
    assert len(rows) == sum(len(dataset.unused) for dataset in synthetic_data.PAPERS_FIVE)
    assert {row["counts"] for row in rows if row["dataset"] == "groove"} == {"False"}
    assert {row["counts"] for row in rows if row["dataset"] == "damp_vsep"} == {"True"}
    assert list(rows[0]) == tables.REJECTED.names


def test_labels_have_a_reason_where_they_have_no_figures(of_five):
    for row in of_five["labels"]:
        assert (row["within_50_cents"] == "") == (row["reason"] != "") == (row["dataset"] in ("damp_vsep", "groove"))


def test_only_cells_tell_the_time(written):
    timed = {name for name, path in written.items() if "seconds" in Path(path).read_text().split("\n")[0]}
    assert timed == {"cells"}


def test_every_verdict_is_one_of_three_and_says_how(written):
    rows = read(written["claims"])
    assert {row["verdict"] for row in rows} <= {"held", "did not hold", "not testable"}
    assert all(row["how"] for row in rows)
    verdicts = findings.verdicts(pd.DataFrame(rows))
    assert verdicts[0].claim == claims.SPARSER
    assert verdicts[0].summary == "held: 12 of 12"


def test_numbers_have_one_form():
    assert [text(x) for x in (1, 2.0, 0.1 + 0.2, float("nan"), None, np.float32(0.25), "a,b", 64e6)] == [
        "1", "2", "0.3", "", "", "0.25", "a,b", "64000000",
    ]  # fmt: skip
    assert [short_number(x) for x in ("0.123456", "-2", "x", "16384", "")] == ["0.1235", "−2", "x", "16384", ""]


def test_spans_of_time_read_well():
    hours = ("0", "0.0001", "0.01", "0.0334", "1.9", "2", "12.345")
    assert [span(text) for text in hours] == ["0 s", "0.4 s", "36 s", "2.0 min", "114 min", "2.0 h", "12 h"]


def test_a_time_is_no_number_though_it_begins_with_one():
    assert [is_number(text) for text in ("1.5", "-3", "2026-11-22T15:00:00+00:00", "2 to 3 dB", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_every_figure_has_a_title_a_place_and_a_caption_that_says_what_would_disappoint():
    captions = {path.stem for path in (PROJECT / "rules/captions").glob("*.rst")}
    assert captions == set(TITLES) == {name for section in SECTIONS for name in section.figures}
    for path in (PROJECT / "rules/captions").glob("*.rst"):
        assert len(read_caption(path).disappointing) > 50


def test_markup_of_captions():
    assert inline_html("a < *b*\n  and **c** in ``d``") == "a &lt; <em>b</em> and <strong>c</strong> in <code>d</code>"


def test_a_caption_without_disappointment_is_refused(tmp_path):
    (tmp_path / "x.rst").write_text("All is well.")
    with pytest.raises(ValueError, match="disappoint"):
        read_caption(tmp_path / "x.rst")


def test_config_on_the_page_has_no_cards(tmp_path):
    shown = config_yaml(SyntheticResults(tmp_path).experiment())
    assert "minivae" in shown
    assert "Somebody" not in shown


def origin_of(folder: Path, **choices):
    """What the page says of the origin of synthetic results."""
    paths = build_audit(SyntheticResults(folder, **choices))
    return origin(*(pd.read_csv(paths[name], dtype=str, keep_default_na=False) for name in ("audit", "versions")))


def test_the_origin_of_what_is_current_in_every_way(tmp_path):
    found = origin_of(tmp_path)
    assert found.state == "held"
    assert found.sentence == "72 results, all made by the present code, config and versions."
    assert found.faults == []
    assert found.versions == ["python 3.11.7", "torch 2.13.0", "numpy 2.4.6"]


def test_the_origin_of_what_is_not_current_is_told_with_why(tmp_path):
    found = origin_of(tmp_path, n_stale=2)
    assert found.state == "did not hold"
    assert found.sentence == "64 of 73 results are made by the present code and config; 1 unrecorded, 8 stale."
    told = [(fault["verdict"], fault["rule"], fault["n_jobs"], fault["why"]) for fault in found.faults]
    assert ("stale", "train_sae", 2, "params steps 1000 → 1500") in told
    assert told[-1] == ("stale", "fit_probe", 6, "made from what is not current")
    assert ("unrecorded", "figure_clip", 1, "no record says how it was made") in told


def test_mixed_versions_are_told_though_all_is_current(tmp_path):
    found = origin_of(tmp_path, old_versions={"torch": "2.12.0"})
    assert found.state == "held"
    assert found.sentence.endswith("present code and config. Made with more than one version of torch.")
    assert "torch 2.13.0 (68 results), 2.12.0 (4 results)" in found.versions


def test_versions_that_are_no_longer_installed_are_told(tmp_path):
    versions = pd.DataFrame({"package": ["torch"], "version": ["2.12.0"], "jobs": ["1"], "installed": ["False"]})
    audit = pd.DataFrame({"job": ["a"], "rule": ["a"], "verdict": ["current"], "why": [""]})
    assert origin(audit, versions).sentence.endswith("Made with another version of torch than is installed now.")


def test_the_audit_has_a_row_per_job_and_the_costs_one_per_stage(tmp_path):
    paths = build_audit(SyntheticResults(tmp_path, n_stale=2))
    rows = read(paths["audit"])
    assert len(rows) == 18 * 4 + 1
    assert [row["host"] for row in rows[:5:4]] == ["gpu00", "gpu01"]
    assert rows[-1]["verdict"] == "unrecorded"
    assert {len(row["versions"]) for row in rows[:-1]} == {9}
    assert rows[-1]["wall_seconds"] == rows[-1]["versions"] == ""
    costs = {row["stage"]: row for row in read(paths["costs"])}
    assert list(costs) == ["train_sae", "fit_probe", "figures", "all"]
    dims = sum(dim for _, dim, _ in SyntheticResults(tmp_path).cells())
    assert float(costs["train_sae"]["gpu_hours"]) == pytest.approx(40 * dims / 3600, rel=1e-5)
    assert costs["fit_probe"]["gpu_hours"] == "0"
    assert costs["train_sae"]["interruptions"] == "4"
    assert [row["path"] for row in read(paths["foreign"])] == ["results/saes/minivae/dim~64/lam~9/model.safetensors"]
