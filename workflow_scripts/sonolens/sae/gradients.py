"""The objective's value and gradient without autograd, in chunks of frames that stay in the processor's cache.

`model.py` and `loss.py` are the definition; this is the same function with its derivative worked out by hand, and
tests hold the two together. Shapes: B frames of a batch, b of a chunk, D = d_latent, F = n_features.

With h = ReLU(W_enc x + b_enc), r = 1/sqrt(mean(h²) + eps) (one number a frame), f = r h, x̂ = W_dec f + b_dec and
L = (1/B) Σ_frames ‖x̂ − x‖² + λ‖f‖₁, write e = (2/B)(x̂ − x). Then

    ∂L/∂W_dec = Σ e fᵀ = Σ (r e) hᵀ         ∂L/∂b_dec = Σ e
    g = ∂L/∂f = W_decᵀ e + λ/B              on active features; the others are cut off below
    ∂L/∂h = r (g − f (f·g)/F)               since ∂f_i/∂h_j = r δ_ij − r³ h_i h_j / F
    f·g = (x̂ − b_dec)·e + (λ/B)‖f‖₁         D products instead of F
    ∂L/∂W_enc = Σ 1[h > 0] ∂L/∂h xᵀ         ∂L/∂b_enc = Σ 1[h > 0] ∂L/∂h

If the L1 term is of h, f·g loses its second part and λ/B is added to ∂L/∂h instead. f itself is never formed: r scales
the small matrices x̂, e and x. Five matrix products remain, and ∂L/∂x, which nobody needs, is not among them.

Why it is fast: the three hidden-size tensors of autograd (h, f, their gradients), (B, F), stream through main memory
a dozen times a step and are allocated anew each time. Here two buffers of (b, F) are kept and stay in cache, and what
lies between the products is one pass before and one after (`elementwise.py`). On several cores each takes every n-th
chunk, with buffers and sums of its own, since a product of so few rows is not worth sharing.

Products in bf16: weights, sums and whatever is of the width of a frame stay in fp32; h, g and the copies of the weights
that are multiplied are bf16, and so are a chunk's products before they are added up.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from sonolens.sae.blocks import chunk_frames
from sonolens.sae.elementwise import Objective, RowTerms, frame_terms, relu_with_sums, where_active
from sonolens.sae.loss import Loss
from sonolens.sae.model import SparseAutoencoder

# Frames of a batch in which active features are counted: a sample, which costs next to nothing
COUNTED_FRAMES = 128


class ChunkedGradients:
    """Accumulates loss and gradients of one model over the chunks of a batch; buffers are kept between batches.

    In how many frames each feature is active, `n_active` (F,), is counted in passing, on the first COUNTED_FRAMES of
    each batch. Memory: for each thread two chunks of codes and the gradient of each weight, and that gradient once
    more; in bf16 half as much again.

    There are as many threads as torch has when this is made. torch itself should have one while they work: its own
    threads go on spinning for a while after they were needed, on the cores that these want (`device.torch_threads`).
    """

    def __init__(self, model: SparseAutoencoder, l1_on: str, n_active: Tensor, dtype: torch.dtype | None = None):
        """n_active (F,) int64 is counted up; `dtype` of the large matrices multiplied, that of the model by default."""
        self.model, self.l1_on, self.n_active = model, l1_on, n_active
        self.dtype = dtype or model.W_enc.dtype
        self.chunk_frames = chunk_frames(model.d_latent, model.n_features, model.W_enc.new_empty(0, dtype=self.dtype))
        n_threads = 1 if model.W_enc.is_cuda else torch.get_num_threads()
        self._workers = [_Worker(model, self.chunk_frames, self.dtype) for _ in range(n_threads)]
        # A thread of its own each, in which torch does not share its work out again
        self._pool = ThreadPoolExecutor(n_threads, "gradients", initializer=partial(torch.set_num_threads, 1))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def __call__(self, x: Tensor, lam: float) -> Loss:
        """Set every parameter's `grad` for the batch x (B, D); the loss, as `objective` defines it."""
        sums = self._accumulated(x, Objective(lam / len(x), 2 / len(x), self.l1_on == "normalised"))
        model, total = self.model, self._workers[0]
        model.W_enc.grad.copy_(total.encoder[:-1].T)
        model.b_enc.grad.copy_(total.encoder[-1])
        model.W_dec.grad.copy_(total.decoder)
        model.b_dec.grad.copy_(total.b_dec)
        self.n_active += total.n_active
        mse, l1 = sums / len(x)
        return Loss(mse + lam * l1, mse, l1)

    def _accumulated(self, x: Tensor, given: Objective) -> Tensor:
        """Let the workers sum the gradients of x (B, D), at last all in the first; returns what `accumulate` does."""
        weights, chunks = _Weights.of(self.model, self.dtype), x.split(self.chunk_frames)
        first, *others = self._workers[: len(chunks)]
        if not others:
            return first.accumulate(chunks, weights, given)
        running = [
            self._pool.submit(worker.accumulate, chunks[number :: len(others) + 1], weights, given)
            for number, worker in enumerate((first, *others))
        ]
        sums = torch.stack([share.result() for share in running]).sum(dim=0)
        for other in others:
            first.add(other)
        return sums


class _Weights(NamedTuple):
    """As they are multiplied, and added."""

    W_enc_t: Tensor  # (D, F)
    W_dec: Tensor  # (D, F)
    b_enc: Tensor  # (F,)
    b_dec: Tensor  # (D,)

    @staticmethod
    def of(model: SparseAutoencoder, dtype: torch.dtype) -> "_Weights":
        W_enc, W_dec, b_enc, b_dec = (w.detach() for w in (model.W_enc, model.W_dec, model.b_enc, model.b_dec))
        return _Weights(W_enc.T.to(dtype), W_dec.to(dtype), b_enc, b_dec)


class _Worker:
    """Buffers of a chunk, and the sums of the gradients of some."""

    def __init__(self, model: SparseAutoencoder, n_frames: int, dtype: torch.dtype):
        weight = model.W_enc
        self.model, self.dtype = model, dtype
        self._hidden = weight.new_empty(n_frames, model.n_features, dtype=dtype)
        self._gradient = torch.empty_like(self._hidden)
        self._decoded = weight.new_empty(n_frames, model.d_latent, dtype=dtype)
        self._terms = RowTerms.empty(n_frames, model.d_latent, weight.detach())
        # [x r, r]ᵀ g gives both gradients of the encoder in one product, and in the layout in which it is fastest
        self.encoder = weight.new_zeros(model.d_latent + 1, model.n_features)
        self.decoder, self.b_dec = torch.zeros_like(model.W_dec), torch.zeros_like(model.b_dec)
        self.n_active = torch.zeros(0)

    @torch.no_grad()
    def accumulate(self, chunks: tuple[Tensor, ...], weights: _Weights, given: Objective) -> Tensor:
        """Sum the gradients of `chunks` anew; the sums over their frames of ‖x − x̂‖² and ‖·‖₁, (2,)."""
        for total in (self.encoder, self.decoder, self.b_dec):
            total.zero_()
        square_total, l1_total = 0.0, 0.0  # numbers, or tensors on a GPU, which nothing waits for here
        for number, chunk in enumerate(chunks):
            square_sum, l1_sum = self._add_chunk(chunk, weights, given)
            square_total, l1_total = square_total + square_sum, l1_total + l1_sum
            if number == 0:
                self.n_active = (self._hidden[: min(len(chunk), COUNTED_FRAMES)] > 0).sum(dim=0)
        like = {"dtype": self.b_dec.dtype, "device": self.b_dec.device}
        return torch.stack([torch.as_tensor(total, **like) for total in (square_total, l1_total)])

    def add(self, other: "_Worker") -> None:
        """What another has summed."""
        self.encoder += other.encoder
        self.decoder += other.decoder
        self.b_dec += other.b_dec

    def _add_chunk(self, x: Tensor, weights: _Weights, given: Objective) -> tuple[float | Tensor, float | Tensor]:
        """Add the gradient of a chunk x (b, D); the sums over its frames of ‖x − x̂‖² and ‖·‖₁."""
        n_frames, n_features = len(x), self.model.n_features
        h, g, decoded = self._hidden[:n_frames], self._gradient[:n_frames], self._decoded[:n_frames]
        terms = self._terms.first(n_frames)
        torch.mm(x.to(self.dtype), weights.W_enc_t, out=h)
        relu_with_sums(h, weights.b_enc, terms)
        torch.mm(h, weights.W_dec.T, out=decoded)
        sums = frame_terms(decoded.to(x.dtype), x, weights.b_dec, self.b_dec, terms, n_features, given)
        _add_product(self.decoder, terms.scaled_residual.to(self.dtype).T, h)
        torch.mm(terms.residual.to(self.dtype), weights.W_dec, out=g)
        where_active(g, h, terms)
        _add_product(self.encoder, terms.scaled_frame.to(self.dtype).T, g)
        return sums


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a b, in one call where their dtypes agree."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
