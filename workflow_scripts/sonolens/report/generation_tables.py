"""What was traced, generated and steered on the way, from each generator's files: tables of generation_schemas.py.

Means are over prompts or clips, with intervals from a bootstrap over these (resampling.py). All curves of a generator
are drawn alike, so that a difference of two has an interval as well.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.labels.bins import LEFT_OUT, Bins
from sonolens.report.generation_schemas import (
    CONVERGENCE,
    CONVERGENCE_DIFFERENCES,
    GENERATION,
    GENERATION_DISTANCES,
    GENERATION_EXAMPLE,
    GENERATION_SAMPLES,
    GENERATION_STEERING,
)
from sonolens.report.paper_generation import ORDER, paper_step
from sonolens.report.resampling import Resampled, draws, mean, ratio_of_sums
from sonolens.report.steering_tables import ALL, ALL_INDEX, shift_unit, target_measures
from sonolens.tracing.convergence import FORMS, convergence_steps, curves, mean_curves
from sonolens.tracing.schemas import MODES, PROBES, SOURCES, TRACES, VIEWS

PAPER_VIEW, PAPER_PROBE, PAPER_FORM = "x_t", "fitted", "mean_of_ratios"
EXAMPLE_VIEWS = ("x_t", "end_estimate")
STEERING_QUANTITIES = [
    "shift_towards", "hit_rate", "hit_rate_before", "hit_gain", "probability", "probability_before",
    "target_shift_spreads", "others_shift_spreads",
]  # fmt: skip
STEERING_CONDITION = ["generator", "attribute", "class", "mode", "step", "alpha"]
GENERATION_CSV = [
    "generator", "attribute", "form", "step", "s", "s_low", "s_high", "view", "probe", "t", "n_prompts",
]  # fmt: skip


class CurveKey(NamedTuple):
    """Which curve."""

    attribute: str
    view: str
    probe: str
    form: str


class Traced(NamedTuple):
    """What is kept of a generator's traces."""

    curves: dict[CurveKey, pd.DataFrame]  # s, (prompt_id, step), in the order of the prompts and of `_keys`
    example: pd.DataFrame  # TRACES of the first prompt, views EXAMPLE_VIEWS, probes as fitted


def read_traces(paths: list[str], prompts: pd.DataFrame, bins: dict[str, Bins], floor: float) -> Traced:
    """Traces of one generator, a shard at a time, of which only the curves are kept.

    prompts: PROMPT_VECTORS, whose order counts, so that the order of shards does not. Raises ValueError that names the
    file if steps, classes or prompts are not what they should be.
    """
    place = {prompt_id: position for position, prompt_id in enumerate(prompts["prompt_id"])}
    parts: dict[CurveKey, list[pd.DataFrame]] = {}
    examples = []
    for path in paths:
        shard = tables.read(path, TRACES).astype({"prompt_id": str, "step": int})
        try:
            _refuse_unknown("prompts", shard["prompt_id"], place)
            _refuse_unknown("attributes", shard["attribute"], bins)
            for key, part in _curves(shard, bins, floor):
                parts.setdefault(key, []).append(part)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        examples.append(_first(shard, place))
    return Traced(
        {key: _joined(parts[key], place, key, paths) for key in _keys(list(bins)) if key in parts},
        _first(pd.concat(examples, ignore_index=True), place) if examples else TRACES.empty_table().to_pandas(),
    )


def _keys(attributes: list[str]) -> Iterator[CurveKey]:
    """In the order of rows."""
    return (CurveKey(*parts) for parts in itertools.product(attributes, VIEWS, PROBES, FORMS))


def _refuse_unknown(what: str, found: pd.Series, known: dict) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ValueError(f"{what} {', '.join(unknown)} are not among those given; list the files of one run")


def _curves(shard: pd.DataFrame, bins: dict[str, Bins], floor: float) -> Iterator[tuple[CurveKey, pd.DataFrame]]:
    """Every curve of a shard."""
    for (attribute, view, probe), own in shard.groupby(["attribute", "view", "probe"], observed=True):
        where = f"{attribute}, view {view}, probe {probe}"
        own = own.sort_values(["prompt_id", "step"], kind="stable")
        prompt_ids, steps = own["prompt_id"].unique(), np.unique(own["step"])
        if own["step"].tolist() != [*range(len(steps))] * len(prompt_ids):
            raise ValueError(f"{where}: not every prompt has each step from 0 to the end once; trace it again")
        n_classes = bins[attribute].n_classes
        if set(own["probabilities"].map(len)) != {n_classes}:
            raise ValueError(f"{where}: not probabilities of {n_classes} classes as in its bins; trace it again")
        probabilities = np.stack(own["probabilities"].to_list()).reshape(len(prompt_ids), len(steps), n_classes)
        for form in FORMS:
            try:
                s = curves(probabilities, form, floor)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            yield CurveKey(attribute, view, probe, form), pd.DataFrame(s, index=prompt_ids, columns=steps)


def _joined(parts: list[pd.DataFrame], place: dict[str, int], key: CurveKey, paths: list[str]) -> pd.DataFrame:
    """Curves of all shards, in the order of the prompts."""
    joined = pd.concat(parts)
    if joined.index.has_duplicates or len({part.shape[1] for part in parts}) > 1:
        where = ", ".join(key)
        raise ValueError(
            f"{', '.join(paths)}: {where}: prompts twice, or of several numbers of steps; trace them again"
        )
    return joined.loc[sorted(joined.index, key=place.__getitem__)]


def _first(shard: pd.DataFrame, place: dict[str, int]) -> pd.DataFrame:
    """Rows of the example, of the prompt that comes first."""
    first = shard["prompt_id"] == min(shard["prompt_id"], key=place.__getitem__, default="")
    return shard[first & shard["view"].isin(EXAMPLE_VIEWS) & (shard["probe"] == PAPER_PROBE)]


class MeanCurve(NamedTuple):
    """Mean over prompts, of the sample itself and of each draw."""

    values: np.ndarray  # (1 + N_RESAMPLES, n_steps)
    n_prompts: int  # whose curve is defined
    n_left_out: int  # whose is not

    @property
    def n_steps(self) -> int:
        """Time points, both ends included."""
        return self.values.shape[1]

    def at(self, step: int) -> Resampled:
        """s at a step."""
        return Resampled(self.values[:, step], self.n_prompts)

    def step(self, tolerance: float) -> Resampled:
        """Convergence step."""
        return Resampled(convergence_steps(self.values, tolerance), self.n_prompts)

    def area(self) -> Resampled:
        """Mean of s over t."""
        return Resampled(np.trapezoid(self.values, dx=1 / (self.n_steps - 1), axis=1), self.n_prompts)


def mean_of_each(found: dict[CurveKey, pd.DataFrame], seed: int) -> dict[CurveKey, MeanCurve]:
    """Mean curves of one generator, all under the same draws of its prompts."""
    prompt_ids = list(dict.fromkeys(itertools.chain.from_iterable(table.index for table in found.values())))
    drawn = draws(len(prompt_ids), seed)
    means = {}
    for key, table in found.items():
        n_defined = int(np.isfinite(table.iloc[:, -1]).sum())
        values = mean_curves(table.reindex(prompt_ids).to_numpy(), drawn)
        means[key] = MeanCurve(values, n_defined, len(table) - n_defined)
    return means


def gather_curves(generator: str, means: dict[CurveKey, MeanCurve]) -> pd.DataFrame:
    """GENERATION of one generator."""
    rows = []
    for key, curve in means.items():
        for step in range(curve.n_steps):
            at = curve.at(step)
            found = (step, step / (curve.n_steps - 1), at.value, *at.interval, curve.n_prompts)
            rows.append((generator, *key, *found))
    return pd.DataFrame(rows, columns=GENERATION.names)


def gather_convergence(generator: str, means: dict[CurveKey, MeanCurve], tolerance: float) -> pd.DataFrame:
    """CONVERGENCE of one generator."""
    rows = []
    for key, curve in means.items():
        step = curve.step(tolerance)
        is_papers = (key.view, key.probe, key.form) == (PAPER_VIEW, PAPER_PROBE, PAPER_FORM)
        of_paper = paper_step(key.attribute, curve.n_steps) if is_papers else np.nan
        rows.append((generator, *key, step.value, *step.interval, curve.n_prompts, curve.n_left_out, of_paper))
    return pd.DataFrame(rows, columns=CONVERGENCE.names)


def gather_differences(generator: str, means: dict[CurveKey, MeanCurve], tolerance: float) -> pd.DataFrame:
    """CONVERGENCE_DIFFERENCES of one generator: attributes next to each other in the paper's order, the path against
    the straight line between its ends, and fitted probes against shuffled ones."""
    rows = []
    for key in means:
        if (key.view, key.probe) != (PAPER_VIEW, PAPER_PROBE):
            continue
        for other in _compared_with(key):
            if other not in means:
                continue
            pairs = {
                "step": (means[key].step(tolerance), means[other].step(tolerance)),
                "area": (means[key].area(), means[other].area()),
            }
            for quantity, (own, others) in pairs.items():
                difference = _less(own, others)
                where = (generator, *key, *other[:3], quantity)
                rows.append((*where, difference.value, *difference.interval, difference.n_clips))
    return pd.DataFrame(rows, columns=CONVERGENCE_DIFFERENCES.names)


def _compared_with(key: CurveKey) -> Iterator[CurveKey]:
    if key.attribute in ORDER[1:]:
        yield key._replace(attribute=ORDER[ORDER.index(key.attribute) - 1])
    yield key._replace(view="straight")
    yield key._replace(probe="shuffled")


def _less(own: Resampled, other: Resampled) -> Resampled:
    """Difference, draw by draw."""
    return Resampled(own.values - other.values, min(own.n_clips, other.n_clips))


def gather_example(generator: str, example: pd.DataFrame, prompts: pd.DataFrame, bins: dict[str, Bins]) -> pd.DataFrame:
    """GENERATION_EXAMPLE of one generator. example: TRACES of one prompt"""
    text = prompts.set_index("prompt_id")["text"]
    ranks = {"attribute": list(bins), "view": list(EXAMPLE_VIEWS)}
    ordered = example.sort_values(
        ["view", "attribute", "step"],
        key=lambda column: column.map(ranks[column.name].index) if column.name in ranks else column,
        kind="stable",
    )
    rows = []
    for row in ordered.itertuples():
        of = bins[row.attribute]
        where = (generator, row.prompt_id, text[row.prompt_id], row.view, row.attribute, of.unit)
        for index, (name, probability) in enumerate(zip(of.class_names, row.probabilities, strict=True)):
            rows.append((*where, index, name, row.step, probability))
    return pd.DataFrame(rows, columns=GENERATION_EXAMPLE.names)


def gather_samples(generator: str, counts: pd.DataFrame, bins: dict[str, Bins], seed: int) -> pd.DataFrame:
    """GENERATION_SAMPLES of one generator, classes without a frame included. counts: LABEL_COUNTS"""
    _refuse_unknown("attributes", counts["attribute"], bins)
    rows = []
    for attribute, source in itertools.product(bins, SOURCES):
        own = counts[(counts["attribute"] == attribute) & (counts["source"] == source)]
        if own.empty:
            continue
        found, clips = np.unique(own["clip_id"].astype(str), return_inverse=True)
        drawn = draws(len(found), seed)
        classes, n_frames = own["class_index"].to_numpy(), own["n_frames"].to_numpy(float)
        for index, name in [(LEFT_OUT, ""), *enumerate(bins[attribute].class_names)]:
            of = n_frames if index == LEFT_OUT else n_frames * (classes != LEFT_OUT)
            share = ratio_of_sums(clips, n_frames * (classes == index), of, drawn)
            where = (generator, attribute, bins[attribute].unit, source, index, name)
            rows.append((*where, share.value, *share.interval, share.n_clips))
    return pd.DataFrame(rows, columns=GENERATION_SAMPLES.names)


def gather_distances(generator: str, distances: pd.DataFrame) -> pd.DataFrame:
    """GENERATION_DISTANCES of one generator. distances: SAMPLE_DISTANCES"""
    return distances.assign(generator=generator)[GENERATION_DISTANCES.names]


def gather_steering(generator: str, effects: pd.DataFrame, bins: dict[str, Bins], seed: int) -> pd.DataFrame:
    """GENERATION_STEERING of one generator. effects: GENERATION_EFFECTS of all its attributes"""
    _refuse_unknown("attributes", effects["attribute"], bins)
    effects = effects.assign(
        clip_id=effects["prompt_id"].astype(str),
        alpha=[float(f"{alpha:.6g}") for alpha in effects["alpha"]],  # 0.1 is stored as the float32 next to it
    )
    rows = []
    for attribute in (name for name in bins if (effects["attribute"] == name).any()):
        own = effects[effects["attribute"] == attribute]
        prompt_ids = sorted(set(own["clip_id"]))
        drawn = draws(len(prompt_ids), seed)
        unit, names = shift_unit(bins[attribute].unit), bins[attribute].class_names
        for (index, mode, step, alpha), condition in _conditions(own):
            found = _steering_measures(condition, attribute, prompt_ids, drawn)
            name = ALL if index == ALL_INDEX else names[index]
            for quantity in STEERING_QUANTITIES:
                figure = found[quantity]
                where = (generator, attribute, name, mode, step, alpha, unit, quantity)
                rows.append((*where, figure.value, *figure.interval, figure.n_clips))
    return pd.DataFrame(rows, columns=GENERATION_STEERING.names)


def _conditions(effects: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """(class_index, mode, step, alpha) with its rows, each class and then all of them; modes in the order of MODES."""
    for index in [*sorted(set(effects["class_index"])), ALL_INDEX]:
        of_class = effects if index == ALL_INDEX else effects[effects["class_index"] == index]
        for mode in MODES:
            own = of_class[of_class["mode"] == mode]
            for (step, alpha), condition in own.groupby(["step", "alpha"]):
                yield (index, mode, step, alpha), condition


def _steering_measures(
    condition: pd.DataFrame, attribute: str, prompt_ids: list[str], drawn: np.ndarray
) -> dict[str, Resampled]:
    """All figures of one condition."""
    found = target_measures(condition, attribute, prompt_ids, drawn)
    target = condition[condition["measured"] == attribute]
    prompts, weights = np.searchsorted(prompt_ids, target["clip_id"].to_numpy(str)), target["n_frames"].to_numpy(float)
    for name in ("probability", "probability_before"):
        found[name] = mean(prompts, target[name].to_numpy(float), weights, drawn)
    return found | {"hit_gain": _less(found["hit_rate"], found["hit_rate_before"])}


def wide_steering(steering: pd.DataFrame) -> pd.DataFrame:
    """One row per condition. steering: GENERATION_STEERING"""
    keys = [*STEERING_CONDITION, "unit"]
    order = pd.MultiIndex.from_frame(steering[keys].drop_duplicates())
    columns = {}
    for quantity in STEERING_QUANTITIES:
        own = steering[steering["quantity"] == quantity].set_index(keys)
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            columns[f"{quantity}{suffix}"] = own[end].reindex(order)
    columns["n_prompts"] = steering.groupby(keys)["n_prompts"].max().reindex(order)
    return pd.DataFrame(columns, index=order).reset_index().rename(columns={"unit": "shift_unit"})
