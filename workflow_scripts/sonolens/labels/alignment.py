"""From the fine grid to the frames of an encoder.

A latent frame stands for the time that its encoder's geometry says, and covers one hop around it. Bounds are
whole-number arithmetic: nothing drifts, however long the recording.
"""

from fractions import Fraction
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import tables
from sonolens.encoders.geometry import FrameGeometry
from sonolens.labels import bins
from sonolens.labels.fine import FINE_FRAMES_PER_S, FineTrack, left_out_kinds

# Latent frames pooled at once
BLOCK_FRAMES = 1 << 18


def spans(frame_index: np.ndarray, n_fine: np.ndarray, geometry: FrameGeometry) -> tuple[np.ndarray, np.ndarray]:
    """First and stop (exclusive) fine frame of each latent frame (N,), given the fine frames of its clip (N,).

    They are those whose times lie in [t − hop/2, t + hop/2). Where there is none (a hop under 10 ms, the very end)
    it is the nearest one.
    """
    rate, hop = geometry.sample_rate_hz, geometry.hop_samples
    offset = Fraction(geometry.frame_offset_frames).limit_denominator(1000)
    twice, parts = 2 * offset.numerator, offset.denominator
    # In units of 1 / (2·parts·rate) s: 2·parts·FPS·(first sample + (offset ± 1/2)·hop) against 2·parts·rate·(j + 1/2)
    middle = (2 * parts * geometry.first_sample(frame_index) + twice * hop) * FINE_FRAMES_PER_S
    half_hop, unit = parts * hop * FINE_FRAMES_PER_S, 2 * parts * rate
    first = -((half_hop + parts * rate - middle) // unit)
    stop = -((parts * rate - half_hop - middle) // unit)
    first, stop = np.maximum(first, 0), np.minimum(stop, n_fine)
    nearest = np.clip(middle // unit, 0, n_fine - 1)
    is_empty = stop <= first
    return np.where(is_empty, nearest, first), np.where(is_empty, nearest + 1, stop)


def pool_frames(
    fine: FineTrack,
    clip_start: np.ndarray,
    n_fine: np.ndarray,
    frame_index: np.ndarray,
    geometry: FrameGeometry,
    attribute: ModuleType,
    options: dict,
) -> np.ndarray:
    """The attribute's value for each latent frame, (N,) float32, NaN where undefined.

    fine: the labels of all clips below each other, (M,); clip_start, n_fine (N,): where the labels of the frame's
    clip begin and how many there are.
    """
    pooled = np.empty(len(frame_index), np.float32)
    for begin in range(0, len(frame_index), BLOCK_FRAMES):
        block = slice(begin, begin + BLOCK_FRAMES)
        first, stop = spans(frame_index[block], n_fine[block], geometry)
        within = first[:, None] + np.arange((stop - first).max())
        inside = within < stop[:, None]
        rows = clip_start[block, None] + np.where(inside, within, first[:, None])
        pooled[block] = attribute.pool(FineTrack(fine.value[rows], fine.weight[rows]), inside, options)
    return pooled


class _FineLabels(NamedTuple):
    track: FineTrack  # all clips below each other
    start: dict[str, int]  # of each clip in it
    n_fine: dict[str, int]


def _read_fine(paths: list[str]) -> _FineLabels:
    values, weights, start, n_fine, n_read = [], [], {}, {}, 0
    for path in tqdm(paths, desc="reading labels", mininterval=5):
        table = tables.read(path, tables.FINE_LABELS)
        begins = np.flatnonzero(table["frame_index"].to_numpy() == 0)
        lengths = np.diff(np.append(begins, len(table)))
        in_order = np.arange(len(table)) - np.repeat(begins, lengths) if len(begins) else np.zeros(0)
        if not np.array_equal(in_order, table["frame_index"].to_numpy()):
            raise ValueError(f"{path}: the frames of a clip are not in order; delete it and run again")
        for clip_id, begin, length in zip(table["clip_id"].iloc[begins], begins, lengths, strict=True):
            start[clip_id], n_fine[clip_id] = n_read + int(begin), int(length)
        values.append(table["value"].to_numpy())
        weights.append(table["weight"].to_numpy())
        n_read += len(table)
    return _FineLabels(FineTrack(np.concatenate(values), np.concatenate(weights)), start, n_fine)


def align(
    labels_paths: list[str],
    frames_paths: list[str],
    manifest_paths: list[str],
    bins_path: str,
    geometry: FrameGeometry,
    attribute: ModuleType,
    options: dict,
    output_path: str,
) -> None:
    """Pool and classify one attribute for every latent frame of an encoder; rows in the order of `frames_paths`.

    Frames of recordings of the kinds that `options` leave out have no class, even where undefined values have one.
    Raises ValueError, naming the clip, where a latent frame has no labels or lies beyond them.
    """
    labels, classes = _read_fine(labels_paths), bins.read(bins_path)
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    left_out = manifest["clip_id"][manifest["kind"].isin(left_out_kinds(options))]
    aligned = [tables.ALIGNED_LABELS.empty_table().to_pandas()]
    for path in tqdm(frames_paths, desc="aligning", mininterval=5):
        frames = tables.read(path, tables.LATENT_FRAMES)
        if not len(frames):
            continue
        clips = frames["clip_id"].astype("category").cat
        missing = sorted(set(clips.categories) - set(labels.start))
        if missing:
            raise ValueError(f"{path}: there are no labels of the clips {missing[:3]}; label them again")
        start = np.array([labels.start[clip] for clip in clips.categories])[clips.codes]
        n_fine = np.array([labels.n_fine[clip] for clip in clips.categories])[clips.codes]
        frame_index = frames["frame_index"].to_numpy()
        _refuse_frames_beyond(frames, n_fine, geometry, path)
        value = pool_frames(labels.track, start, n_fine, frame_index, geometry, attribute, options)
        is_left_out = clips.categories.isin(left_out)[clips.codes]
        value[is_left_out] = np.nan
        class_index = np.where(is_left_out, np.int16(bins.LEFT_OUT), bins.classify(value, classes))
        aligned.append(frames[["clip_id", "frame_index"]].assign(value=value, class_index=class_index))
    joined = pd.concat([part.astype({"clip_id": object}) for part in aligned], ignore_index=True)
    tables.write(joined, output_path, tables.ALIGNED_LABELS)


def _refuse_frames_beyond(frames: pd.DataFrame, n_fine: np.ndarray, geometry: FrameGeometry, path: str) -> None:
    """A latent frame that begins a whole hop after the last label belongs to other audio than the labels do."""
    starts_s = geometry.first_sample(frames["frame_index"].to_numpy()) / geometry.sample_rate_hz
    beyond = starts_s > n_fine / FINE_FRAMES_PER_S + geometry.hop_samples / geometry.sample_rate_hz
    if beyond.any():
        raise ValueError(
            f"{path}: frames of {frames['clip_id'].to_numpy()[beyond][0]} lie beyond its labels; "
            "extract the latents and label the frames again"
        )
