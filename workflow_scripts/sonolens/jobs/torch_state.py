"""The state of a training as bytes, and a training that can be saved and restored.

A state is tensors, numbers, text, lists and mappings of them, generators' states included.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sonolens.adam import Adam
from sonolens.jobs.checkpoints import Checkpoints
from sonolens.jobs.resumption import Resumption


def pack(state: dict) -> bytes:
    """A state as bytes, tensors of any device among it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(packed: bytes) -> dict:
    """What `pack` was given, tensors on the CPU. Nothing is executed that the bytes may ask for."""
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)


class Training:
    """All of a training that changes from step to step, as attributes of a subclass; `done` counts its steps.

    Modules, optimisers, generators (torch's and numpy's) and tensors, in lists and mappings too, are saved by their
    state and restored in place, so that whatever else refers to them sees it; other attributes are saved as they are.
    """

    done = 0

    def state(self) -> bytes:
        """All attributes."""
        return pack({name: _state_of(value) for name, value in vars(self).items()})

    def restore(self, packed: bytes) -> None:
        """What `state` gave, for a training that was set up in the same way."""
        for name, state in unpack(packed).items():
            setattr(self, name, _restored(getattr(self, name), state))

    def resume(self, resumption: Resumption | None, n_steps: int) -> Callable[[], None]:
        """Restore it to where an attempt before this one was, if any; returns what to call behind each step.

        What is returned saves it when it is time to, and raises Interrupted if the job has to leave. Without a
        `resumption` both do nothing.
        """
        if resumption is None:
            return lambda: None
        checkpoints = Checkpoints(resumption.folder, resumption.say)
        if state := checkpoints.latest():
            self.restore(state)
            resumption.say("resumed", f"at step {self.done} of {n_steps}")
        return lambda: resumption.after(self.done, n_steps, "steps", lambda: checkpoints.save(self.done, self.state()))


_BY_STATE_DICT = torch.nn.Module | torch.optim.Optimizer | Adam
_LIVE = _BY_STATE_DICT | torch.Generator | np.random.Generator


def _state_of(value: Any) -> Any:
    if isinstance(value, _BY_STATE_DICT):
        return value.state_dict()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, list):
        return [_state_of(item) for item in value]
    if isinstance(value, dict):
        return {key: _state_of(item) for key, item in value.items()}
    return value


def _restored(value: Any, state: Any) -> Any:
    if isinstance(value, _BY_STATE_DICT):
        value.load_state_dict(state)
    elif isinstance(value, torch.Generator):
        value.set_state(state)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = state
    elif isinstance(value, torch.Tensor):
        value.copy_(state)
    elif isinstance(value, list) and value and isinstance(value[0], _LIVE):
        return [_restored(item, of_item) for item, of_item in zip(value, state, strict=True)]
    elif isinstance(value, dict) and value:
        return {key: _restored(item, state[key]) for key, item in value.items()}
    else:
        return state
    return value
