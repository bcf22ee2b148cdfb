"""What steering did, from the files of all steered cells: one table for figures and claims, and steering.csv.

Means are over clips, weighted by their frames, with intervals from a bootstrap over clips (resampling.py). A clip of
which an attribute is not measured counts for nothing in that attribute's means.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.files import read_json
from sonolens.report.resampling import Resampled, average, draws, mean, ratio, ratio_of_sums
from sonolens.steering.methods import METHODS, NOT_STEERED
from sonolens.steering.schemas import DISTANCES, EFFECTS, SOUNDS

ALL, ALL_INDEX, NO_INDEX = "all", -1, -2
KEYS = ["encoder", "cell", "dim", "lam"]
CONDITION = ["method", "attribute", "class_index", "class", "alpha"]
CSV_FIRST = [
    "encoder", "dim", "lam", "method", "attribute", "class", "alpha", "hit_rate", "shift", "shift_unit", "isolation",
    "cell", "class_index", "hit_rate_low", "hit_rate_high", "hit_rate_before", "shift_low", "shift_high",
    "shift_towards", "shift_towards_low", "shift_towards_high", "target_shift_spreads", "target_shift_spreads_low",
    "target_shift_spreads_high", "others_shift_spreads", "others_shift_spreads_low", "others_shift_spreads_high",
    "isolation_low", "isolation_high", "lost_share", "gained_share", "clipped_share", "silent_share", "displacement",
    "magnitude", "latent_rms", "lsd_original_db", "lsd_original_db_low", "lsd_original_db_high", "lsd_reference_db",
    "lsd_reference_db_low", "lsd_reference_db_high",
]  # fmt: skip
CSV_LAST = ["n_clips", "n_frames"]
# what a user reads with an interval; of the others the CSV has the figure alone
WITH_INTERVAL = {name.removesuffix("_low") for name in CSV_FIRST if name.endswith("_low")}


class Steered(NamedTuple):
    """One attribute steered in one cell, as it was measured."""

    cell: dict  # encoder, name, dim, lam
    attribute: str
    unit: str
    classes: list[dict]  # index, name, centre
    effects: pd.DataFrame  # EFFECTS
    sounds: pd.DataFrame  # SOUNDS
    distances: pd.DataFrame  # DISTANCES

    @property
    def key(self) -> dict:
        """Columns KEYS."""
        return {"encoder": self.cell["encoder"], "cell": self.cell["name"]} | {
            name: self.cell[name] for name in ("dim", "lam")
        }

    @property
    def shift_unit(self) -> str:
        """Of a change of the attribute."""
        return shift_unit(self.unit)

    @property
    def alphas(self) -> list[float]:
        """Strengths, ascending."""
        return sorted(set(self.effects["alpha"]))

    @property
    def methods(self) -> list[str]:
        """In the order of steering/methods.py."""
        used = set(self.effects["method"])
        return [method.name for method in METHODS if method.name in used]

    @property
    def clip_ids(self) -> list[str]:
        """By name, so that what is drawn does not depend on the order of rows."""
        return sorted(set(self.sounds["clip_id"]) | set(self.effects["clip_id"]))

    def of(self, method: str, alpha: float, class_index: int | None = None) -> "Steered":
        """Rows of one method and α, and of one class unless all are pooled."""

        def own(table: pd.DataFrame) -> pd.DataFrame:
            rows = (table["method"] == method) & (table["alpha"] == alpha)
            return table[rows if class_index is None else rows & (table["class_index"] == class_index)]

        return self._replace(effects=own(self.effects), sounds=own(self.sounds), distances=own(self.distances))


def shift_unit(unit: str) -> str:
    """Unit of a change of what is in `unit`: semitones have no zero in MIDI, and a difference of dBFS is in dB."""
    return unit.partition(" (")[0].replace("dBFS", "dB")


def read_steered(inputs: dict) -> list[Steered]:
    """What was steered, in the order of the files.

    inputs: paths of cells (a cell.json per steered cell), and of classes, effects, sounds and distances (one each per
    cell and attribute, in one order). Raises ValueError if they do not lie beside each other.
    """
    cells = {Path(path).parent: read_json(path) for path in inputs["cells"]}
    steered = []
    for paths in zip(*(inputs[name] for name in ("classes", "effects", "sounds", "distances")), strict=True):
        folders = {Path(path).parent for path in paths}
        if len(folders) > 1 or not {folder.parent for folder in folders} <= set(cells):
            raise ValueError(f"{', '.join(map(str, paths))} are not of one steered cell and attribute; list them alike")
        (folder,) = folders
        classes = read_json(paths[0])
        kinds = zip(paths[1:], (EFFECTS, SOUNDS, DISTANCES), strict=True)
        read = (_plain(tables.read(path, schema)) for path, schema in kinds)
        steered.append(Steered(cells[folder.parent], classes["attribute"], classes["unit"], classes["classes"], *read))
    return steered


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Text and α in types that compare: 0.1 is stored as the float32 next to it."""
    table = table.assign(alpha=[float(f"{alpha:.6g}") for alpha in table["alpha"]])
    return table.assign(clip_id=table["clip_id"].astype(str)) if "clip_id" in table else table


def measures(steered: Steered, clip_ids: list[str], drawn: np.ndarray) -> dict[str, Resampled]:
    """Every figure that has an interval, of the rows of one condition, by its column in steering.csv.

    drawn: (1 + N_RESAMPLES, n_clips), one column per entry of `clip_ids`
    """
    of_target = target_measures(steered.effects, steered.attribute, clip_ids, drawn)
    return of_target | sound_measures(steered.sounds, clip_ids, drawn)


def target_measures(
    effects: pd.DataFrame, attribute: str, clip_ids: list[str], drawn: np.ndarray
) -> dict[str, Resampled]:
    """How far the target moved, how far the other attributes, and the one over the other.

    effects: rows of EFFECTS of one condition that steers `attribute`
    """
    target = effects[effects["measured"] == attribute]
    clips = _positions(target, clip_ids)
    n_before = target["n_defined"] + target["n_lost"]

    def share(column: str, of: pd.Series) -> Resampled:
        return ratio_of_sums(clips, target[column].to_numpy(float), of.to_numpy(float), drawn)

    found = {
        "hit_rate": share("n_hits", n_before),
        "hit_rate_before": share("n_hits_before", n_before),
        "shift": _mean_of(target, "change", clip_ids, drawn),
        "shift_towards": _mean_of(target, "towards", clip_ids, drawn),
        "lost_share": share("n_lost", target["n_frames"]),
        "gained_share": share("n_gained", target["n_frames"]),
    }
    spreads = _in_spreads(target, clip_ids, drawn)
    others = {}
    for name in dict.fromkeys(effects["measured"]):
        if name != attribute:
            other = effects[effects["measured"] == name]
            others[name] = _in_spreads(other, clip_ids, drawn)
            found[f"{name}_shift_spreads"] = others[name]
            found[f"{name}_shift"] = _mean_of(other, "change", clip_ids, drawn)
    of_others = average(list(others.values()))
    isolation = ratio(spreads, of_others)
    return found | {"target_shift_spreads": spreads, "others_shift_spreads": of_others, "isolation": isolation}


def _positions(rows: pd.DataFrame, clip_ids: list[str]) -> np.ndarray:
    """Which of `clip_ids` each row is of, (n_rows,)."""
    return np.searchsorted(clip_ids, rows["clip_id"].to_numpy(str)) if len(rows) else np.zeros(0, int)


def _mean_of(rows: pd.DataFrame, column: str, clip_ids: list[str], drawn: np.ndarray) -> Resampled:
    """Mean over the frames that are defined before and after."""
    values, weights = rows[column].to_numpy(float), rows["n_defined"].to_numpy(float)
    return mean(_positions(rows, clip_ids), values, weights, drawn)


def _in_spreads(rows: pd.DataFrame, clip_ids: list[str], drawn: np.ndarray) -> Resampled:
    """Mean of |change| in units of the attribute's own spread; undefined if it has none."""
    spread = rows["spread"].where(rows["spread"] > 0)
    return _mean_of(rows.assign(abs_change=rows["abs_change"] / spread), "abs_change", clip_ids, drawn)


def sound_measures(sounds: pd.DataFrame, clip_ids: list[str], drawn: np.ndarray) -> dict[str, Resampled]:
    """Figures of the sound of one condition, weighted by its samples."""
    clips, n_samples = _positions(sounds, clip_ids), sounds["n_samples"].to_numpy(float)
    found = {
        name: mean(clips, sounds[name].to_numpy(float), n_samples, drawn)
        for name in ("silent_share", "displacement", "magnitude", "lsd_original_db", "lsd_reference_db")
    }
    square = mean(clips, sounds["latent_rms"].to_numpy(float) ** 2, n_samples, drawn)
    found["latent_rms"] = square._replace(values=np.sqrt(square.values))
    return found | {"clipped_share": ratio_of_sums(clips, sounds["n_clipped"].to_numpy(float), n_samples, drawn)}


def frechet(distances: pd.DataFrame) -> dict[str, float]:
    """Fréchet distances by column of steering.csv, means over classes. Each is of all clips, hence has no interval."""
    found = {}
    for embedding, own in distances.groupby("embedding", sort=False, observed=True):
        found[f"frechet_{embedding}"] = float(own["distance"].mean())
        found[f"frechet_{embedding}_as_is"] = float(own["distance_as_is"].mean())
    return found


def gather(steered: list[Steered], seed: int) -> pd.DataFrame:
    """One row per condition and figure (report/schemas.STEERING)."""
    rows = [row for one in steered for row in _rows(one, seed)]
    return pd.DataFrame(rows, columns=[*KEYS, *CONDITION, "unit", "quantity", "value", "low", "high"])


def _rows(steered: Steered, seed: int) -> Iterator[dict]:
    """All figures of one attribute of one cell."""
    clip_ids = steered.clip_ids
    drawn = draws(len(clip_ids), seed)
    for method, class_index, name, alpha in _conditions(steered):
        condition = dict(zip(CONDITION, (method, steered.attribute, class_index, name, alpha), strict=True))
        of_class = class_index if class_index >= 0 else None
        own = steered.of(method, alpha, of_class)
        found = (
            measures(own, clip_ids, drawn) if class_index > NO_INDEX else sound_measures(own.sounds, clip_ids, drawn)
        )
        if class_index == ALL_INDEX:
            del found["shift"]  # classes lie on both sides
        plain = frechet(own.distances) | (_counts(own) if class_index > NO_INDEX else {})
        for quantity, (value, low, high) in _triples(found, plain):
            figure = {"unit": steered.shift_unit, "quantity": quantity, "value": value, "low": low, "high": high}
            yield steered.key | condition | figure


def _conditions(steered: Steered) -> Iterator[tuple[str, int, str, float]]:
    """method, class_index, class and α of every row of steering.csv, in its order."""
    for reference in NOT_STEERED:
        if (steered.sounds["method"] == reference).any():
            yield reference, NO_INDEX, "", 0.0
    classes = [(one["index"], one["name"]) for one in steered.classes]
    for method in steered.methods:
        for class_index, name in [*classes, (ALL_INDEX, ALL)]:
            for alpha in steered.alphas:
                yield method, class_index, name, alpha


def _counts(steered: Steered) -> dict[str, float]:
    """Clips on which the target is measured, and its 10 ms frames, once for each class."""
    target = steered.effects[(steered.effects["measured"] == steered.attribute) & (steered.effects["n_frames"] > 0)]
    return {"n_clips": float(target["clip_id"].nunique()), "n_frames": float(target["n_frames"].sum())}


def _triples(found: dict[str, Resampled], plain: dict[str, float]) -> Iterator[tuple[str, tuple]]:
    for name, figure in found.items():
        yield name, (figure.value, *figure.interval)
    for name, value in plain.items():
        yield name, (value, np.nan, np.nan)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """steering.csv: one row per condition, the columns that a user's script relies on first.

    table: report/schemas.STEERING
    """
    keys = [*KEYS, *CONDITION]
    order = table[keys].drop_duplicates()
    quantities = list(dict.fromkeys(table["quantity"]))
    parts = [_columns(table, keys, "value", quantities, "")]
    for end in ("low", "high"):
        parts.append(_columns(table, keys, end, [name for name in quantities if name in WITH_INTERVAL], f"_{end}"))
    frame = pd.concat(parts, axis=1).reindex(pd.MultiIndex.from_frame(order)).reset_index()
    units = table.drop_duplicates("attribute").set_index("attribute")["unit"]
    frame["shift_unit"] = frame["attribute"].map(units)
    frame["class_index"] = frame["class_index"].where(frame["class_index"] >= 0).astype(float)
    own = [name for name in quantities if name not in CSV_FIRST and name not in CSV_LAST]
    return frame.reindex(columns=[*CSV_FIRST, *own, *CSV_LAST])


def _columns(table: pd.DataFrame, keys: list[str], value: str, quantities: list[str], suffix: str) -> pd.DataFrame:
    """`value` of each of `quantities` as a column, indexed by `keys`."""
    own = table[table["quantity"].isin(quantities)].set_index([*keys, "quantity"])[value].unstack("quantity")
    return own.add_suffix(suffix)


def curve(
    table: pd.DataFrame, encoder: str, cell: str, attribute: str, method: str, quantity: str, of_class: str = ALL
) -> pd.DataFrame:
    """alpha, value, low, high of one figure, in the order of α. table: report/schemas.STEERING"""
    own = table[
        (table["encoder"] == encoder)
        & (table["cell"] == cell)
        & (table["attribute"] == attribute)
        & (table["method"] == method)
        & (table["quantity"] == quantity)
        & (table["class"] == of_class)
    ]
    return own[["alpha", "value", "low", "high"]].sort_values("alpha", ignore_index=True)
