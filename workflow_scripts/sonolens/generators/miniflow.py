"""A small rectified flow on the latents of one encoder, trained by the workflow: DiffRhythm's transformer, small.

It generates an instrument or an ensemble of the train split, whichever is asked for. In training X_t = (1 − t) X_0 +
t X_1 goes from noise to an excerpt, t = sigmoid(N(0, 1)), and the velocity X_1 − X_0 is learnt by its mean square
(Esser et al. 2024, arXiv 2403.03206, section 3.1; DiffRhythm's model/cfm.py does the same).
"""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import trange

from sonolens import tables
from sonolens.codec_training import reduced_precision, schedule
from sonolens.files import replacing
from sonolens.generators.contract import Generator
from sonolens.generators.transformer import FlowTransformer, Sizes
from sonolens.jobs import torch_state
from sonolens.jobs.resumption import Resumption
from sonolens.latents import LatentStore, Scaling, clip_and_split
from sonolens.tracing.schemas import FLOW_HISTORY, PROMPT_VECTORS

D_CONDITION = 64
HEAD_WIDTH = 32
HISTORY_EVERY_STEPS = 25
# What is kept is the mean of the weights over about so many of the last steps
AVERAGED_STEPS = 100
MODULE = "miniflow"


class Excerpts:
    """Excerpts of one split's clips, each with its condition, from memory maps."""

    def __init__(
        self, latents_paths: list[str], frames_paths: list[str], manifest_paths: list[str], split: str, n_frames: int
    ):
        """Raises ValueError if no clip of the split has `n_frames` latent frames."""
        self.store = LatentStore(latents_paths)
        self.n_frames = n_frames
        frames = clip_and_split(frames_paths, manifest_paths)
        manifest = tables.read_all(manifest_paths, tables.MANIFEST).set_index("clip_id")
        of_split = np.flatnonzero(frames["split"].to_numpy() == split)
        # rows of a clip are neighbours
        clip_ids = frames["clip_id"].astype(str).to_numpy()[of_split]
        first = np.flatnonzero(np.r_[True, clip_ids[1:] != clip_ids[:-1]])[: len(of_split)]
        lengths = np.diff(np.r_[first, len(of_split)])
        is_long = lengths >= n_frames
        if not is_long.any():
            raise ValueError(
                f"no recording of the split '{split}' has {n_frames} latent frames: lower the generator's n_frames"
            )
        self.starts, self.lengths = of_split[first[is_long]], lengths[is_long]
        self.conditions = [_condition_of(manifest.loc[clip_id]) for clip_id in clip_ids[first[is_long]]]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """Latents (count, n_frames, D) uniform over the time of all clips, and the condition of each."""
        rooms = self.lengths - self.n_frames + 1
        chosen = rng.choice(len(rooms), count, p=rooms / rooms.sum())
        first = self.starts[chosen] + rng.integers(rooms[chosen])
        rows = first[:, None] + np.arange(self.n_frames)
        latents = self.store.gather(rows.ravel()).reshape(count, self.n_frames, -1)
        return latents, [self.conditions[position] for position in chosen]


def _condition_of(clip: pd.Series) -> str:
    """An instrument where it plays alone, else what kind of recording it is."""
    return clip["instrument"] if clip["kind"] == "solo" and clip["instrument"] else clip["kind"]


class _Training(torch_state.Training):
    """Weights and their average, optimisers, generators, history."""

    def __init__(self, net: FlowTransformer, seed: int):
        self.net = net
        self.average = {name: weight.detach().clone() for name, weight in net.state_dict().items()}
        self.optimisers = optimisers_of(net)
        self.rng, self.generator = np.random.default_rng([seed, 8]), torch.Generator().manual_seed(seed)
        self.done = 0
        self.rows: list[tuple] = []
        self.since: list[float] = []

    def follow(self) -> None:
        """Draw the average a step after the weights; early on it forgets faster."""
        share = 1 / min(self.done, AVERAGED_STEPS)
        for name, weight in self.net.state_dict().items():
            self.average[name].lerp_(weight, share)


def optimisers_of(net: FlowTransformer) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, AdamW for everything else, at one learning rate."""
    of_blocks = [weight for weight in net.transformer_blocks.parameters() if weight.ndim == 2]
    others = [weight for weight in net.parameters() if not any(weight is matrix for matrix in of_blocks)]
    return [
        torch.optim.Muon(of_blocks, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=1e-3, fused=True),
    ]


def sizes_of(options: dict, d_latent: int) -> Sizes:
    """The transformer of these options (see the card): DiffRhythm's without its text, which stays empty."""
    return Sizes(
        d_model=options["d_model"],
        depth=options["depth"],
        n_heads=options["d_model"] // HEAD_WIDTH,
        d_ff=2 * options["d_model"],
        d_latent=d_latent,
        d_text=D_CONDITION,
        n_text_blocks=0,
        n_tokens=1,
        max_frames=options["n_frames"],
        d_condition=D_CONDITION,
        has_duration=False,
    )


def indicators(names: list[str], conditions: list[str]) -> np.ndarray:
    """Vectors (len(conditions), D_CONDITION) float32, RMS 1, of one place each; `names` give the places."""
    vectors = np.zeros((len(conditions), D_CONDITION), np.float32)
    vectors[np.arange(len(conditions)), [names.index(name) for name in conditions]] = math.sqrt(D_CONDITION)
    return vectors


def train(
    inputs: dict, outputs: dict, options: dict, seed: int, device: str, resumption: Resumption | None = None
) -> None:
    """Train on the train split's scaled latents by a fixed number of steps.

    inputs: latents and frames (a path per shard), manifests, scaling; outputs: weights (safetensors), history
    (tracing/schemas.FLOW_HISTORY). The same seed and number of threads give the same bits, also if a `resumption` was
    needed. Raises ValueError if recordings are too short or there are too many conditions, ArithmeticError if the loss
    is not finite.
    """
    excerpts = Excerpts(inputs["latents"], inputs["frames"], inputs["manifests"], "train", options["n_frames"])
    scaling = Scaling.read(inputs["scaling"])
    names = sorted(set(excerpts.conditions))
    if len(names) > D_CONDITION:
        raise ValueError(f"{len(names)} instruments are more than the {D_CONDITION} that {MODULE} tells apart")
    torch.manual_seed(seed)  # the initial weights
    net = FlowTransformer(sizes_of(options, excerpts.store.d_latent)).to(device).train()
    now, n_steps = _Training(net, seed), options["steps"]
    after_step = now.resume(resumption, n_steps)
    for step in trange(now.done, n_steps, total=n_steps, initial=now.done, desc="training", mininterval=5):
        for group in (group for optimiser in now.optimisers for group in optimiser.param_groups):
            group["lr"] = options["learning_rate"] * schedule(step, n_steps)
        latents, conditions = excerpts.draw(options["batch_excerpts"], now.rng)
        style = indicators(names, conditions)
        style[now.rng.random(len(style)) < options["condition_dropped"]] = 0
        now.since.append(_step(now, torch.from_numpy(scaling.apply(latents)), torch.from_numpy(style), device))
        now.done += 1
        now.follow()
        if not math.isfinite(now.since[-1]):
            raise ArithmeticError(f"the loss is not finite at step {now.done}; lower the generator's learning_rate")
        if len(now.since) == HISTORY_EVERY_STEPS or now.done == n_steps:
            now.rows.append((now.done, float(np.mean(now.since))))
            now.since = []
        after_step()
    described = {"module": MODULE, "options": options, "seed": seed, "conditions": names}
    write_weights(outputs["weights"], now.average, scaling, described)
    history = pd.DataFrame(now.rows, columns=["step", "loss"])
    tables.write(history, outputs["history"], FLOW_HISTORY)


def _step(now: _Training, data: Tensor, style: Tensor, device: str) -> float:
    """One step on scaled excerpts data (B, N, D) under style (B, D_CONDITION); its loss."""
    start = torch.randn(data.shape, generator=now.generator)
    t = torch.sigmoid(torch.randn(len(data), generator=now.generator))
    data, start, t, style = (tensor.to(device) for tensor in (data, start, t, style))
    between = torch.lerp(start, data, t[:, None, None])
    # Fused attention is slower on a CPU than its parts are, once there and back, for so few frames
    with reduced_precision(device), sdpa_kernel(SDPBackend.MATH):
        velocity = _field(now.net, between, t, style)
    loss = (velocity.float() - (data - start)).square().mean()
    now.net.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(now.net.parameters(), 1.0)
    for optimiser in now.optimisers:
        optimiser.step()
    return loss.item()


def _field(net: FlowTransformer, x: Tensor, t: Tensor, style: Tensor) -> Tensor:
    """Velocity (B, N, D) at x (B, N, D), times t (B,) and style (B, D_CONDITION), without text, melody or place."""
    nothing = torch.zeros_like(t)
    tokens = torch.zeros(1, x.shape[1], dtype=torch.long, device=x.device)
    return net(x, torch.zeros_like(x), tokens, t, style, nothing, nothing)


def write_weights(path: str | Path, state: dict[str, Tensor], scaling: Scaling, described: dict) -> None:
    """Weights and the constants that scale the latents, and in the header how they came about."""
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in state.items()}
    tensors["latent_mean"] = torch.from_numpy(scaling.mean.copy())
    tensors["latent_scale"] = torch.tensor(scaling.scale, dtype=torch.float64)
    with replacing(path) as temporary:
        temporary.write_bytes(as_bytes(tensors, metadata={"training": json.dumps(described, sort_keys=True)}))


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], Scaling, dict]:
    """State dict, scaling and description of what `write_weights` wrote. Raises ValueError naming the file if not."""
    try:
        with safe_open(path, framework="pt") as stored:
            described = json.loads(stored.metadata()["training"])
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
        scaling = Scaling(state.pop("latent_mean").numpy(), float(state.pop("latent_scale")))
        names = described["conditions"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no trained generator ({error}); delete it and run again") from error
    print(f"generator: {len(names)} conditions: {', '.join(names)}")
    return state, scaling, described


class MiniFlow:
    """The trained flow; contract.Generator."""

    name = MODULE
    d_condition = D_CONDITION

    def __init__(self, net: FlowTransformer, scaling: Scaling, n_frames: int, guidance: float, device: str):
        self.net, self.scaling, self.guidance, self.device = net, scaling, guidance, device
        self.n_frames, self.d_latent = n_frames, len(scaling.mean)

    @torch.inference_mode()
    def velocity(self, x: Tensor, t: float, condition: Tensor) -> Tensor:
        """x (B, n_frames, D) float32 at time t under condition (B, D_CONDITION) -> guided velocity like x."""
        x, condition = x.to(self.device), condition.to(self.device)
        both = torch.cat([x, x]), torch.cat([condition, torch.zeros_like(condition)])
        with reduced_precision(self.device):
            found = _field(self.net, both[0], x.new_full((2 * len(x),), t), both[1]).float()
        conditional, null = found.chunk(2)
        return conditional + self.guidance * (conditional - null)

    def latents(self, x: Tensor) -> np.ndarray:
        """x (..., D) -> latents of the encoder, float32."""
        return self.scaling.invert(x.cpu().numpy())


def load(weights: list[str], options: dict, device: str) -> Generator:
    """The flow trained to the one file of `weights`; of the options only `guidance` is read."""
    state, scaling, described = read_weights(*weights)
    trained = described["options"]
    net = FlowTransformer(sizes_of(trained, len(scaling.mean)))
    net.load_state_dict(state)
    net = net.to(device).eval().requires_grad_(False)
    return MiniFlow(net, scaling, trained["n_frames"], options["guidance"], device)


def write_prompts(
    prompts_path: str | None, weights: list[str], options: dict, output_path: str | Path, device: str
) -> None:
    """Write `options["prompts"]` prompts (PROMPT_VECTORS): the conditions of the weights in turn, each a noise."""
    names = read_weights(*weights)[2]["conditions"]
    chosen = [names[position % len(names)] for position in range(options["prompts"])]
    rows = pd.DataFrame({"prompt_id": [f"{name} {i // len(names) + 1}" for i, name in enumerate(chosen)]})
    rows["text"] = chosen
    rows["seed"] = np.arange(len(chosen))
    rows["vector"] = list(indicators(names, chosen))
    tables.write(rows, output_path, PROMPT_VECTORS)
