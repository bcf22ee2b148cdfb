"""The path of a flow from noise to its end, by Euler's method, one time point in memory at a time.

`n_points` times from 0 to 1 make as many states, and one step less: the 32 steps of DiffRhythm are its states X_0 to
X_31 (https://github.com/ASLP-lab/DiffRhythm, model/cfm.py). Shapes: B prompts, N frames, D = d_latent.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sonolens.generators.contract import Generator


class Point(NamedTuple):
    """A state on the way."""

    step: int
    t: float
    x: Tensor  # (B, N, D) float32
    end_estimate: Tensor  # (B, N, D): X_t + (1 − t)·v, where the path would end if it went straight on


def times(n_points: int) -> Tensor:
    """Times (n_points,) float32 from 0 to 1."""
    return torch.linspace(0, 1, n_points)


def noise(seeds: Sequence[int], n_frames: int, d_latent: int) -> Tensor:
    """X_0 of some prompts, (B, n_frames, d_latent) standard normal: each follows from its own seed alone.

    Drawn on the CPU, so that every device starts from the same.
    """
    return torch.stack(
        [torch.randn(n_frames, d_latent, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    )


@torch.no_grad()
def walk(
    generator: Generator,
    x: Tensor,
    condition: Tensor,
    n_points: int,
    change: Callable[[int, Tensor], Tensor] | None = None,
) -> Iterator[Point]:
    """Every state from the noise x (B, N, D) to the end under condition (B, d_condition).

    change: what is done to the state (B, N, D) at each time point before it goes on, if anything; what is yielded is
    the changed one. Raises ArithmeticError if a state is not finite.
    """
    at = times(n_points).tolist()
    for step, t in enumerate(at):
        if change is not None:
            x = change(step, x)
        if not torch.isfinite(x).all():
            raise ArithmeticError(f"the state at step {step} of {n_points - 1} is not finite: the weights do not fit")
        if step == n_points - 1:
            yield Point(step, t, x, x)
            return
        velocity = generator.velocity(x, t, condition)
        yield Point(step, t, x, x + (1 - t) * velocity)
        x = x + (at[step + 1] - t) * velocity


def end(
    generator: Generator,
    x: Tensor,
    condition: Tensor,
    n_points: int,
    change: Callable[[int, Tensor], Tensor] | None = None,
) -> Tensor:
    """The last state of the same path, (B, N, D)."""
    for point in walk(generator, x, condition, n_points, change):
        last = point.x
    return last
