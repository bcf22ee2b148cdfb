"""Speed of a probe's fit against scikit-learn's dense lbfgs, and of three on one pass against one after the other.

    PYTHONPATH=workflow_scripts python tests/benchmarks/probe_fitting.py [--frames 200000]

Codes of an untrained autoencoder, 1024 wide, and 66 classes from planted directions. One JSON line: the seconds of
both, their ratio, and the validation accuracy of both. scikit-learn gets the codes as a matrix; ours computes them.
Then lines of probes of 66, 20 and 20 classes: together against by themselves, at two widths of the latents; and, on one
core, with codes above 0 multiplied only against all of them, at two shares of such codes. Equal epochs.
"""

import argparse
import json
import tempfile
import time
from unittest import mock

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sonolens import probes
from sonolens.device import torch_threads
from sonolens.latents import LatentStore, ScaledFrames, Scaling
from sonolens.sae import codes as sae_codes
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import use_fast_exact_products

D_LATENT, N_FEATURES, N_CLASSES = 64, 1024, 66


DEVICE = torch.device("cpu")


def on_disk(x: np.ndarray, folder: str) -> tuple[LatentStore, Scaling]:
    """Frames as extraction leaves them."""
    np.save(f"{folder}/latents.npy", x)
    return LatentStore([f"{folder}/latents.npy"]), Scaling(np.zeros(x.shape[1], np.float32), 1.0)


def planted(n_frames: int, d_latent: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames, and classes that follow from noisy directions in them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_frames, d_latent)).astype(np.float32)
    directions = rng.standard_normal((d_latent, n_classes)).astype(np.float32)
    return x, (np.maximum(x, 0) @ directions + 2 * rng.gumbel(size=(len(x), n_classes))).argmax(axis=1)


def model_of(d_latent: int) -> SparseAutoencoder:
    model = SparseAutoencoder(d_latent, N_FEATURES)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def against_sklearn(n_train: int, folder: str) -> dict:
    x, classes = planted(n_train * 5 // 4, D_LATENT, N_CLASSES)
    model = model_of(D_LATENT)
    parts, (store, scaling) = np.split(np.arange(len(x)), [n_train]), on_disk(x, folder)
    train, validation = (probes.Inputs(ScaledFrames(store, part, scaling), model, DEVICE) for part in parts)
    pair = tuple(probes.Labelled.of(classes[part], N_CLASSES) for part in parts)
    started = time.perf_counter()
    (fitted,) = probes.fit(train, validation, [pair], probes.Settings(30, 1, 1024, 0.1, 0))
    ours_s = time.perf_counter() - started
    logits = probes.predict_logits(fitted.weight, fitted.bias, validation, pair[1].positions)
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(x)).f.numpy()
    started = time.perf_counter()
    reference = LogisticRegression(C=1.0, max_iter=100).fit(codes[:n_train], classes[:n_train])
    reference_s = time.perf_counter() - started
    return {
        "figure": "probe_fitting_speed",
        "n_frames": n_train,
        "seconds": round(ours_s, 2),
        "sklearn_lbfgs_seconds": round(reference_s, 2),
        "ratio": round(reference_s / ours_s, 2),
        "validation_accuracy": round(float((logits.argmax(axis=1) == pair[1].classes).mean()), 4),
        "sklearn_lbfgs_validation_accuracy": round(reference.score(codes[n_train:], classes[n_train:]), 4),
    }


def together(n_train: int, d_latent: int, folder: str, rounds: int = 3) -> dict:
    x, classes = planted(n_train, d_latent, N_CLASSES)
    store, scaling = on_disk(x, folder)
    inputs = probes.Inputs(ScaledFrames(store, np.arange(n_train), scaling), model_of(d_latent), DEVICE)
    pairs = [(probes.Labelled.of(classes % n, n),) * 2 for n in (N_CLASSES, 20, 20)]
    chosen = probes.Settings(1, 1, 1024, 0.1, 0)
    probes.fit(inputs, inputs, pairs[:1], chosen)
    ratios = []
    for _ in range(rounds):
        alone = sum(seconds(lambda pair=pair: probes.fit(inputs, inputs, [pair], chosen)) for pair in pairs)
        ratios.append(alone / seconds(lambda: probes.fit(inputs, inputs, pairs, chosen)))
    row = {"figure": "probes_on_one_pass", "d_latent": d_latent, "n_features": N_FEATURES, "n_frames": n_train}
    return row | {"ratio": round(sorted(ratios)[rounds // 2], 2), "ratios": [round(ratio, 2) for ratio in ratios]}


def active_only(n_train: int, share: float, folder: str, rounds: int = 3) -> dict:
    x, classes = planted(n_train, D_LATENT, N_CLASSES)
    store, scaling = on_disk(x, folder)
    model = model_of(D_LATENT)
    with torch.no_grad():
        model.b_enc -= model.encode(torch.from_numpy(x[:1000])).h.flatten().quantile(1 - share)
    inputs = probes.Inputs(ScaledFrames(store, np.arange(n_train), scaling), model, DEVICE)
    pairs = [(probes.Labelled.of(classes % n, n),) * 2 for n in (N_CLASSES, 20, 20)]

    def fit():
        probes.fit(inputs, inputs, pairs, probes.Settings(1, 1, 1024, 0.1, 0))

    ratios = []
    with torch_threads(1):
        for _ in range(rounds + 1):  # the first compiles
            with mock.patch.object(sae_codes, "most_active", lambda n_columns, dtype: 0.0):
                of_all = seconds(fit)
            ratios.append(of_all / seconds(fit))
    ratios = sorted(ratios[1:])
    row = {"figure": "probes_active_codes", "d_latent": D_LATENT, "n_features": N_FEATURES, "active_share": share}
    return row | {"ratio": round(ratios[rounds // 2], 2), "ratios": [round(ratio, 2) for ratio in ratios]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    use_fast_exact_products()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(against_sklearn(arguments.frames, folder)), flush=True)
        for d_latent in (64, 512):
            print(json.dumps(together(arguments.frames // 4, d_latent, folder)), flush=True)
        for share in (0.13, 0.03):
            print(json.dumps(active_only(arguments.frames // 4, share, folder)), flush=True)


if __name__ == "__main__":
    main()
