"""A few test clips seen and heard whole: what was labelled, what the probes of one cell say, and the sound."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file

from sonolens import audio, tables
from sonolens.cell_selection import path_of
from sonolens.encoders.contract import Encoder, decode, side_of
from sonolens.encoders.geometry import FrameGeometry
from sonolens.files import read_json, write_json
from sonolens.sae import weights
from sonolens.sae.audio_evaluation import Excerpt, choose_excerpts


def trace_clips(
    encoder: Encoder,
    geometry: FrameGeometry,
    inputs: Mapping[str, str | list[str]],
    outputs: Mapping[str, str | list[str]],
    attributes: list[str],
    n_clips: int,
    seconds: float,
    seed: int,
) -> None:
    """Write the tracks and the sound of `n_clips` excerpts through the selected cell; `geometry` is that of the labels.

    inputs: selected, manifests, labels and bins (a path per attribute, in the order of `attributes`), models and probes
    (of all cells). outputs: clips, tracks, audio (clip~i/{original,codec,sae}.wav).
    """
    selected = read_json(inputs["selected"])
    model, scaling = weights.load(path_of(selected, inputs["models"]))
    clips, tracks = [], []
    for position, excerpt in enumerate(choose_excerpts(inputs["manifests"], encoder, n_clips, seconds, seed)):
        latents, side = encoder.encode(excerpt.samples), side_of(encoder, excerpt.samples)
        with torch.no_grad():
            f = model.encode(torch.from_numpy(scaling.apply(latents))).f
            x_hat = scaling.invert(model.decode(f).numpy())
        for attribute, labels, bins in zip(attributes, inputs["labels"], inputs["bins"], strict=True):
            probe = load_file(path_of(selected, inputs["probes"], f"/{attribute}/"))
            logits = f.numpy() @ probe["weight"].T + probe["bias"]
            tracks.append(_track(excerpt, geometry, attribute, labels, read_json(bins), logits.argmax(axis=1)))
        stages = {
            "original": excerpt.samples,
            "codec": decode(encoder, latents, side),
            "sae": decode(encoder, x_hat, side),
        }
        clips.append(_write_clip(excerpt, encoder, position, stages, outputs["audio"]))
    tables.write(pd.concat(tracks, ignore_index=True), outputs["tracks"], tables.TRACKS)
    write_json(outputs["clips"], {"cell": selected, "clips": clips})


def _write_clip(excerpt: Excerpt, encoder: Encoder, position: int, stages: dict, paths: list[str]) -> dict:
    """Write one clip's stages as sound; its entry in clips.json, with paths relative to that file."""
    files = {}
    for stage, samples in stages.items():
        (path,) = [path for path in paths if path.endswith(f"/clip~{position}/{stage}.wav")]
        audio.write_wav(path, samples[:, : excerpt.samples.shape[1]], encoder.sample_rate_hz)
        files[stage] = "/".join(Path(path).parts[-2:])
    return files | {
        "clip_id": excerpt.clip.clip_id,
        "kind": excerpt.clip.kind,
        "instrument": excerpt.clip.instrument,
        "start_s": excerpt.start_s,
        "duration_s": excerpt.samples.shape[1] / encoder.sample_rate_hz,
        "sample_rate_hz": encoder.sample_rate_hz,
    }


def _track(
    excerpt: Excerpt, geometry: FrameGeometry, attribute: str, labels_path: str, bins: dict, predicted: np.ndarray
) -> pd.DataFrame:
    """Labels and predictions of one attribute on one excerpt; rows of tables.TRACKS."""
    labels = tables.read(labels_path, tables.ALIGNED_LABELS)
    first = round(excerpt.start_s * geometry.sample_rate_hz / geometry.period_samples) * geometry.period_frames
    of_clip = labels[labels["clip_id"] == excerpt.clip.clip_id].set_index("frame_index")
    frames = np.arange(first, first + len(predicted))
    of_excerpt = of_clip.reindex(frames)
    centres = np.array([np.nan if centre is None else centre for centre in bins["centres"]], np.float32)
    return pd.DataFrame(
        {
            "clip_id": pd.Categorical([excerpt.clip.clip_id] * len(frames)),
            "attribute": attribute,
            "unit": bins["unit"],
            "time_s": geometry.frame_time_s(frames),
            "value": of_excerpt["value"].to_numpy(np.float32),
            "class_index": of_excerpt["class_index"].fillna(-1).to_numpy(np.int16),
            "predicted_class": predicted.astype(np.int16),
            "predicted_value": centres[predicted],
        }
    )
