"""The quality of a codec on the test split: what of each recording is left after encoding and decoding."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from sonolens import audio, tables
from sonolens.audio_distance import log_spectral_distance_db
from sonolens.codec_quality import mean_interval, pitch_kept_share
from sonolens.encoders.contract import Encoder, decode, side_of
from sonolens.files import write_json
from sonolens.labels import pitch
from sonolens.labels.fine import left_out_kinds

FIGURES = ("log_spectral_distance_db", "pitch_kept_share")


def evaluate_codec(
    name: str,
    encoder: Encoder,
    manifest_paths: list[str],
    pitch_paths: list[str],
    output_path: str,
    pitch_options: dict,
    seed: int,
    device: str,
) -> None:
    """Measure every test clip, and write the clips and their means by kind and over all, with 95 % intervals.

    pitch_paths are the originals' fine labels of pitch (tables.FINE_LABELS), measured with pitch_options; with none
    the originals are tracked here, on `device` too. Of a kind that pitch_options leave out no pitch is kept or lost.
    Raises ValueError if no clip belongs to the test split.
    """
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    test = manifest[manifest["split"] == "test"].sort_values("clip_id")
    if test.empty:
        raise ValueError(f"no recording belongs to the split 'test', so {name} cannot be evaluated")
    tracks, left_out = _tracks(pitch_paths), left_out_kinds(pitch_options)

    def track(samples: np.ndarray) -> np.ndarray:
        return pitch.measure(samples.mean(axis=0), encoder.sample_rate_hz, pitch_options, device).value

    clips = []
    for clip in tqdm(test.itertuples(), total=len(test), desc=f"decoding with {name}", mininterval=5):
        original = audio.load(clip.path, encoder.sample_rate_hz, encoder.n_channels)
        decoded = decode(encoder, encoder.encode(original), side_of(encoder, original))[:, : original.shape[1]]
        kept = np.nan
        if clip.kind not in left_out:
            kept = pitch_kept_share(tracks[clip.clip_id] if tracks else track(original), track(decoded))
        clips.append(
            {
                "clip_id": clip.clip_id,
                "kind": clip.kind,
                "instrument": clip.instrument,
                "log_spectral_distance_db": log_spectral_distance_db(original.mean(axis=0), decoded.mean(axis=0)),
                "pitch_kept_share": kept,
            }
        )
    table = pd.DataFrame(clips)
    write_json(
        output_path,
        {
            "encoder": name,
            "clips": [
                {key: None if key in FIGURES and np.isnan(value) else value for key, value in clip.items()}
                for clip in clips
            ],
            "by_kind": {kind: _summary(of_kind, seed) for kind, of_kind in table.groupby("kind")},
            "all": _summary(table, seed),
        },
    )


def _tracks(pitch_paths: list[str]) -> dict[str, np.ndarray]:
    """Pitch tracks (T,) by clip."""
    labels = tables.read_all(pitch_paths, tables.FINE_LABELS)
    labels["clip_id"] = labels["clip_id"].astype(str)
    return {clip_id: of_clip["value"].to_numpy() for clip_id, of_clip in labels.groupby("clip_id", sort=False)}


def _summary(table: pd.DataFrame, seed: int) -> dict:
    return {figure: mean_interval(table[figure].to_numpy(float), seed) for figure in FIGURES} | {"n_clips": len(table)}
