"""A codec trained on the train split, from manifests to files."""

import time

from tqdm import tqdm

from sonolens import audio, plugins, tables
from sonolens.device import torch_device
from sonolens.encoders.spectrogram_codec import write_weights
from sonolens.files import write_json
from sonolens.jobs.resumption import Resumption


def fit_codec(
    module: str,
    manifest_paths: list[str],
    outputs: dict[str, str],
    options: dict,
    seed: int,
    device: str,
    resumption: Resumption | None = None,
) -> None:
    """Train encoder `module` on the train clips of all manifests.

    outputs: weights (safetensors), config (JSON: module, options, seed, what it was trained on), history
    (tables.CODEC_HISTORY). Raises ValueError if no clip belongs to the train split.
    """
    card = plugins.card("encoders", module)
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    clips = manifest[manifest["split"] == "train"].sort_values("clip_id")
    if clips.empty:
        raise ValueError(f"no recording belongs to the split 'train', so {module} cannot be trained")
    recordings = [
        audio.load(clip.path, card["sample_rate_hz"], card["n_channels"])[0]
        for clip in tqdm(clips.itertuples(), total=len(clips), desc="reading audio", mininterval=5)
    ]
    started_s = time.perf_counter()
    where = str(torch_device(device))
    state, history = plugins.load("encoders", module).train(recordings, options, seed, where, resumption)
    print(f"{options['steps']} steps in {time.perf_counter() - started_s:.0f} s")
    training = {
        "module": module,
        "options": options,
        "seed": seed,
        "n_train_clips": len(recordings),
        "n_train_seconds": sum(map(len, recordings)) / card["sample_rate_hz"],
    }
    write_weights(outputs["weights"], state, training)
    write_json(outputs["config"], training)
    tables.write(history, outputs["history"], tables.CODEC_HISTORY)
