"""Tables and claims of generation on numbers small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthetic_generation
from sonolens import tables
from sonolens.labels.bins import Bins
from sonolens.report import claims, generation_claims, generation_schemas
from sonolens.report import generation_tables as gathering
from sonolens.report.generation_tables import CurveKey, MeanCurve
from sonolens.report.paper_generation import paper_step
from sonolens.report.resampling import draws
from sonolens.report.write_generation import write_generation
from sonolens.report.write_tables import generation_findings
from sonolens.tracing.schemas import TRACES
from synthetic_generation import write_rows
from synthetic_results import SyntheticResults

TABLES = ["generation", "convergence", "differences", "example", "samples", "distances", "steering"]
CSVS = ["generation", "convergence", "samples", "distances", "steering"]
BINS = {"pitch": Bins("semitone (MIDI)", np.array([0.0, 1, 2]), ["A", "B"], np.array([0.5, 1.5]), -1, True)}
PROMPTS = pd.DataFrame({"prompt_id": ["b", "z", "a", "m"], "text": ["not traced", "first", "second", "third"]})


def outputs(folder: Path) -> dict[str, str]:
    return {f"{name}_table": str(folder / f"{name}.parquet") for name in TABLES} | {
        name: str(folder / f"{name}.csv") for name in CSVS
    }


def read(folder: Path, name: str) -> pd.DataFrame:
    schema = {"differences": "CONVERGENCE_DIFFERENCES", "convergence": "CONVERGENCE", "generation": "GENERATION"}
    schema = schema[name] if name in schema else f"GENERATION_{name.upper()}"
    return tables.read(outputs(folder)[f"{name}_table"], getattr(generation_schemas, schema))


def trace(prompt_id: str, course: list[float], view: str = "x_t", probe: str = "fitted") -> list[dict]:
    """Rows of a prompt whose first class takes this course, and the second the rest."""
    return [
        {"prompt_id": prompt_id, "view": view, "probe": probe, "attribute": "pitch", "step": step,
         "probabilities": [p, 1 - p]}
        for step, p in enumerate(course)
    ]  # fmt: skip


def traced(folder: Path, *shards: list[dict], prompts: pd.DataFrame = PROMPTS) -> gathering.Traced:
    paths = [str(folder / f"{number}.parquet") for number in range(len(shards))]
    for rows, path in zip(shards, paths, strict=True):
        write_rows(rows, path, TRACES)
    return gathering.read_traces(paths, prompts, BINS, 0.01)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two generators, and where its tables lie."""
    results = SyntheticResults(tmp_path_factory.mktemp("run"))
    generators = ("miniflow", "other")
    inputs = synthetic_generation.inputs(synthetic_generation.write(results, generators), generators)
    write_generation(inputs, outputs(results.root), 0.01, 0.05, 0)
    return inputs, results.root


def test_curves_are_means_over_prompts(tmp_path):
    both = trace("z", [0, 0.25, 0.5]) + trace("a", [0.5, 0.5, 0.5])
    found = traced(tmp_path, both, trace("m", [0, 0.375, 0.5]))
    key = CurveKey("pitch", "x_t", "fitted", "mean_of_ratios")
    assert list(found.curves) == [key, key._replace(form="ratio_of_sums")]
    assert list(found.curves[key].index) == ["z", "a", "m"]
    means = gathering.mean_of_each(found.curves, 0)
    curve = gathering.gather_curves("toy", means).iloc[:3]
    assert list(curve["t"]) == [0, 0.5, 1] and list(curve["step"]) == [0, 1, 2]
    assert list(curve["s"]) == pytest.approx([0, 0.625, 1])
    assert (curve["s_low"][1], curve["s_high"][1]) == pytest.approx((0.5, 0.75))  # drawn: all z, all m
    row = gathering.gather_convergence("toy", means, 0.3).iloc[0]
    assert (row["step"], row["step_low"], row["step_high"]) == (2, 1, 2)  # 0.75 is near the end, 0.5 is not
    assert (row["n_prompts"], row["n_left_out"], row["paper_step"]) == (2, 1, pytest.approx(21 * 2 / 31))


def test_nothing_that_moves_leaves_empty_curves(tmp_path):
    found = traced(tmp_path, trace("z", [0.5, 0.5]) + trace("a", [0.5, 0.505]))
    means = gathering.mean_of_each(found.curves, 0)
    assert gathering.gather_curves("toy", means)[["s", "s_low", "s_high"]].iloc[:2].isna().all(axis=None)
    row = gathering.gather_convergence("toy", means, 0.05).iloc[0]
    assert np.isnan(row["step"]) and (row["n_prompts"], row["n_left_out"]) == (0, 2)


def test_one_prompt_gives_no_interval(tmp_path):
    means = gathering.mean_of_each(traced(tmp_path, trace("z", [0, 0.5, 1])).curves, 0)
    assert gathering.gather_curves("toy", means)[["s_low", "s_high"]].isna().all(axis=None)
    assert gathering.gather_convergence("toy", means, 0.05)["step_low"].isna().all()


def test_differences_are_taken_draw_by_draw():
    drawn = draws(4, 0)
    s = np.array([[0, 0.2, 1], [0, 0.4, 1], [0, 0.6, 1], [0, 0.8, 1]])
    key = CurveKey("timbre", "x_t", "fitted", "mean_of_ratios")
    spread = drawn @ s / drawn.sum(axis=1, keepdims=True)
    late = np.where(np.arange(3) == 1, spread - 0.2, spread)
    means = {
        key: MeanCurve(late, 4, 0),
        key._replace(attribute="pitch"): MeanCurve(spread, 3, 1),
        key._replace(view="straight"): MeanCurve(spread, 4, 0),
    }
    found = gathering.gather_differences("toy", means, 0.6).set_index(["attribute", "other_attribute", "quantity"])
    step, area = (found.loc[("timbre", "pitch", quantity)] for quantity in ("step", "area"))
    assert (area["difference"], area["low"], area["high"]) == pytest.approx((-0.1, -0.1, -0.1))  # 0.2 · 1/2
    assert step["difference"] == 1 and (step["low"], step["high"]) == (0, 1)
    assert step["n_prompts"] == 3
    assert found.loc[("timbre", "timbre", "step"), "other_view"] == "straight"
    assert len(found) == 4  # pitch has none before it, and nothing is shuffled


def test_shards_in_any_order_give_the_same_tables(run, tmp_path):
    inputs, root = run
    turned = {name: paths[::-1] for name, paths in inputs["traces"].items()}
    effects = {name: paths[::-1] for name, paths in inputs["effects"].items()}
    write_generation(inputs | {"traces": turned, "effects": effects}, outputs(tmp_path), 0.01, 0.05, 0)
    for name, path in outputs(tmp_path).items():
        assert Path(path).read_bytes() == Path(outputs(root)[name]).read_bytes(), name


def test_a_shard_without_prompts_says_nothing(tmp_path):
    path = tmp_path / "empty.parquet"
    tables.write(TRACES.empty_table().to_pandas(), path, TRACES)
    found = gathering.read_traces([str(path)], PROMPTS, BINS, 0.01)
    assert not found.curves and found.example.empty
    assert gathering.mean_of_each(found.curves, 0) == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (trace("z", [0, 1])[1:], "x_t.*each step"),
        (trace("z", [0, 0.5, 1]) + trace("a", [0, 1]), "each step"),
        (trace("z", [0, 1]) + trace("z", [0, 1]), "each step"),
        (trace("stranger", [0, 1]), "prompts stranger"),
        ([row | {"attribute": "rhythm"} for row in trace("z", [0, 1])], "attributes rhythm"),
        ([row | {"probabilities": [1.0]} for row in trace("z", [0, 1])], "2 classes"),
        (trace("z", [0, np.nan, 1]), "fitted: .*not finite"),
    ],
)
def test_a_shard_that_is_not_whole_is_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=rf"0\.parquet.*{message}"):
        traced(tmp_path, rows)


def test_shards_that_do_not_fit_each_other_are_refused(tmp_path):
    for other in (trace("z", [0, 1]), trace("a", [0, 0.5, 1])):
        with pytest.raises(ValueError, match=r"0\.parquet.*1\.parquet.*trace them again"):
            traced(tmp_path, trace("z", [0, 1]), other)


def test_the_example_is_the_first_prompt_of_those_traced(tmp_path):
    rows = [trace("a", [0.1, 0.2]), trace("z", [0.25, 0.75]), trace("z", [0.5, 1], "end_estimate")]
    rows += [trace("z", [0, 0], "straight"), trace("z", [0, 0], probe="shuffled")]
    found = traced(tmp_path, *rows)
    table = gathering.gather_example("toy", found.example, PROMPTS, BINS)
    assert set(table["prompt_id"]) == {"z"} and set(table["text"]) == {"first"}
    assert list(table["view"]) == ["x_t"] * 4 + ["end_estimate"] * 4
    assert list(table["class"][:4]) == ["A", "B", "A", "B"] and list(table["step"][:4]) == [0, 0, 1, 1]
    assert list(table["probability"][:4]) == [0.25, 0.75, 0.75, 0.25]
    assert set(table["unit"]) == {"semitone (MIDI)"}


def test_shares_are_of_frames_that_have_a_class():
    counts = pd.DataFrame(
        [
            ("test", "a", -1, 60),
            ("test", "a", 0, 30),
            ("test", "a", 1, 10),
            ("test", "b", 0, 60),
            ("noise", "c", -1, 9),
        ],
        columns=["source", "clip_id", "class_index", "n_frames"],
    ).assign(attribute="pitch")
    found = gathering.gather_samples("toy", counts, BINS, 0).set_index(["source", "class_index"])
    assert list(found.loc["test", "share"]) == pytest.approx([60 / 160, 0.9, 0.1])
    assert list(found.loc["test", "class"]) == ["", "A", "B"]
    low, high = found.loc[("test", 1), ["share_low", "share_high"]]
    assert (low, high) == pytest.approx((0, 0.25))  # drawn: b twice, a twice
    assert list(found.loc["test", "n_clips"]) == [2, 2, 2]
    assert found.loc[("noise", -1), "share"] == 1 and np.isnan(found.loc[("noise", 0), "share"])
    assert found.loc["noise", "share_low"].isna().all()
    with pytest.raises(ValueError, match="attributes rhythm"):
        gathering.gather_samples("toy", counts.assign(attribute="rhythm"), BINS, 0)


def effect(prompt_id: str, measured: str = "pitch", **figures) -> dict:
    """A row of GENERATION_EFFECTS of 100 frames in which nothing changes."""
    usual = {
        "attribute": "pitch", "class_index": 0, "mode": "on", "step": 0, "alpha": np.float32(0.1), "n_frames": 100,
        "n_defined": 100, "n_lost": 0, "n_gained": 0, "n_hits": 0, "n_hits_before": 0, "change": 0.0, "abs_change": 0.0,
        "towards": 0.0, "spread": 5.0, "probability": 0.5, "probability_before": 0.5,
    }  # fmt: skip
    if measured != "pitch":
        usual |= {"towards": np.nan, "probability": np.nan, "probability_before": np.nan}
    return {"prompt_id": prompt_id, "measured": measured} | usual | figures


@pytest.fixture
def steered():
    """Two prompts, two classes; the first class has two sounds of unequal length."""
    rows = [
        effect("a", n_defined=60, n_lost=20, n_hits=40, n_hits_before=8, towards=2.0, abs_change=2.5, probability=0.9),
        effect("b", n_frames=300, n_defined=20, n_hits=5, n_hits_before=2, towards=-2.0, abs_change=5.0),
        effect("a", "timbre", spread=400.0, abs_change=100.0),
        effect("b", "timbre", spread=400.0, abs_change=200.0),
        effect("a", class_index=1, n_defined=80, towards=1.0, n_hits=10),
        effect("a", mode="once", step=3, towards=7.0),
    ]
    return gathering.gather_steering("toy", pd.DataFrame(rows), BINS, 0)


def test_steering_is_weighted_by_frames(steered):
    own = steered[(steered["class"] == "A") & (steered["mode"] == "on")].set_index("quantity")["value"]
    assert own["shift_towards"] == pytest.approx((60 * 2 - 20 * 2) / 80)
    assert (own["hit_rate"], own["hit_rate_before"], own["hit_gain"]) == pytest.approx((0.45, 0.1, 0.35))
    assert (own["probability"], own["probability_before"]) == pytest.approx(((90 + 150) / 400, 0.5))
    assert own["target_shift_spreads"] == pytest.approx((60 * 2.5 + 20 * 5) / 80 / 5)
    assert own["others_shift_spreads"] == pytest.approx(150 / 400)


def test_steering_has_intervals_over_prompts(steered):
    own = steered[(steered["class"] == "A") & (steered["mode"] == "on")].set_index("quantity")
    assert tuple(own.loc["shift_towards", ["low", "high"]]) == pytest.approx((-2, 2))
    # b alone hits 5 of 20 and 2 before, a alone 40 of 80 and 8
    assert tuple(own.loc["hit_gain", ["low", "high"]]) == pytest.approx((0.15, 0.4))
    assert set(own["n_prompts"]) == {2} and set(own["alpha"]) == {0.1}
    single = steered[steered["class"] == "B"]
    assert single[["low", "high"]].isna().all(axis=None) and set(single["n_prompts"]) == {0, 1}


def test_classes_are_pooled_and_conditions_have_one_row(steered):
    table = gathering.wide_steering(steered)
    assert list(table)[:8] == [
        "generator", "attribute", "class", "mode", "step", "alpha", "shift_unit", "shift_towards",
    ]  # fmt: skip
    assert list(zip(table["class"], table["mode"], table["step"], strict=True)) == [
        ("A", "on", 0), ("A", "once", 3), ("B", "on", 0), ("all", "on", 0), ("all", "once", 3),
    ]  # fmt: skip
    pooled = table[(table["class"] == "all") & (table["mode"] == "on")].iloc[0]
    assert pooled["shift_towards"] == pytest.approx((80 * 1 + 80 * 1) / 160) and pooled["n_prompts"] == 2
    assert pooled["hit_rate"] == pytest.approx(55 / 180)
    assert set(table["shift_unit"]) == {"semitone"}


def test_a_run_that_generates_nothing_has_tables_without_rows(tmp_path):
    nothing = {name: {} for name in ("traces", "prompts", "counts", "distances", "effects", "bins")}
    write_generation(nothing, outputs(tmp_path), 0.01, 0.05, 0)
    assert all(read(tmp_path, name).empty for name in TABLES)
    first = {name: Path(outputs(tmp_path)[name]).read_text().strip() for name in CSVS}
    assert first["generation"] == "generator,attribute,form,step,s,s_low,s_high,view,probe,t,n_prompts"
    assert first["steering"].startswith("generator,attribute,class,mode,step,alpha,shift_unit,shift_towards,")
    assert first["convergence"].startswith("generator,attribute,view,probe,form,step,")
    findings = generation_claims.judge(*(read(tmp_path, name) for name in JUDGED))
    assert [finding.how for finding in findings] == ["This run generates nothing."]


def test_what_was_written_is_read_back(run):
    _, root = run
    convergence = read(root, "convergence")
    own = convergence[(convergence["view"] == "x_t") & (convergence["probe"] == "fitted")]
    own = own[(own["form"] == "mean_of_ratios") & (own["generator"] == "miniflow")].set_index("attribute")
    assert list(own["step"]) == [22, 31, 26] and list(own.index) == ["pitch", "amplitude", "timbre"]
    assert list(own["paper_step"].fillna(-1)) == [21, -1, 25]
    assert convergence["paper_step"].notna().sum() == 4  # of the paper's form, view and probe alone
    assert list(dict.fromkeys(read(root, "distances")["generator"])) == ["miniflow", "other"]
    csv = pd.read_csv(outputs(root)["generation"])
    assert len(csv) == len(read(root, "generation")) == 2 * 3 * 4 * 2 * 2 * 32


def test_the_papers_steps_are_of_32_time_points():
    assert paper_step("pitch", 32) == 21 and paper_step("timbre", 63) == 50
    assert np.isnan(paper_step("amplitude", 32)) and np.isnan(paper_step("rhythm", 32))


JUDGED = ["convergence", "generation", "differences", "steering", "distances"]


@pytest.fixture
def judged(run):
    """The tables that claims are judged on, of one generator."""
    found = {name: read(run[1], name) for name in JUDGED}
    return {name: table[table["generator"] == "miniflow"] for name, table in found.items()}


def verdicts(judged: dict, claim: str) -> dict[str, str]:
    return {each.tested_on: each.verdict for each in generation_claims.judge(*judged.values()) if each.claim == claim}


def test_what_follows_the_paper_holds(judged):
    for claim in (claims.CONVERGES_IN_ORDER, claims.CONVERGES, claims.OWN_DOING, claims.TRUE_LABELS, claims.NEARER):
        found = verdicts(judged, claim)
        assert found and set(found.values()) == {"held"}, claim
    assert set(verdicts(judged, claims.CONVERGES_IN_ORDER)) == {
        f"miniflow, {order}, {form}"
        for order in ("pitch before timbre", "timbre before amplitude")
        for form in ("mean of ratios", "ratio of sums")
    }
    assert set(verdicts(judged, claims.ON_THE_WAY)) == {
        f"miniflow, {attribute}, {how}"
        for attribute in ("pitch", "amplitude", "timbre")
        for how in ("from a step on", "at one step alone")
    }


def with_ends(table: pd.DataFrame, rows: pd.Series, **ends: float) -> pd.DataFrame:
    """`table` with other numbers in some rows."""
    return table.assign(**{name: table[name].where(~rows, value) for name, value in ends.items()})


def test_what_is_not_told_apart_did_not_hold(judged):
    table = judged["differences"]
    open_ends = judged | {"differences": with_ends(table, table["low"].notna(), low=-1.0, high=1.0)}
    for claim in (claims.CONVERGES_IN_ORDER, claims.OWN_DOING, claims.TRUE_LABELS):
        assert set(verdicts(open_ends, claim).values()) == {"did not hold"}
    how = [each.how for each in generation_claims.judge(*open_ends.values()) if each.claim == claims.OWN_DOING]
    assert all("does not tell them apart" in text for text in how)


def test_an_order_the_other_way_did_not_hold_and_a_curve_that_lags_is_not_a_straight_line(judged):
    table = judged["differences"]
    turned = judged | {"differences": with_ends(table, table["low"].notna(), difference=-2.0, low=-3.0, high=-1.0)}
    assert set(verdicts(turned, claims.CONVERGES_IN_ORDER).values()) == {"did not hold"}
    assert set(verdicts(turned, claims.OWN_DOING).values()) == {"held"}
    assert set(verdicts(turned, claims.TRUE_LABELS).values()) == {"held"}


@pytest.mark.parametrize(
    ("attribute", "ends", "verdict", "word"),
    [
        ("pitch", (20, 18, 30), "held", "before the end"),
        ("pitch", (30, 29, 31), "did not hold", "on both sides"),
        ("pitch", (31, 31, 31), "did not hold", "not before the end"),
        ("amplitude", (31, 31, 31), "held", "not before the end"),
        ("amplitude", (31, 30, 31), "did not hold", "on both sides"),
        ("amplitude", (20, 18, 24), "did not hold", "lies before the end"),
    ],
)
def test_before_the_end_is_said_of_whole_intervals(judged, attribute, ends, verdict, word):
    table = judged["convergence"]
    rows = (table["attribute"] == attribute) & (table["view"] == "x_t")
    step, low, high = map(float, ends)
    other = judged | {"convergence": with_ends(table, rows, step=step, step_low=low, step_high=high)}
    findings = generation_claims.judge(*other.values())
    (found,) = (
        each
        for each in findings
        if each.claim == claims.CONVERGES and each.tested_on == f"miniflow, {attribute}, mean of ratios"
    )
    assert found.verdict == verdict and word in found.how and "straight line" in found.how


def test_no_interval_is_not_testable(judged):
    none = dict.fromkeys(("low", "high"), np.nan)
    steering = judged["steering"]
    single = {
        "convergence": judged["convergence"].assign(step_low=np.nan, step_high=np.nan, n_prompts=1),
        "generation": judged["generation"],
        "differences": judged["differences"].assign(**none, n_prompts=1),
        "steering": steering.assign(**none),
    }
    findings = generation_claims.judge(*(judged | single).values())
    others = [each for each in findings if each.claim != claims.NEARER]
    assert {each.verdict for each in others} == {"not testable"}
    assert {each.how for each in others} == {"One prompt gives no interval."}


def test_an_attribute_that_is_not_there_is_not_testable(judged):
    without = {
        name: table[table["attribute"] != "timbre"] if "attribute" in table else table for name, table in judged.items()
    }
    differences = judged["differences"]
    of_pitch = (differences["attribute"] == "pitch") & (differences["other_view"] == "x_t")
    without["differences"] = differences[of_pitch]
    found = verdicts(without, claims.CONVERGES_IN_ORDER)
    assert set(found.values()) == {"not testable"} and len(found) == 4
    assert verdicts(without, claims.CONVERGES)["miniflow, timbre, ratio of sums"] == "not testable"
    assert set(verdicts(without, claims.OWN_DOING).values()) == {"not testable"}
    assert verdicts(without, claims.TRUE_LABELS)["miniflow, amplitude, mean of ratios"] == "not testable"


def test_distances_count_as_they_are_where_one_cannot_be_extrapolated(judged):
    table = judged["distances"]
    few = with_ends(table, table["source"] == "generated", distance=np.nan)
    (found,) = generation_claims.nearer(few, "miniflow")
    assert (found.verdict, found.tested_on) == ("held", "miniflow, log_mel, not extrapolated")
    assert found.value == pytest.approx(1.2 * (9.4 - 3.1), rel=1e-5) and found.low is None
    worse = with_ends(table, table["source"] == "generated", distance=9.5)
    assert verdicts(judged | {"distances": worse}, claims.NEARER) == {"miniflow, log_mel": "did not hold"}
    (missing,) = generation_claims.nearer(table[table["source"] != "noise"], "miniflow")
    assert missing.verdict == "not testable"
    (none,) = generation_claims.nearer(table.assign(distance=np.nan, distance_as_is=np.nan), "miniflow")
    assert none.verdict == "not testable"


def test_every_step_has_to_move_the_end(judged):
    table = judged["steering"]
    rows = (table["quantity"] == "shift_towards") & (table["class"] == "all") & (table["step"] == 24)
    rows &= (table["attribute"] == "pitch") & (table["mode"] == "on")
    late = judged | {"steering": with_ends(table, rows, low=-0.1)}
    found = [each for each in generation_claims.judge(*late.values()) if each.claim == claims.ON_THE_WAY]
    of_pitch = found[0]
    assert of_pitch.tested_on == "miniflow, pitch, from a step on"
    assert (of_pitch.verdict, of_pitch.n_held, of_pitch.n_compared) == ("did not hold", 3, 4)
    assert "at step 0, 8, 16; not at step 24. Largest at step 0" in of_pitch.how
    assert {each.verdict for each in found[1:]} == {"held"}
    lost = judged | {"steering": table.assign(value=np.nan, low=np.nan, high=np.nan)}
    assert set(verdicts(lost, claims.ON_THE_WAY).values()) == {"not testable"}


def test_claims_of_generation_join_the_others(run):
    _, root = run
    paths = {"convergence_differences": outputs(root)["differences_table"]}
    paths |= {name: outputs(root)[f"{name}_table"] for name in ("generation", "convergence")}
    paths |= {f"generation_{name}": outputs(root)[f"{name}_table"] for name in ("steering", "distances")}
    assert generation_findings({}) == []
    nothing = pd.DataFrame(columns=["encoder", "dim"])
    table = claims.judge(nothing, nothing, {}, None, generation_findings(paths))
    assert list(dict.fromkeys(table["claim"])) == [
        claims.STEERING, claims.CONVERGES_IN_ORDER, claims.CONVERGES, claims.OWN_DOING, claims.TRUE_LABELS,
        claims.NEARER, claims.ON_THE_WAY,
    ]  # fmt: skip
    assert {text.partition(",")[0] for text in table["tested_on"][1:]} == {"miniflow", "other"}
