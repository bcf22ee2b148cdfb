"""Adam without torch's class is torch's Adam."""

import torch

from sonolens.adam import Adam


def parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = ((7, 5), (5,), (3, 40))
    by_rows, vector, by_columns = (torch.randn(shape, generator=generator) for shape in shapes)
    return [weight.requires_grad_() for weight in (by_rows, vector, by_columns.T)]


def moved(optimiser, weights, rates, first_step=0):
    for step, rate in enumerate(rates, first_step):
        generator = torch.Generator().manual_seed(step)
        for weight in weights:
            weight.grad = torch.empty_like(weight).copy_(torch.randn(weight.shape, generator=generator))
        if isinstance(optimiser, Adam):
            optimiser.learning_rate = rate
        else:
            optimiser.param_groups[0]["lr"] = rate
        optimiser.step()


def test_moves_as_torchs_class_does_to_the_bit():
    ours, theirs = parameters(), parameters()
    rates = [1e-3] * 5 + [3e-4] * 5
    moved(Adam(ours, 1.0), ours, rates)
    moved(torch.optim.Adam(theirs, lr=1.0, fused=True), theirs, rates)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_goes_on_from_its_state():
    whole, parts = parameters(), parameters()
    moved(Adam(whole, 1e-3), whole, [1e-3] * 6)
    first = Adam(parts, 1e-3)
    moved(first, parts, [1e-3] * 3)
    second = Adam(parts, 1e-3)
    second.load_state_dict(first.state_dict())
    moved(second, parts, [1e-3] * 3, first_step=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
