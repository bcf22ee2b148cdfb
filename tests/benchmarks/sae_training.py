"""Speed, result and memory of SAE training against the plain autograd loop and the public trainers.

    PYTHONPATH=workflow_scripts python tests/benchmarks/sae_training.py [--threads 2] [--only 64x1024] [--converge]

One JSON line a figure. Every trainer gets the same frames in the same batches and begins with the same weights, those
that an autoencoder begins with ("start") and those after TRAINED_STEPS steps ("trained": few codes are above 0); they
take turns in one process, and a ratio is of two that ran next to each other. sae-lens, dictionary-learning and
overcomplete take part where they are installed (into an environment of their own: they bring much along). Their
models are those that their users train: ReLU and L1 on the code, without RMSNorm, which is less work; so of the losses
only those of the plain loop can be compared with ours, of all others explained variance and L0 on held-out frames.

  products          how this machine multiplies, its peak in fp32 and bf16 on square matrices
  sae_training      a trainer at a size: frames/s, ratio to the plain loop (median and range of the rounds), share of
                    the peak that five products would take, share of the codes above 0; from the start also held-out
                    loss, explained variance and L0 after equal steps
  sae_training_memory   megabytes that a trainer adds to its process at its peak
  batches           shuffled frames from disk, of a set that stays in memory and of one that is read pool by pool
  sae_convergence   --converge: ours and the plain loop to the end of a schedule, three seeds each; how many times as
                    fast all steps of a seed were, some of each in turn
"""

import argparse
import contextlib
import copy
import dataclasses
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from sonolens import shuffling
from sonolens.device import torch_threads
from sonolens.latents import LatentStore, RowRuns, ScaledFrames, Scaling
from sonolens.sae.gradients import ChunkedGradients
from sonolens.sae.loss import objective
from sonolens.sae.model import SparseAutoencoder
from sonolens.sae.products import products_for_training
from sonolens.sae.training import Settings, _step, _Training

SHAPES = [(64, 256), (64, 1024), (64, 4096), (64, 16384), (128, 2048), (128, 16384), (512, 8192)]
BATCH_FRAMES, LAM, RATE = 4096, 0.02, 1e-3
TRAINED_STEPS, TRAINED_BATCH_FRAMES = 1000, 1024
TURN_STEPS = 50  # of one trainer before the other: idle threads of the plain loop spin for some milliseconds
CPU = torch.device("cpu")


def frames(d_latent: int, n_frames: int, seed: int) -> Tensor:
    """Sums of eight out of 4 d_latent directions, with strengths above 0 and a little noise; RMS 1."""
    directions = torch.randn(4 * d_latent, d_latent, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(n_frames, d_latent, generator=generator)
    for _ in range(8):
        which = torch.randint(len(directions), (n_frames,), generator=generator)
        x += torch.rand(n_frames, 1, generator=generator) * directions[which]
    return x / x.square().mean().sqrt()


class Plain:
    """The loop that everybody writes first."""

    def __init__(self, model: SparseAutoencoder, n_steps: int):
        self.model, self.optimiser = model, torch.optim.Adam(model.parameters(), lr=RATE)

    def step(self, x: Tensor) -> None:
        code = self.model.encode(x)
        loss = objective(x, self.model.decode(code.f), code, LAM, "normalised").total
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.model.encode(x)
        return code.f, self.model.decode(code.f)


class Ours:
    """What the workflow runs."""

    precision = "fp32"

    def __init__(self, model: SparseAutoencoder, n_steps: int):
        settings = {"lam": LAM, "l1_on": "normalised", "batch_frames": BATCH_FRAMES, "learning_rate": RATE, "seed": 0}
        settings |= {"warmup_share": 0.0, "decay_share": 0.0, "history_rows": 1, "precision": self.precision}
        self.settings = Settings(n_features=model.n_features, steps=n_steps, **settings)
        self.products = products_for_training(self.precision, CPU)
        self.flags = torch.backends.mkldnn.matmul.fp32_precision
        self.now = _Training(model.d_latent, self.settings, CPU)
        self.now.model.load_state_dict(model.state_dict())
        self.gradients = ChunkedGradients(self.now.model, "normalised", self.now.n_active, self.products.dtype)

    def step(self, x: Tensor) -> None:
        torch.backends.mkldnn.matmul.fp32_precision = self.flags
        with self.products.in_use(), torch_threads(1):
            _step(self.now, x, self.gradients, self.settings)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.now.model.encode(x)
        return code.f, self.now.model.decode(code.f)


class OursBf16(Ours):
    """The same with products in bf16."""

    precision = "bf16"


class SaeLens:
    """SAETrainer.step, as its `fit` calls it."""

    def __init__(self, model: SparseAutoencoder, n_steps: int):
        from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        shape = {"d_in": model.d_latent, "d_sae": model.n_features}
        self.sae = StandardTrainingSAE(StandardTrainingSAEConfig(**shape, l1_coefficient=LAM, device="cpu"))
        with torch.no_grad():
            self.sae.W_enc.copy_(model.W_enc.T)
            self.sae.W_dec.copy_(model.W_dec.T)
            self.sae.b_enc.zero_()
            self.sae.b_dec.zero_()
        given = {"total_training_samples": n_steps * BATCH_FRAMES, "train_batch_size_samples": BATCH_FRAMES}
        self.trainer = SAETrainer(SAETrainerConfig(**given, lr=RATE, lr_end=RATE, device="cpu"), self.sae, iter(()))

    def step(self, x: Tensor) -> None:
        self.trainer.step(x)
        self.trainer.n_training_steps += 1

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.sae.encode(x)
        return code, self.sae.decode(code)


class DictionaryLearning:
    """StandardTrainer.update."""

    def __init__(self, model: SparseAutoencoder, n_steps: int):
        from dictionary_learning.trainers.standard import StandardTrainer

        given = {"activation_dim": model.d_latent, "dict_size": model.n_features, "layer": 0, "lm_name": "none"}
        schedule = {"warmup_steps": 0, "sparsity_warmup_steps": None, "device": "cpu"}
        self.trainer = StandardTrainer(steps=n_steps, **given, lr=RATE, l1_penalty=LAM, **schedule)
        with torch.no_grad():
            self.trainer.ae.encoder.weight.copy_(model.W_enc)
            self.trainer.ae.encoder.bias.zero_()
            self.trainer.ae.decoder.weight.copy_(model.W_dec / model.W_dec.norm(dim=0))  # it keeps them at 1
        self.done = 0

    def step(self, x: Tensor) -> None:
        self.trainer.update(self.done, x)
        self.done += 1

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.trainer.ae.encode(x)
        return code, self.trainer.ae.decode(code)


def without_pictures() -> None:
    """Make overcomplete.sae importable by itself: the package as a whole wants a torchvision and an old matplotlib."""
    if "overcomplete" not in sys.modules:
        package = types.ModuleType("overcomplete")
        package.__path__ = importlib.util.find_spec("overcomplete").submodule_search_locations
        sys.modules["overcomplete"] = package


class Overcomplete:
    """train_sae on one batch."""

    def __init__(self, model: SparseAutoencoder, n_steps: int):
        without_pictures()
        from overcomplete.sae import SAE

        self.sae = SAE(model.d_latent, model.n_features, device="cpu")
        with torch.no_grad():
            next(m for m in self.sae.encoder.modules() if isinstance(m, nn.Linear)).weight.copy_(model.W_enc)
        self.optimiser = torch.optim.Adam(self.sae.parameters(), lr=RATE)

    def step(self, x: Tensor) -> None:
        from overcomplete.sae import train_sae

        train_sae(self.sae, [x], self.loss, self.optimiser, nb_epochs=1, monitoring=0)

    @staticmethod
    def loss(x, x_hat, pre_codes, codes, dictionary):
        return (x - x_hat).square().sum(dim=-1).mean() + LAM * codes.abs().sum(dim=-1).mean()

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.sae.eval()
        _, code, decoded = self.sae(x)
        return code, decoded


TRAINERS = {"plain": Plain, "ours": Ours, "ours, bf16": OursBf16}
PEERS = {
    "sae-lens": ("sae_lens", SaeLens),
    "dictionary-learning": ("dictionary_learning", DictionaryLearning),
    "overcomplete": ("overcomplete", Overcomplete),
}
TRAINERS |= {name: kind for name, (package, kind) in PEERS.items() if importlib.util.find_spec(package)}


def model_of(d_latent: int, n_features: int, seed: int = 0) -> SparseAutoencoder:
    model = SparseAutoencoder(d_latent, n_features)
    model.initialise(torch.Generator().manual_seed(seed))
    return model


def seconds(work: Callable[..., object], *given) -> float:
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started


def peak_flops(dtype: torch.dtype) -> float:
    """Of square matrices, the best of some."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = min(seconds(lambda: a @ b) for _ in range(20))
    return 2 * 2048**3 / best


def peaks_flops() -> dict[str, float]:
    """In fp32 of the faster of torch's two libraries: torch takes one, and the trainers here the other on some."""
    default, rates = torch.backends.mkldnn.matmul.fp32_precision, [peak_flops(torch.float32)]
    products_for_training("fp32", CPU)  # chooses
    rates.append(peak_flops(torch.float32))
    torch.backends.mkldnn.matmul.fp32_precision = default
    return {"fp32": max(rates), "bf16": peak_flops(torch.bfloat16)}


def trained_model(d_latent: int, n_features: int) -> SparseAutoencoder:
    trainer = Ours(model_of(d_latent, n_features), TRAINED_STEPS + 1)
    pool = frames(d_latent, 64 * TRAINED_BATCH_FRAMES, 3).split(TRAINED_BATCH_FRAMES)
    for step in range(TRAINED_STEPS):
        trainer.step(pool[step % len(pool)])
    return trainer.now.model


@torch.no_grad()
def active_share(trainer, x: Tensor) -> float:
    return round(float((trainer.codes(x)[0] > 0).float().mean()), 4)


@torch.no_grad()
def held_out(trainer, x: Tensor) -> dict:
    code, decoded = trainer.codes(x)
    error = (x - decoded).square().sum(dim=1).mean()
    return {
        "loss": float(error + LAM * code.sum(dim=1).mean()),
        "explained_variance": round(float(1 - error / (x - x.mean(dim=0)).square().sum(dim=1).mean()), 4),
        "l0": round(float((code > 0).sum(dim=1).float().mean()), 1),
    }


def compare(model: SparseAutoencoder, state: str, rounds: int, steps: int, peaks: dict[str, float]) -> list[dict]:
    """From the weights of `model`, trainers in turn, `steps` steps a round after one to warm up; the best step of each
    round counts.
    """
    d_latent, n_features = model.d_latent, model.n_features
    batches = frames(d_latent, (rounds * steps + 1) * BATCH_FRAMES, 1).split(BATCH_FRAMES)
    default = torch.backends.mkldnn.matmul.fp32_precision
    trainers = {}
    for name, kind in TRAINERS.items():
        with contextlib.redirect_stdout(io.StringIO()):
            trainers[name] = kind(copy.deepcopy(model), len(batches))
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(rounds + 1):
        mine = batches[:1] if number == 0 else batches[1 + (number - 1) * steps :][:steps]
        for name, trainer in trainers.items():
            torch.backends.mkldnn.matmul.fp32_precision = default
            taken = [seconds(lambda x=x, trainer=trainer: trainer.step(x)) for x in mine]
            if number:
                times[name].append(min(taken))
    test = frames(d_latent, BATCH_FRAMES, 2)
    rows = []
    for name, trainer in trainers.items():
        ratios = [plain / own for plain, own in zip(times["plain"], times[name], strict=True)]
        best = min(times[name])
        rows.append(
            {
                "figure": "sae_training",
                "trainer": name,
                "d_latent": d_latent,
                "n_features": n_features,
                "state": state,
                "active_share": active_share(trainer, test),
                "threads": torch.get_num_threads(),
                "frames_per_s": round(BATCH_FRAMES / best),
                "ratio_to_plain": round(statistics.median(ratios), 2),
                "ratio_low": round(min(ratios), 2),
                "ratio_high": round(max(ratios), 2),
                "share_of_peak": round(10 * BATCH_FRAMES * d_latent * n_features / best / peaks["fp32"], 3),
                "n_steps": rounds * steps + 1,
            }
            | ({"held_out": held_out(trainer, test)} if state == "start" else {})
        )
    return rows


def resident_mb(which: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1e3


def added_memory(name: str, d_latent: int, n_features: int) -> dict:
    """In a process of its own: what a trainer and three of its steps add at their peak."""
    x = frames(d_latent, BATCH_FRAMES, 1)
    warm = Ours(model_of(8, 16), 2) if name.startswith("ours") else TRAINERS[name](model_of(8, 16), 2)
    warm.step(frames(8, BATCH_FRAMES, 1))
    before = resident_mb("VmRSS")
    trainer = TRAINERS[name](model_of(d_latent, n_features), 4)
    for _ in range(3):
        trainer.step(x)
    return {
        "figure": "sae_training_memory",
        "trainer": name,
        "d_latent": d_latent,
        "n_features": n_features,
        "megabytes": round(resident_mb("VmHWM") - before),
        "weights_megabytes": round(8 * d_latent * n_features / 1e6),
    }


def take_steps(trainer, batches: list[Tensor], rates: list[float]) -> None:
    for batch, rate in zip(batches, rates, strict=True):
        if isinstance(trainer, Plain):
            trainer.optimiser.param_groups[0]["lr"] = rate
        else:
            trainer.settings = dataclasses.replace(trainer.settings, learning_rate=rate)
        trainer.step(batch)


def converge(d_latent: int, n_features: int, seeds: int, steps: int) -> list[dict]:
    """Held-out figures after a schedule that ends, how far apart seeds are, and how fast all of it was."""
    x, test = frames(d_latent, 100_000, 1), frames(d_latent, BATCH_FRAMES, 2)
    names, default = ("plain", "ours", "ours, bf16"), torch.backends.mkldnn.matmul.fp32_precision
    results: dict[str, list[dict]] = {name: [] for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(seeds):
        trainers = {name: TRAINERS[name](model_of(d_latent, n_features, seed), steps) for name in names}
        generator, of_seed = torch.Generator().manual_seed(seed), dict.fromkeys(names, 0.0)
        for first in range(0, steps, TURN_STEPS):
            batches = [x[torch.randint(len(x), (1024,), generator=generator)] for _ in range(TURN_STEPS)]
            for name, trainer in trainers.items():
                torch.backends.mkldnn.matmul.fp32_precision = default
                rates = [RATE * min(1.0, 3 * (steps - step) / steps) for step in range(first, first + TURN_STEPS)]
                of_seed[name] += seconds(take_steps, trainer, batches, rates)
        for name, trainer in trainers.items():
            results[name].append(held_out(trainer, test))
            taken[name].append(of_seed[name])
    found = []
    for name in names:
        ratios = [plain / own for plain, own in zip(taken["plain"], taken[name], strict=True)]
        row = {"figure": "sae_convergence", "trainer": name, "d_latent": d_latent, "n_features": n_features}
        row |= {"n_steps": steps, "n_seeds": seeds, "seconds": round(statistics.median(taken[name]), 1)}
        row |= {"ratio_to_plain": round(statistics.median(ratios), 2)}
        row |= {"ratio_low": round(min(ratios), 2), "ratio_high": round(max(ratios), 2)}
        for key in ("loss", "explained_variance", "l0"):
            values = [result[key] for result in results[name]]
            row |= {key: round(float(np.mean(values)), 4), f"{key}_spread": round(float(np.ptp(values)), 4)}
        found.append(row)
    return found


def batches_from_disk(d_latent: int) -> list[dict]:
    """How fast batches come, while nothing is trained on them: half-precision frames in a file."""
    found, n_frames = [], 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/latents.npy"
        stored = np.lib.format.open_memmap(path, "w+", np.float16, (n_frames, d_latent))
        for start in range(0, n_frames, 50_000):
            stored[start : start + 50_000] = np.random.default_rng(start).standard_normal((50_000, d_latent))
        del stored
        whole = RowRuns(np.array([0]), np.array([n_frames]))
        scaled = ScaledFrames(LatentStore([path]), whole, Scaling(np.zeros(d_latent, np.float32), 1.0))
        for name, held_bytes in (("resident", shuffling.RESIDENT_BYTES), ("by pools", 64 << 20)):
            with mock.patch.multiple(shuffling, RESIDENT_BYTES=held_bytes, POOL_BYTES=held_bytes // 2):
                shuffled = shuffling.ShuffledFrames(scaled, BATCH_FRAMES, 0, 0, CPU)
                taken = seconds(lambda made=shuffled: [batch.x.sum() for batch in made.epoch(0)])
            row = {"figure": "batches", "set": name, "d_latent": d_latent, "frames_per_s": round(n_frames / taken)}
            found.append(row)
    return found


def say(row: dict) -> None:
    print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", help="one size, such as 64x1024")
    parser.add_argument("--converge", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shapes = [tuple(map(int, arguments.only.split("x")))] if arguments.only else SHAPES
    if arguments.memory_of:
        say(added_memory(arguments.memory_of, *shapes[0]))
        return
    if arguments.converge:
        for row in converge(*(shapes[0] if arguments.only else (64, 1024)), 3, 1500):
            say(row)
        return
    peaks = peaks_flops()
    modes = {precision: products_for_training(precision, CPU)._asdict() for precision in peaks}
    say(
        {"figure": "products", "modes": modes}
        | {f"peak_gflops_{name}": round(flops / 1e9) for name, flops in peaks.items()}
    )
    default = torch.backends.mkldnn.matmul.fp32_precision
    for shape in shapes:
        for state, made in (("start", model_of), ("trained", trained_model)):
            model = made(*shape)
            torch.backends.mkldnn.matmul.fp32_precision = default
            for row in compare(model, state, arguments.rounds, arguments.steps, peaks):
                say(row)
    for d_latent in sorted({d_latent for d_latent, _ in shapes}):
        for row in batches_from_disk(d_latent):
            say(row)
    for shape in shapes[:4]:
        for name in TRAINERS:
            own = [sys.executable, __file__, "--memory-of", name, "--only", "x".join(map(str, shape))]
            subprocess.run([*own, "--threads", str(arguments.threads)], check=True)


if __name__ == "__main__":
    main()
