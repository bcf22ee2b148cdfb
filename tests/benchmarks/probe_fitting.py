"""Speed of a probe's fit against scikit-learn's dense lbfgs, on one set of codes, in one run.

    PYTHONPATH=workflow_scripts python tests/benchmarks/probe_fitting.py [--frames 200000]

Codes of an untrained autoencoder, 1024 wide, and 66 classes from planted directions. One JSON line: the seconds of
both, their ratio, and the validation accuracy of both. scikit-learn gets the codes as a matrix; ours computes them.
"""

import argparse
import json
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sonolens import probes
from sonolens.latents import Scaling
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import use_fast_exact_products

D_LATENT, N_FEATURES, N_CLASSES = 64, 1024, 66


class Memory:
    """Frames of a split that lie in memory, as ScaledFrames offers them."""

    def __init__(self, x: np.ndarray):
        self.x, self.d_latent, self.scaling = x, x.shape[1], Scaling(np.zeros(x.shape[1], np.float32), 1.0)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, positions) -> np.ndarray:
        return self.x[positions]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    use_fast_exact_products()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((arguments.frames * 5 // 4, D_LATENT)).astype(np.float32)
    directions = rng.standard_normal((D_LATENT, N_CLASSES)).astype(np.float32)
    classes = (np.maximum(x, 0) @ directions + 2 * rng.gumbel(size=(len(x), N_CLASSES))).argmax(axis=1)
    model = SparseAutoencoder(D_LATENT, N_FEATURES)
    model.initialise(torch.Generator().manual_seed(0))
    cut, device = arguments.frames, torch.device("cpu")
    train, validation = (
        probes.LabelledInputs.of(probes.Inputs(Memory(x[part]), model, device), classes[part])
        for part in (slice(0, cut), slice(cut, None))
    )
    started = time.perf_counter()
    fitted = probes.fit(train, validation, N_CLASSES, probes.Settings(30, 1, 1024, 0.1, 0))
    ours_s = time.perf_counter() - started
    logits = probes.predict_logits(fitted.weight, fitted.bias, validation.inputs, validation.positions)
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(x)).f.numpy()
    started = time.perf_counter()
    reference = LogisticRegression(C=1.0, max_iter=100).fit(codes[:cut], classes[:cut])
    reference_s = time.perf_counter() - started
    print(
        json.dumps(
            {
                "figure": "probe_fitting_speed",
                "n_frames": cut,
                "seconds": round(ours_s, 2),
                "sklearn_lbfgs_seconds": round(reference_s, 2),
                "ratio": round(reference_s / ours_s, 2),
                "validation_accuracy": round(float((logits.argmax(axis=1) == validation.classes).mean()), 4),
                "sklearn_lbfgs_validation_accuracy": round(reference.score(codes[cut:], classes[cut:]), 4),
            }
        )
    )


if __name__ == "__main__":
    main()
