"""Training of the mini codecs, by a fixed number of steps."""

import contextlib
import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from sonolens.encoders.spectrogram_codec import HOP, SAMPLE_RATE_HZ, SpectrogramNet, compress, expand, magnitudes
from sonolens.jobs import torch_state
from sonolens.jobs.resumption import Resumption

WARM_UP_STEPS = 50
HISTORY_EVERY_STEPS = 25


class _Training(torch_state.Training):
    """Weights, optimisers, generators, history."""

    def __init__(self, net: SpectrogramNet, seed: int):
        self.net = net
        self.optimisers = optimisers_of(net)
        self.rng, self.generator = np.random.default_rng([seed, 0]), torch.Generator().manual_seed(seed)
        self.done = 0
        self.rows: list[tuple] = []
        self.since: list[list[float]] = []


def train_net(
    net: SpectrogramNet,
    audio: list[np.ndarray],
    options: dict,
    seed: int,
    device: str,
    resumption: Resumption | None = None,
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Train on random excerpts of audio, a list of (n_samples,) float32 at 16 kHz, full scale 1.

    Returns the state dict and a history (tables.CODEC_HISTORY). The same seed and number of threads give the same
    bits, also if a `resumption` was needed. Options: steps, batch_clips, excerpt_seconds, learning_rate.
    """
    net = net.to(device).train()
    now, n_steps = _Training(net, seed), options["steps"]
    after_step = now.resume(resumption, n_steps)
    n_samples = round(options["excerpt_seconds"] * SAMPLE_RATE_HZ / HOP) * HOP
    for step in tqdm(range(now.done, n_steps), total=n_steps, initial=now.done, desc="training", mininterval=5):
        for group in (group for optimiser in now.optimisers for group in optimiser.param_groups):
            group["lr"] = options["learning_rate"] * schedule(step, n_steps)
        batch = torch.from_numpy(excerpts(audio, options["batch_clips"], n_samples, now.rng)).to(device)
        now.since.append(_step(now, compress(magnitudes(batch)), device))
        now.done += 1
        if not math.isfinite(now.since[-1][0]):
            raise ArithmeticError(f"the loss is not finite at step {now.done}; lower the encoder's learning_rate")
        if len(now.since) == HISTORY_EVERY_STEPS or now.done == n_steps:
            now.rows.append((now.done, *np.mean(now.since, axis=0).tolist()))
            now.since = []
        after_step()
    return net.state_dict(), pd.DataFrame(now.rows, columns=["step", "loss", "reconstruction", "bottleneck"])


def _step(now: _Training, target: Tensor, device: str) -> list[float]:
    """One step on compressed magnitudes (B, T, bins); its loss, the spectral loss and the bottleneck's."""
    net, generator = now.net, now.generator
    with reduced_precision(device):
        z = net.encode(target)
    z = z.float()
    if now.done == 0:
        net.bottleneck.start(z, generator)
    bottlenecked = net.bottleneck(z, generator)
    with reduced_precision(device):
        decoded = net.decode(bottlenecked.latents)
    reconstruction = spectral_loss(decoded.float(), target)
    loss = reconstruction + bottlenecked.penalty
    net.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    for optimiser in now.optimisers:
        optimiser.step()
    net.bottleneck.learn(z, bottlenecked.codes, generator)
    return [loss.item(), reconstruction.item(), bottlenecked.unweighted.item()]


def optimisers_of(net: SpectrogramNet) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for everything else, at one learning rate.

    Short trainings gain most: on the demo corpus 300 steps end at a spectral loss of 0.89, 400 of AdamW alone at 1.27.
    """
    of_blocks = [matrix for block in net.blocks() for matrix in (block.widen.weight, block.narrow.weight)]
    others = [parameter for parameter in net.parameters() if not any(parameter is matrix for matrix in of_blocks)]
    return [
        torch.optim.Muon(of_blocks, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=1e-3, fused=True),
    ]


def excerpts(audio: list[np.ndarray], count: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Random excerpts (count, n_samples) float32, uniform over the time of all recordings; zeros after short ones."""
    lengths = np.array([len(recording) for recording in audio])
    batch = np.zeros((count, n_samples), np.float32)
    for row, index in zip(batch, rng.choice(len(audio), count, p=lengths / lengths.sum()), strict=True):
        start = rng.integers(max(lengths[index] - n_samples, 0) + 1)
        excerpt = audio[index][start : start + n_samples]
        row[: len(excerpt)] = excerpt
    return batch


def spectral_loss(decoded: Tensor, target: Tensor) -> Tensor:
    """L1 of compressed magnitudes (B, T, bins) plus spectral convergence, ‖m − m̂‖ / ‖m‖ of each excerpt."""
    magnitude, magnitude_decoded = expand(target), expand(decoded.clamp_max(8.0))
    error = (magnitude - magnitude_decoded).square().sum(dim=(1, 2)).add(1e-8).sqrt()
    convergence = error / magnitude.square().sum(dim=(1, 2)).sqrt().clamp_min(1.0)
    return (decoded - target).abs().mean() + convergence.mean()


def schedule(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear warm-up, then half a cosine down to nought."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * 0.5 * (1 + math.cos(math.pi * step / n_steps))


def reduced_precision(device: str) -> contextlib.AbstractContextManager:
    """Matrix products in bfloat16 where the processor has them in hardware, else float32 as always."""
    kind = torch.device(device).type
    has_bfloat16 = torch.cuda.is_bf16_supported() if kind == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=has_bfloat16)
