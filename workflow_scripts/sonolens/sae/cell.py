"""One cell of the grid, from files to files."""

from collections.abc import Mapping
from dataclasses import asdict

from sonolens import tables
from sonolens.device import torch_device
from sonolens.files import write_json
from sonolens.jobs.resumption import Resumption
from sonolens.latents import LatentStore, ScaledFrames, Scaling, clip_codes, clip_runs, split_runs
from sonolens.sae import weights
from sonolens.sae.evaluation import activation_frequency, evaluate, explained_variance_interval
from sonolens.sae.training import Settings, Trained, train


def train_cell(
    inputs: Mapping[str, str | list[str]],
    outputs: Mapping[str, str],
    encoder: str,
    settings: Settings,
    device: str,
    resumption: Resumption | None = None,
) -> None:
    """Train one cell, from where an earlier attempt has left it, and measure it on the test split.

    inputs: latents and frames (a path per shard), manifests, scaling. outputs: model, config, metrics, history.
    """
    where = torch_device(device)
    store, scaling = LatentStore(inputs["latents"]), Scaling.read(inputs["scaling"])
    runs = clip_runs(inputs["frames"], inputs["manifests"])
    split = {name: ScaledFrames(store, split_runs(runs, name), scaling) for name in ("train", "validation", "test")}
    trained = train(split["train"], split["validation"], settings, where, resumption)
    metrics = _metrics(trained, split, settings, clip_codes(runs, "test")) | {"encoder": encoder}
    weights.save(trained.model, scaling, outputs["model"])
    tables.write(trained.history, outputs["history"], tables.SAE_HISTORY)
    write_json(outputs["config"], asdict(settings) | {"encoder": encoder, "d_latent": store.d_latent})
    write_json(outputs["metrics"], metrics)


def _metrics(trained: Trained, split: dict[str, ScaledFrames], settings: Settings, test_clips) -> dict:
    """The reported figures of a cell; all but those under `validation` are of the test split."""
    test = evaluate(trained.model, split["test"])
    validation = evaluate(trained.model, split["validation"])
    low, high = explained_variance_interval(test.squared_error, split["test"], test_clips, settings.seed)
    d_latent = split["train"].d_latent
    return {
        "dim": settings.n_features,
        "d_latent": d_latent,
        "expansion": settings.n_features // d_latent,
        "lam": settings.lam,
        "l1_on": settings.l1_on,
        "seed": settings.seed,
        "n_steps": settings.steps,
        "n_train_frames": len(split["train"]),
        "n_test_frames": len(split["test"]),
        "sparsity": test.sparsity,
        "l0": test.l0,
        "explained_variance": test.explained_variance,
        "explained_variance_low": low,
        "explained_variance_high": high,
        "mse": test.mse,
        "dead_share": test.dead_share,
        "n_dead": int((test.n_active == 0).sum()),
        "hidden_norm": test.hidden_norm,
        "activation_frequency": activation_frequency(test.n_active, test.n_frames),
        "validation": {
            "sparsity": validation.sparsity,
            "l0": validation.l0,
            "explained_variance": validation.explained_variance,
            "mse": validation.mse,
        },
        "frames_per_s": settings.steps * min(settings.batch_frames, len(split["train"])) / trained.train_seconds,
        "train_seconds": trained.train_seconds,
        "products": trained.products._asdict(),
    }
