"""Tables of steering on numbers small enough to work out by hand, the methods at matched shift, and the claims."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthetic_steering
from sonolens import tables
from sonolens.figures import steering_example
from sonolens.files import write_json
from sonolens.report import claims, schemas, steering_claims
from sonolens.report.resampling import average, draws, mean, ratio, ratio_of_sums
from sonolens.report.steering_matching import at_shift, compare_methods, verdict, wide_methods
from sonolens.report.steering_tables import gather, read_steered, wide
from sonolens.report.write_steering import write_steering
from synthetic_results import SyntheticResults

CLASSES = [(69, "A4", 69.0), (71, "B4", 71.0)]


def effect(clip_id: str, measured: str = "pitch", **figures) -> dict:
    """A row of steering/schemas.EFFECTS of 100 frames, all of them defined, in which nothing changes."""
    usual = {
        "method": "probe", "class_index": 69, "alpha": 1.0, "n_frames": 100, "n_defined": 100, "n_lost": 0,
        "n_gained": 0, "n_hits": 0, "n_hits_before": 0, "change": 0.0, "abs_change": 0.0, "towards": np.nan,
        "spread": 5.0 if measured == "pitch" else 400.0,
    }  # fmt: skip
    return {"clip_id": clip_id, "measured": measured} | usual | figures


def sound(clip_id: str, method: str = "probe", class_index: int = 69, alpha: float = 1.0, **figures) -> dict:
    condition = {"method": method, "class_index": class_index, "alpha": alpha}
    return synthetic_steering.sound_row(condition, clip_id, **figures)


def distance(method: str, class_index: int, alpha: float, value: float) -> dict:
    row = {"method": method, "class_index": class_index, "alpha": alpha, "embedding": "mel", "distance": value}
    return row | {"distance_as_is": value + 1, "n_windows": 9}


def steered(folder: Path, effects: list[dict], sounds: list[dict], distances: list[dict], classes=CLASSES) -> list:
    """What is read of one attribute of one cell, written first."""
    cell = folder / "results/steering/toy/best"
    own = cell / "pitch"
    write_json(cell / "cell.json", {"name": "best", "encoder": "toy", "dim": 64, "lam": 0.1})
    synthetic_steering.write_classes(own / "classes.json", "pitch", classes)
    synthetic_steering.write_effects(own / "effects.parquet", effects)
    synthetic_steering.write_sounds(own / "sounds.parquet", sounds)
    synthetic_steering.write_distances(own / "distances.parquet", distances)
    return read_steered(paths_in(cell))


def paths_in(cell: Path) -> dict[str, list[str]]:
    of_attribute = {name: [str(cell / f"pitch/{name}.parquet")] for name in ("effects", "sounds", "distances")}
    return {"cells": [str(cell / "cell.json")], "classes": [str(cell / "pitch/classes.json")]} | of_attribute


@pytest.fixture
def by_hand(tmp_path):
    """Two clips, two attributes, two classes, one α. a has three times as many frames as b for the means."""
    effects = [
        effect("a", n_defined=60, n_lost=20, n_gained=10, n_hits=30, n_hits_before=8,
               change=2.0, abs_change=2.5, towards=1.5),
        effect("b", n_defined=20, n_gained=5, n_hits=10, n_hits_before=2, change=-2.0, abs_change=3.0, towards=0.5),
        effect("a", "timbre", n_defined=90, change=50.0, abs_change=100.0),
        effect("b", "timbre", n_defined=30, change=-10.0, abs_change=20.0),
        effect("a", class_index=71, n_defined=80, change=3.0, abs_change=3.0, towards=3.0),
        effect("b", class_index=71, n_frames=0, n_defined=0, change=np.nan, abs_change=np.nan),
        effect("a", "timbre", class_index=71, n_defined=40, change=0.0, abs_change=200.0),
    ]  # fmt: skip
    sounds = [
        sound("a", n_samples=300, n_clipped=3, lsd_original_db=8.0, latent_rms=1.0, silent_share=0.0),
        sound("b", n_samples=100, n_clipped=1, lsd_original_db=4.0, latent_rms=3.0, silent_share=0.4),
        sound("a", class_index=71, n_samples=100, lsd_original_db=np.nan),
        *(sound(clip, "sae", -1, 0.0, n_samples=100, lsd_original_db=db) for clip, db in (("a", 2.0), ("b", 4.0))),
    ]
    distances = [distance("probe", 69, 1.0, 2.0), distance("probe", 71, 1.0, 4.0), distance("sae", -1, 0.0, 0.5)]
    return steered(tmp_path, effects, sounds, distances)


@pytest.fixture
def rows(by_hand):
    """steering.csv by class."""
    return wide(gather(by_hand, 0)).set_index("class")


def test_means_are_weighted_by_frames(rows):
    row = rows.loc["A4"]
    assert (row["hit_rate"], row["hit_rate_before"]) == pytest.approx((40 / 100, 10 / 100))
    assert row["shift"] == pytest.approx((60 * 2 - 20 * 2) / 80)
    assert row["shift_towards"] == pytest.approx((60 * 1.5 + 20 * 0.5) / 80)
    assert row["target_shift_spreads"] == pytest.approx((60 * 2.5 + 20 * 3) / 80 / 5)
    assert row["others_shift_spreads"] == row["timbre_shift_spreads"] == pytest.approx((90 * 100 + 30 * 20) / 120 / 400)
    assert row["timbre_shift"] == pytest.approx((90 * 50 - 30 * 10) / 120)
    assert row["isolation"] == pytest.approx(0.525 / 0.2)
    assert (row["lost_share"], row["gained_share"]) == pytest.approx((20 / 200, 15 / 200))
    assert (row["n_clips"], row["n_frames"]) == (2, 200)


def test_intervals_are_over_clips_and_of_a_ratio_as_a_whole(rows):
    # two clips can be drawn as aa, ab, ba, bb; the ends of 95 % are those of aa and bb
    row = rows.loc["A4"]
    assert (row["hit_rate_low"], row["hit_rate_high"]) == pytest.approx((30 / 80, 10 / 20))
    assert (row["shift_low"], row["shift_high"]) == pytest.approx((-2, 2))
    assert (row["isolation_low"], row["isolation_high"]) == pytest.approx((2.5 / 5 / 0.25, 3 / 5 / 0.05))


def test_sound_is_weighted_by_samples(rows):
    row = rows.loc["A4"]
    assert row["lsd_original_db"] == pytest.approx((300 * 8 + 100 * 4) / 400)
    assert row["latent_rms"] == pytest.approx(np.sqrt((300 * 1 + 100 * 9) / 400))
    assert (row["clipped_share"], row["silent_share"]) == pytest.approx((0.01, 0.1))
    assert (row["frechet_mel"], row["frechet_mel_as_is"]) == (2.0, 3.0)


def test_classes_are_pooled_frame_by_frame_and_the_signed_shift_is_not(rows):
    row = rows.loc["all"]
    assert row["hit_rate"] == pytest.approx(40 / 180)
    assert row["shift_towards"] == pytest.approx((80 * 1.25 + 80 * 3) / 160)
    assert np.isnan(row["shift"]) and np.isnan(row["class_index"])
    assert row["lsd_original_db"] == pytest.approx(7)  # the silent one is left out
    assert row["frechet_mel"] == 3.0
    assert (row["n_clips"], row["n_frames"]) == (2, 300)


def test_one_clip_gives_no_interval(rows):
    row = rows.loc["B4"]
    assert row["shift_towards"] == 3.0 and row["isolation"] == pytest.approx(3 / 5 / 0.5)
    assert row[[name for name in rows if name.endswith(("_low", "_high"))]].isna().all()
    assert row["n_clips"] == 1


def test_the_autoencoder_alone_has_a_row(rows):
    row = rows.loc[""]
    assert (row["method"], row["alpha"], row["lsd_original_db"], row["frechet_mel"]) == ("sae", 0, 3.0, 0.5)
    assert (row["lsd_original_db_low"], row["lsd_original_db_high"]) == (2.0, 4.0)
    assert np.isnan(row["hit_rate"])


def test_fixed_columns_come_first(by_hand):
    table = wide(gather(by_hand, 0))
    assert list(table)[:12] == [
        "encoder", "dim", "lam", "method", "attribute", "class", "alpha", "hit_rate", "shift", "shift_unit",
        "isolation", "cell",
    ]  # fmt: skip
    assert set(table["shift_unit"]) == {"semitone"}
    assert list(table["class"]) == ["", "A4", "B4", "all"]
    assert [by_hand[0]._replace(unit=unit).shift_unit for unit in ("dBFS", "Hz", "")] == ["dB", "Hz", ""]


def test_nothing_defined_after_steering(tmp_path):
    lost = {"n_defined": 0, "n_lost": 100, "change": np.nan, "abs_change": np.nan}
    effects = [effect(clip, measured, **lost) for clip in "ab" for measured in ("pitch", "timbre")]
    found = steered(tmp_path, effects, [sound("a"), sound("b")], [distance("probe", 69, 1.0, np.nan)])
    row = wide(gather(found, 0)).set_index("class").loc["A4"]
    assert (row["hit_rate"], row["lost_share"]) == (0, 1)
    assert row[["shift", "shift_towards", "isolation", "others_shift_spreads", "isolation_low"]].isna().all()
    finding = steering_claims.moves_further(gather(found, 0), "toy", "best", "pitch")
    assert finding.verdict == "not testable"
    assert steering_claims.judge(gather(found, 0), compare_methods(found, 0))[0].verdict == "not testable"


def test_one_attribute_has_no_isolation(tmp_path):
    effects = [effect(clip, change=1.0, abs_change=1.0, towards=1.0) for clip in "ab"]
    found = steered(tmp_path, effects, [sound("a"), sound("b")], [])
    row = wide(gather(found, 0)).set_index("class").loc["A4"]
    assert row["target_shift_spreads"] == pytest.approx(0.2)
    assert row[["others_shift_spreads", "isolation"]].isna().all()
    assert "No other attribute" in steering_claims.isolates(gather(found, 0), "toy", "best", "pitch").how


def test_a_class_without_any_frame_and_an_attribute_without_spread(tmp_path):
    effects = [effect(clip, measured, spread=0.0) for clip in "ab" for measured in ("pitch", "timbre")]
    found = steered(tmp_path, effects, [sound("a"), sound("b")], [])
    table = wide(gather(found, 0)).set_index("class")
    assert np.isnan(table.loc["A4", "target_shift_spreads"]) and table.loc["A4", "shift"] == 0
    empty = table.loc["B4", ["hit_rate", "shift", "isolation", "lsd_original_db", "lost_share"]]
    assert empty.isna().all() and table.loc["B4", "n_clips"] == 0


def test_files_of_different_cells_are_refused(tmp_path, by_hand):
    paths = paths_in(tmp_path / "results/steering/toy/best")
    with pytest.raises(ValueError, match="not of one steered cell"):
        read_steered(paths | {"classes": [str(tmp_path / "results/steering/toy/best/cell.json")]})
    with pytest.raises(ValueError, match="not of one steered cell"):
        read_steered(paths | {"cells": []})


def test_no_steering_gives_empty_tables(tmp_path):
    nothing = {key: [] for key in ("cells", "classes", "effects", "sounds", "distances")}
    names = {"steering": "a.csv", "methods": "b.csv", "steering_table": "a.parquet", "methods_table": "b.parquet"}
    outputs = {name: str(tmp_path / file) for name, file in names.items()}
    write_steering(read_steered(nothing), outputs, 0)
    assert Path(outputs["steering"]).read_text().startswith("encoder,dim,lam,method,attribute,class,alpha,hit_rate,")
    assert Path(outputs["methods"]).read_text().startswith("encoder,")
    assert tables.read(outputs["steering_table"], schemas.STEERING).empty


def test_figures_are_drawn_alike_whatever_the_order_of_rows(by_hand):
    (one,) = by_hand
    turned = one._replace(effects=one.effects[::-1], sounds=one.sounds[::-1])
    assert gather([one], 3)["low"].equals(gather([one], 3)["low"])
    left, right = (wide(gather([each], 3)).set_index("class") for each in (one, turned))
    assert left.select_dtypes("number").equals(right[list(left)].select_dtypes("number"))


def test_draws_are_the_sample_and_then_as_many_clips_as_there_are():
    drawn = draws(5, 0)
    assert drawn.shape == (1001, 5) and (drawn[0] == 1).all() and (drawn.sum(axis=1) == 5).all()
    assert (drawn == draws(5, 0)).all() and (drawn != draws(5, 1)).any()
    assert draws(0, 0).shape == (1001, 0)


def test_resampled_figures():
    drawn, clips = draws(2, 0), np.array([0, 1])
    part = ratio_of_sums(clips, np.array([1.0, 0.0]), np.array([4.0, 0.0]), drawn)
    assert part.value == 0.25 and part.n_clips == 1 and np.isnan(part.interval).all()
    known = mean(clips, np.array([np.nan, 3.0]), np.array([9.0, 1.0]), drawn)
    assert known.value == 3.0
    assert np.isnan(ratio(part, ratio_of_sums(clips, np.zeros(2), np.ones(2), drawn)).value)  # never infinite
    assert average([part, known, part._replace(values=np.full(1001, np.nan))]).value == pytest.approx(1.625)
    assert np.isnan(average([]).value)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (2.0, 10 * 2 / 3),  # in the first stretch, though the curve comes back to 2
        (4.0, 15.0),  # half of the way from 3 to 5
        (5.0, 20.0),  # its maximum
        (5.1, np.nan),  # out of reach
        (0.0, np.nan),  # no shift at all
    ],
)
def test_a_shift_counts_where_it_is_first_reached(wanted, expected):
    shift, cost = np.array([[0, 3, 5, 2]], float), np.array([[0, 10, 20, 30]], float)
    assert at_shift(cost, shift, np.array([wanted])) == pytest.approx([expected], nan_ok=True)


def test_an_alpha_without_any_defined_frame_is_passed_over():
    shift, cost = np.array([[0, np.nan, 4]], float), np.array([[0, 99, 8]], float)
    assert at_shift(cost, shift, np.array([1.0])) == pytest.approx([2.0])


def conditions(method: str, shifts: list[float], costs: list[float], dbs: list[float], hits: list[int]) -> tuple:
    """Effects, sounds and distances of two clips, alike but for a little, with α 1 and 10."""
    effects, sounds, distances = [], [], []
    for alpha, shift, cost, db, n_hits in zip((1.0, 10.0), shifts, costs, dbs, hits, strict=True):
        own = {"method": method, "alpha": alpha}
        for clip, off in (("a", -0.01), ("b", 0.01)):
            moved = {"change": shift, "abs_change": abs(shift), "towards": shift + off}
            effects.append(effect(clip, **own, **moved, n_hits=n_hits))
            effects.append(effect(clip, "timbre", **own, abs_change=400 * (cost + off * cost)))
            sounds.append(sound(clip, method, alpha=alpha, lsd_original_db=db + off))
        distances.append(distance(method, 69, alpha, alpha))
    return effects, sounds, distances


@pytest.fixture
def compared(tmp_path):
    """The rows of three methods against the paper's, by method and quantity."""
    parts = [
        conditions("probe", [2, 4], [0.2, 0.6], [6, 8], [40, 20]),
        conditions("probe_without_norm", [1, 3], [0.1, 0.9], [6, 9], [20, 10]),
        conditions("random", [0, 0.005], [0.1, 0.2], [6, 7], [0, 4]),
        conditions("latent_probe", [5, 4], [0.1, 0.3], [5, 6], [40, 50]),
    ]
    effects, sounds, distances = ([row for part in parts for row in part[i]] for i in range(3))
    for name, db in (("sae", 5.0), ("codec", 3.0)):
        sounds += [sound(clip, name, -1, 0.0, lsd_original_db=db) for clip in "ab"]
        distances.append(distance(name, -1, 0.0, 0.5))
    table = compare_methods(steered(tmp_path, effects, sounds, distances, CLASSES[:1]), 0)
    tables.write(table, tmp_path / "methods.parquet", schemas.STEERING_METHODS)
    return tables.read(tmp_path / "methods.parquet", schemas.STEERING_METHODS).set_index(["method", "quantity"])


def test_methods_are_compared_where_they_move_the_target_as_far(compared):
    others, lsd = (compared.loc[("probe_without_norm", name)] for name in ("others_shift_spreads", "lsd_original_db"))
    assert others["matched_shift"] == pytest.approx(3) and others["reached_by"] == "both"
    assert (others["paper_value"], others["method_value"]) == pytest.approx((0.4, 0.9))  # half-way from 0.2 to 0.6
    assert others["difference_low"] <= 0.5 <= others["difference_high"] and others["verdict"] == "worse"
    assert (lsd["paper_value"], lsd["method_value"], lsd["difference"]) == pytest.approx((7, 9, 2))
    isolation = compared.loc[("probe_without_norm", "isolation")]
    assert (isolation["paper_value"], isolation["method_value"]) == pytest.approx((3 / 5 / 0.4, 3 / 5 / 0.9))
    assert isolation["verdict"] == "worse"


def test_what_is_compared_with_latents_begins_at_the_codec(compared):
    others = compared.loc[("latent_probe", "others_shift_spreads")]
    assert others["matched_shift"] == pytest.approx(4) and others["method_value"] == pytest.approx(0.8 * 0.1)
    assert compared.loc[("latent_probe", "lsd_original_db"), "method_value"] == pytest.approx(3 + 0.8 * 2)
    assert others["verdict"] == compared.loc[("latent_probe", "isolation"), "verdict"] == "better"


def test_a_distance_of_all_clips_has_no_interval(compared):
    row = compared.loc[("probe_without_norm", "frechet_mel")]
    assert (row["paper_value"], row["method_value"], row["difference"]) == pytest.approx((5.5, 10, 4.5))
    assert np.isnan(row["difference_low"]) and row["verdict"] == "no interval"


def test_a_method_that_moves_the_target_by_chance_only_is_not_matched(compared):
    row = compared.loc[("random", "others_shift_spreads")]
    assert (row["verdict"], row["reached_by"]) == ("not reached", "paper")
    assert np.isnan(row["difference"]) and np.isnan(row["matched_shift"])


def test_hit_rates_are_taken_at_the_best_alpha_of_each(compared):
    row = compared.loc[("random", "hit_rate")]
    assert (row["paper_alpha"], row["method_alpha"]) == (1, 10)
    assert (row["paper_value"], row["method_value"], row["ratio"]) == pytest.approx((0.4, 0.04, 10))
    assert row["verdict"] == "worse"
    assert compared.loc[("latent_probe", "hit_rate"), "verdict"] == "better"


def test_methods_have_one_row_each_in_the_csv(compared):
    table = wide_methods(compared.reset_index()).set_index("method")
    assert list(table.index) == ["probe_without_norm", "random", "latent_probe"]
    assert table.loc["probe_without_norm", "lsd_original_db_difference"] == pytest.approx(2)
    assert table.loc["random", "hit_rate_ratio"] == pytest.approx(10)
    assert table.loc["random", "others_shift_spreads_verdict"] == "not reached"


def test_verdicts_of_an_interval():
    assert verdict(0.1, 0.2, larger_is_better=False) == verdict(-0.2, -0.1, larger_is_better=True) == "worse"
    assert verdict(0.1, 0.2, larger_is_better=True) == verdict(-0.2, -0.1, larger_is_better=False) == "better"
    assert verdict(-0.1, 0.2, larger_is_better=True) == "not apart"
    assert verdict(np.nan, np.nan, larger_is_better=True) == "no interval"


def test_claims_on_methods(compared):
    table = compared.reset_index()
    hits = steering_claims.hits_more_often(table, "toy", "best", "pitch")
    assert (hits.verdict, hits.value) == ("held", pytest.approx(10)) and "10.0 times as often" in hits.how
    lsd, frechet = steering_claims.stays_closer(table, "toy", "best", "pitch")
    assert (lsd.verdict, lsd.value, lsd.interval) == ("held", pytest.approx(2), "95 % bootstrap")
    assert (frechet.verdict, frechet.low, frechet.interval) == ("held", None, "")
    probe, class_mean = steering_claims.side_effects(table, "toy", "best", "pitch")
    assert (probe.verdict, class_mean.verdict) == ("did not hold", "not testable")
    assert probe.value == pytest.approx(0.08 - 0.6) and "on the other side" in probe.how


def test_claims_on_methods_the_other_way(compared):
    table = compared.reset_index()
    turned = table.assign(
        difference=-table["difference"], difference_low=-table["difference_high"],
        difference_high=-table["difference_low"], ratio=1 / table["ratio"],
    )  # fmt: skip
    assert steering_claims.hits_more_often(turned, "toy", "best", "pitch").verdict == "did not hold"
    assert {each.verdict for each in steering_claims.stays_closer(turned, "toy", "best", "pitch")} == {"did not hold"}
    assert steering_claims.side_effects(turned, "toy", "best", "pitch")[0].verdict == "held"
    close = table.assign(difference_low=-9.0, difference_high=9.0)
    assert steering_claims.hits_more_often(close, "toy", "best", "pitch").verdict == "did not hold"
    undecided = steering_claims.stays_closer(close, "toy", "best", "pitch")[0]
    assert undecided.verdict == "did not hold" and "does not tell them apart" in undecided.how


def test_a_claim_is_not_testable_where_the_shift_is_not_reached(compared):
    table = compared.reset_index()
    table["method"] = table["method"].replace({"random": "latent_class_mean", "latent_probe": "x"})
    reasons = [each.how for each in steering_claims.side_effects(table, "toy", "best", "pitch")]
    assert reasons[0] == "Not measured."
    assert "does not move the target towards the class by more than chance" in reasons[1]


def paper_rows(isolation_low: list[float], towards: list[float]) -> pd.DataFrame:
    """schemas.STEERING of the paper's method, classes pooled, with the hit rate best at the second α."""
    lines = {
        "isolation": [(low + 1, low, low + 2) for low in isolation_low],
        "shift_towards": [(shift, shift - 0.1, shift + 0.1) for shift in towards],
        "hit_rate": [(rate, rate, rate) for rate in (0.1, 0.5, 0.3)],
        "others_shift_spreads": [(0.1, 0.1, 0.1)] * 3,
    }
    where = {"encoder": "toy", "cell": "best", "attribute": "pitch", "method": "probe", "class": "all"}
    return pd.DataFrame(
        [
            where | {"unit": "semitone", "quantity": name, "alpha": alpha, "value": value, "low": low, "high": high}
            for name, line in lines.items()
            for alpha, (value, low, high) in zip((1.0, 10.0, 20.0), line, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("isolation_low", "towards", "verdict", "n_held"),
    [
        ([1.1, 1.5, 2.0], [1, 2, 3], "held", 3),
        ([1.1, 0.9, 2.0], [1, 2, 3], "did not hold", 2),
        ([1.1, 1.5, 2.0], [1, 2, -1], "did not hold", 2),
        ([np.nan, 1.5, 2.0], [1, 2, 3], "did not hold", 2),
    ],
)
def test_the_papers_claim_needs_every_alpha(isolation_low, towards, verdict, n_held):
    finding = steering_claims.isolates(paper_rows(isolation_low, towards), "toy", "best", "pitch")
    assert (finding.verdict, finding.n_held, finding.n_compared) == (verdict, n_held, 3)
    assert finding.value == pytest.approx(isolation_low[1] + 1)  # where the class is hit most often
    assert "Value at α 10" in finding.how and ("lowest lower end" in finding.how) == (verdict != "held")


def test_every_step_of_alpha_counts():
    rising = steering_claims.moves_further(paper_rows([2, 2, 2], [1, 2, 4]), "toy", "best", "pitch")
    assert (rising.verdict, rising.n_held, rising.n_compared, rising.value) == ("held", 3, 3, 1)
    falling = steering_claims.moves_further(paper_rows([2, 2, 2], [1, 3, 2]), "toy", "best", "pitch")
    assert (falling.verdict, falling.n_held, falling.low) == ("did not hold", 2, -1)


def test_claims_of_steering_take_the_place_of_the_row_without(tmp_path):
    nothing = pd.DataFrame(columns=["encoder", "dim"])
    without = claims.judge(nothing, nothing, {})
    assert list(without["how"]) == ["This run steers nothing."]
    found = steering_claims.judge(paper_rows([2, 2, 2], [1, 2, 3]), compare_methods([], 0))
    table = claims.judge(nothing, nothing, {}, found)
    assert list(dict.fromkeys(table["claim"])) == [
        claims.STEERING, claims.FURTHER, claims.HITS, claims.CLOSER, claims.CLEANER,
    ]  # fmt: skip
    assert "This run steers nothing." not in set(table["how"])


def test_the_example_shows_what_gains_most_hits_and_not_what_was_there_before(tmp_path):
    results = SyntheticResults(tmp_path, encoders=["minivae"], attributes=["pitch"])
    synthetic_steering.write(results)
    (tracks,), (classes,) = (synthetic_steering.files(results, name) for name in ("sounds/tracks.json", "classes.json"))
    where = {"encoder": "minivae", "cell": synthetic_steering.CELL, "attribute": "pitch", "method": "probe"}
    rates = {("D3", 10.0): (0.9, 0.8), ("D4", 20.0): (0.5, 0.1), ("D5", 30.0): (0.3, 0.2)}
    table = pd.DataFrame(
        [
            where | {"class": name, "alpha": alpha, "quantity": quantity, "value": value, "low": value, "high": value}
            for (name, alpha), pair in rates.items()
            for quantity, value in zip(("hit_rate", "hit_rate_before"), pair, strict=True)
        ]
    )
    shown = steering_example.shown(tracks, classes, table)
    assert (shown.chosen["name"], shown.alpha, shown.key) == ("D4", 20.0, "class~1/alpha~20")
    assert steering_example.shown(tracks, classes, table[:0]).alpha == 30.0  # nothing gains: the largest
    _, values = shown.track("original", "pitch")
    assert np.isnan(values[0]) and values[1] == 57 and len(shown.track("original", "timbre")[1]) == 200
    assert len(shown.track("original", "harmony")[1]) == 0
