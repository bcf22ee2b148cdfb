"""Speed of SAE training against the plain autograd loop: same data, batches and initial weights, interleaved.

    PYTHONPATH=workflow_scripts python tests/benchmarks/sae_training.py [--threads 2]

One JSON line a figure: frames/s of both, their ratio (median and range over the rounds), the relative difference of the
losses after equal steps, and the share of the time that the five matrix products alone would take at the machine's
own rate for them.
"""

import argparse
import json
import statistics
import time

import torch

from sonolens.sae.gradients import ChunkedGradients
from sonolens.sae.loss import objective
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import use_fast_exact_products

SHAPES = [(64, 256), (64, 1024), (64, 4096), (64, 16384), (128, 2048), (128, 16384), (512, 8192)]
BATCH_FRAMES, LAM = 4096, 0.02


class Plain:
    """The loop that everybody writes first."""

    def __init__(self, model: SparseAutoencoder):
        self.model, self.optimiser = model, torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(self, x: torch.Tensor) -> float:
        code = self.model.encode(x)
        loss = objective(x, self.model.decode(code.f), code, LAM, "normalised").total
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


class Ours:
    """What the workflow runs."""

    def __init__(self, model: SparseAutoencoder):
        self.gradients = ChunkedGradients(model, LAM, "normalised")
        self.optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(self, x: torch.Tensor) -> float:
        loss = self.gradients(x).total
        self.optimiser.step()
        return loss.item()


def model_of(d_latent: int, n_features: int) -> SparseAutoencoder:
    model = SparseAutoencoder(d_latent, n_features)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def products_seconds(d_latent: int, n_features: int) -> float:
    """The five products of a step at the best rate this machine reaches on one of them, in blocks as they are used."""
    rows = 128
    a, b, out = torch.randn(rows, d_latent), torch.randn(d_latent, n_features), torch.empty(rows, n_features)
    best = min(seconds(lambda: torch.mm(a, b, out=out)) for _ in range(50))
    return 5 * best * BATCH_FRAMES / rows


def compare(d_latent: int, n_features: int, rounds: int, steps: int) -> dict:
    x = torch.randn(BATCH_FRAMES, d_latent, generator=torch.Generator().manual_seed(1))
    loops = {"plain": Plain(model_of(d_latent, n_features)), "ours": Ours(model_of(d_latent, n_features))}
    times = {name: [] for name in loops}
    losses = {}
    for _ in range(rounds):
        for name, loop in loops.items():
            taken = []
            for _ in range(steps):
                started = time.perf_counter()
                losses[name] = loop.step(x)
                taken.append(time.perf_counter() - started)
            times[name].append(min(taken))
    ratios = [plain / ours for plain, ours in zip(times["plain"], times["ours"], strict=True)]
    best = min(times["ours"])
    return {
        "figure": "sae_training_speed",
        "d_latent": d_latent,
        "n_features": n_features,
        "threads": torch.get_num_threads(),
        "plain_frames_per_s": round(BATCH_FRAMES / min(times["plain"])),
        "frames_per_s": round(BATCH_FRAMES / best),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_low": round(min(ratios), 2),
        "ratio_high": round(max(ratios), 2),
        "share_of_products": round(products_seconds(d_latent, n_features) / best, 2),
        "relative_loss_difference": abs(losses["ours"] - losses["plain"]) / losses["plain"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(json.dumps({"figure": "products", "said": use_fast_exact_products()}))
    for d_latent, n_features in SHAPES:
        print(json.dumps(compare(d_latent, n_features, arguments.rounds, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
