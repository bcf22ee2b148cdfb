"""Steering measured on the sound: one attribute of one cell, every method, class and α, on the same excerpts.

Whatever is computed holds one excerpt at a time, and of the embeddings their moments.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from sonolens import tables
from sonolens.audio_distance import multi_resolution_log_spectral_distance_db
from sonolens.encoders.contract import Encoder, decode
from sonolens.frechet import NestedMoments, extrapolated_distance
from sonolens.jobs.clip_journal import clip_by_clip
from sonolens.jobs.resumption import Resumption
from sonolens.steering import effects, methods, schemas, strength
from sonolens.steering.cell import Cell
from sonolens.steering.directions import Directions
from sonolens.steering.embedding import EmbeddedReference
from sonolens.steering.excerpts import Excerpts, SourceSound
from sonolens.steering.methods import AT_ZERO, METHODS, NOT_STEERED, ORIGINAL, PAPER
from sonolens.steering.tracking import Labeller, clipped, mono, silent_share, track_all

SOUND_FIGURES = (
    "magnitude", "displacement", "latent_rms", "lsd_original_db", "lsd_reference_db", "n_samples", "n_clipped",
    "silent_share",
)  # fmt: skip
DISTANCE_FIGURES = ("distance", "distance_as_is", "n_windows")
NO_CLASS = -1
# A dimension, for a distance that is extrapolated (tests/test_frechet.py)
ENOUGH_WINDOWS = 4


class Condition(NamedTuple):
    """One way in which all excerpts are decoded."""

    method: str
    class_position: int  # within the classes steered to
    class_index: int
    alpha: float

    @property
    def clip_id(self) -> str:
        """Its name in the job's journal."""
        return f"{self.method}/class {self.class_index}/alpha {self.alpha:g}"


class Steering:
    """What all conditions of one job share."""

    def __init__(
        self,
        encoder: Encoder,
        cell: Cell,
        attribute: str,
        directions: Directions,
        excerpts: Excerpts,
        labellers: dict[str, Labeller],
        references: list[EmbeddedReference],
        seed: int,
    ):
        """cell: with the probe of `attribute`; references: the embeddings, each with its moments of the test split."""
        self.encoder, self.cell, self.attribute, self.directions = encoder, cell, attribute, directions
        self.excerpts, self.labellers, self.references, self.seed = excerpts, labellers, references, seed
        self._kept: _Kept | None = None
        self._strengths: dict[tuple[str, int, float], tuple[float, float]] = {}

    def conditions(self, alphas: list[float]) -> list[Condition]:
        """What is not steered first, then every class, α and method."""
        found = [Condition(name, NO_CLASS, NO_CLASS, 0.0) for name in NOT_STEERED]
        for position, one in enumerate(self.directions.classes):
            found += [Condition(method.name, position, one["index"], alpha) for alpha in alphas for method in METHODS]
        return found

    def measure(self, condition: Condition) -> list[np.ndarray]:
        """Effects (n_clips, n_attributes, n_figures), sounds (n_clips, n_figures), distances (n_embeddings, n_figures).

        All float64, in the order of the constants above and of the labellers.
        """
        if self._kept is None:
            self._kept = _Kept(self)
        nested = [NestedMoments(reference.embedding.d_embedding, self.seed) for reference in self.references]
        found_effects, found_sounds = [], []
        for position in range(len(self.excerpts)):
            source = self.excerpts.sound(position)
            x = self.cell.scaled(source.latents)
            moved, strength_of = self._steered(condition, x)
            is_original = condition.method == ORIGINAL
            samples, n_clipped = clipped(source.samples if is_original else self.decoded(source, moved))
            sound = self._sound_figures(condition, position, source, samples, moved)
            found_sounds.append([*strength_of, *sound, samples.size, n_clipped, self._silence(samples)])
            found_effects.append(self._effects(condition, position, source, samples))
            for moments, reference in zip(nested, self.references, strict=True):
                moments.add(reference.embed(mono(samples), self.encoder.sample_rate_hz), position)
        distances = [distance_figures(*pair) for pair in zip(nested, self.references, strict=True)]
        return [np.array(found_effects), np.array(found_sounds), np.array(distances).reshape(-1, 3)]

    def decoded(self, source: SourceSound, x: torch.Tensor) -> np.ndarray:
        """Scaled latents x (B, D) in the place of an excerpt's own: its sound (n_channels, n_samples)."""
        return decode(self.encoder, self.cell.latents(x), source.side)[:, : source.samples.shape[1]]

    def _steered(self, condition: Condition, x: torch.Tensor) -> tuple[torch.Tensor, tuple[float, float]]:
        """Latents as they are decoded, and the factor and displacement (over all excerpts) behind them."""
        if condition.method in NOT_STEERED:
            return strength.reference(self.cell, NOT_STEERED[condition.method], x), (0.0, 0.0)
        method = methods.named(condition.method)
        factor, displacement = self._strength(condition)
        direction = self.directions.of(method, condition.class_position)
        return strength.steered(self.cell, method, x, direction, factor), (factor, displacement)

    def _strength(self, condition: Condition) -> tuple[float, float]:
        """The paper's α itself, or the factor that moves the latents as far as it does; and how far that is."""
        key = condition.method, condition.class_position, condition.alpha
        if key not in self._strengths:
            method = methods.named(condition.method)
            direction = self.directions.of(method, condition.class_position)

            def displaces(factor: float) -> float:
                return strength.displacement(self.cell, method, self._latents(), direction, factor)

            factor = condition.alpha
            if method != PAPER:
                _, wanted = self._strength(condition._replace(method=PAPER.name))
                factor = strength.factor_for(method, displaces, wanted, condition.alpha)
            self._strengths[key] = factor, displaces(factor)
        return self._strengths[key]

    def _latents(self) -> Iterator[torch.Tensor]:
        return (self.cell.scaled(self.excerpts.latents(position)) for position in range(len(self.excerpts)))

    def _sound_figures(
        self, condition: Condition, position: int, source: SourceSound, samples: np.ndarray, x: torch.Tensor
    ) -> tuple[float, float, float]:
        """RMS of the latents, and the log-spectral distances to the original and to the sound for α = 0, in dB."""
        to_original, to_reference = (
            multi_resolution_log_spectral_distance_db(mono(other), mono(samples))
            for other in (source.samples, self._kept.samples(_space(condition), position))
        )
        return float(x.double().square().mean().sqrt()), to_original, to_reference

    def _silence(self, samples: np.ndarray) -> float:
        return silent_share(mono(samples), self.encoder.sample_rate_hz)

    def _effects(self, condition: Condition, position: int, source: SourceSound, samples: np.ndarray) -> list:
        """FIGURES of every attribute (n_attributes, n_figures)."""
        before = self._kept.tracks(_space(condition), position)
        after = track_all(mono(samples), self.encoder.sample_rate_hz, source.kind, self.labellers)
        rows = []
        for name in self.labellers:
            is_target = name == self.attribute and condition.class_position != NO_CLASS
            target = (condition.class_index, self.cell.probes[name].bins) if is_target else ()
            found = effects.effect(before[name], after[name], *target)
            rows.append([found[figure] for figure in effects.FIGURES])
        return rows


class _Kept:
    """Sounds for α = 0 of both spaces: on disk, since every condition compares with them; and their short tracks."""

    def __init__(self, steering: Steering):
        self._folder = tempfile.TemporaryDirectory()
        self._tracks: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        encoder, excerpts = steering.encoder, steering.excerpts
        for position in range(len(excerpts)):
            source = excerpts.sound(position)
            x = steering.cell.scaled(source.latents)
            for space in AT_ZERO.values():
                samples = steering.decoded(source, strength.reference(steering.cell, space, x))
                samples, _ = clipped(samples)
                np.save(self._path(space, position), samples)
                tracks = track_all(mono(samples), encoder.sample_rate_hz, source.kind, steering.labellers)
                self._tracks[space, position] = tracks

    def _path(self, space: str, position: int) -> Path:
        return Path(self._folder.name) / f"{space}_{position}.npy"

    def samples(self, space: str, position: int) -> np.ndarray:
        """(n_channels, n_samples)"""
        return np.load(self._path(space, position))

    def tracks(self, space: str, position: int) -> dict[str, np.ndarray]:
        """(T,) by attribute."""
        return self._tracks[space, position]


def _space(condition: Condition) -> str:
    if condition.method in NOT_STEERED:
        return NOT_STEERED[condition.method]
    return methods.named(condition.method).space


def distance_figures(nested: NestedMoments, reference: EmbeddedReference) -> list[float]:
    """DISTANCE_FIGURES; NaN where next to nothing sounds, since silence has no embedding.

    Extrapolated only from ENOUGH windows a dimension: of fewer the line falls short by a third.
    """
    n_windows = nested.whole.count
    if n_windows < 2:
        return [float("nan"), float("nan"), n_windows]
    found = extrapolated_distance(nested, reference.moments)
    is_enough = n_windows >= ENOUGH_WINDOWS * reference.embedding.d_embedding
    return [found.value if is_enough else float("nan"), found.largest_n_value, n_windows]


def evaluate(steering: Steering, alphas: list[float], outputs: Mapping[str, str], resumption: Resumption) -> None:
    """Measure every condition, going on where an earlier attempt was stopped, and write the three tables.

    outputs: effects, sounds, distances (schemas.EFFECTS, SOUNDS, DISTANCES).
    """
    conditions = steering.conditions(alphas)
    doing = f"steering {steering.attribute}"
    with clip_by_clip(conditions, steering.measure, resumption, doing, "conditions") as journal:
        effect_tables, sound_tables, distance_tables = [], [], []
        for condition, (_, (found_effects, found_sounds, found_distances)) in zip(
            conditions, journal.read(), strict=True
        ):
            if condition.class_position != NO_CLASS:
                effect_tables.append(_effect_rows(steering, condition, found_effects))
            sound_tables.append(_sound_rows(steering, condition, found_sounds))
            distance_tables.append(_distance_rows(steering, condition, found_distances))
    for name, found, schema in (
        ("effects", effect_tables, schemas.EFFECTS),
        ("sounds", sound_tables, schemas.SOUNDS),
        ("distances", distance_tables, schemas.DISTANCES),
    ):
        tables.write(pd.concat(found, ignore_index=True), outputs[name], schema)


def _identity(condition: Condition) -> dict:
    return {"method": condition.method, "class_index": condition.class_index, "alpha": condition.alpha}


def _effect_rows(steering: Steering, condition: Condition, found: np.ndarray) -> pd.DataFrame:
    """Rows of schemas.EFFECTS from (n_clips, n_attributes, n_figures)."""
    names = list(steering.labellers)
    figures = pd.DataFrame(found.reshape(-1, len(effects.FIGURES)), columns=effects.FIGURES)
    counts = [figure for figure in effects.FIGURES if figure.startswith("n_")]
    return figures.astype(dict.fromkeys(counts, "int32")).assign(
        **_identity(condition),
        clip_id=np.repeat([clip_id for clip_id, _ in steering.excerpts.names], len(names)),
        measured=np.tile(names, len(found)),
        spread=np.tile([steering.excerpts.spread(name) for name in names], len(found)),
    )


def _sound_rows(steering: Steering, condition: Condition, found: np.ndarray) -> pd.DataFrame:
    """Rows of schemas.SOUNDS from (n_clips, n_figures)."""
    clip_ids, kinds = zip(*steering.excerpts.names, strict=True)
    figures = pd.DataFrame(found, columns=SOUND_FIGURES)
    return figures.astype({"n_samples": "int32", "n_clipped": "int32"}).assign(
        **_identity(condition), clip_id=clip_ids, kind=kinds
    )


def _distance_rows(steering: Steering, condition: Condition, found: np.ndarray) -> pd.DataFrame:
    """Rows of schemas.DISTANCES from (n_embeddings, n_figures)."""
    names = [reference.name for reference in steering.references]
    figures = pd.DataFrame(found, columns=DISTANCE_FIGURES)
    return figures.astype({"n_windows": "int32"}).assign(**_identity(condition), embedding=pd.array(names, dtype="str"))
