"""Adam, ready at once."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """torch's Adam (fused, no weight decay) as a function: to the same bits as its class, whose first instance imports
    torch's compiler, a second of a job that trains for five.

    Kingma & Ba 2015, https://arxiv.org/abs/1412.6980. Memory: twice the parameters.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float):
        self.learning_rate = learning_rate
        self.parameters = list(parameters)
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.mean_squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move each parameter by its `grad`, which lies in memory as the parameter does."""
        gradients = [parameter.grad for parameter in self.parameters]
        adam(
            *(
                [_in_one_piece(tensor) for tensor in tensors]
                for tensors in (self.parameters, gradients, self.means, self.mean_squares)
            ),
            [],  # maxima, of the variant that has some
            self._steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            weight_decay=0.0,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            lr=self.learning_rate,
        )

    def state_dict(self) -> dict:
        """What changes from step to step, the rate aside."""
        return {"means": self.means, "mean_squares": self.mean_squares, "steps": self._steps}

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state`, in the same tensors."""
        for mine, its in zip(
            (*self.means, *self.mean_squares, *self._steps),
            (*state["means"], *state["mean_squares"], *state["steps"]),
            strict=True,
        ):
            mine.copy_(its)


def _in_one_piece(tensor: Tensor) -> Tensor:
    """The same numbers; a matrix that lies column after column by its columns, which torch would copy to and fro."""
    return tensor if tensor.is_contiguous() else tensor.T
