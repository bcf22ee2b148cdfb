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
lies between the products is one pass before and one after (`elementwise.py`). Where few codes are above 0, as training
makes them, only these are multiplied (`sparse_products.py`); each chunk is counted for itself, and the gradients of
several are added up together. On several cores each takes a part of the batch, with buffers and sums of its own, since
a product of so few rows is not worth sharing.

Products in bf16: weights, sums and whatever is of the width of a frame stay in fp32; h, g and the copies of the weights
that are multiplied are bf16, and so are a chunk's products before they are added up. Where only codes above 0 are
multiplied, nothing but h is rounded.
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
from sonolens.sae.sparse_products import ActiveCodesOfTraining, most_active

# Frames of a batch in which active features are counted: a sample, which costs next to nothing
COUNTED_FRAMES = 128


class ChunkedGradients:
    """Accumulates loss and gradients of one model over the chunks of a batch; buffers are kept between batches.

    In how many frames each feature is active, `n_active` (F,), is counted in passing, on the first COUNTED_FRAMES of
    each batch. Memory: for each thread three chunks of codes and the gradient of each weight, which are the first
    thread's, and of the frames that are added up together three times FRAMES_BYTES; in bf16 also a copy of the weights.

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
        # The first works in the caller's thread, each other in its own, where torch does not share its work out again
        self._pool = ThreadPoolExecutor(max(n_threads - 1, 1), "gradients", partial(torch.set_num_threads, 1))
        total = self._workers[0].total
        model.W_enc.grad, model.b_enc.grad, model.b_dec.grad = total.W_enc, total.b_enc, total.b_dec
        model.W_dec.grad = total.W_dec_t.T

    @torch.no_grad()
    def __call__(self, x: Tensor, lam: float) -> Loss:
        """Set every parameter's `grad` for the batch x (B, D); the loss, as `objective` defines it."""
        sums = self._accumulated(x, Objective(lam / len(x), 2 / len(x), self.l1_on == "normalised"))
        self.n_active += self._workers[0].n_active
        mse, l1 = sums / len(x)
        return Loss(mse + lam * l1, mse, l1)

    def _even_chunk_frames(self, n_frames: int) -> int:
        """Of a batch: at most `chunk_frames`, and so many that every worker has as much to do."""
        n_rounds = -(-n_frames // (self.chunk_frames * len(self._workers)))
        even = -(-n_frames // (n_rounds * len(self._workers)))
        return min(self.chunk_frames, max(even, COUNTED_FRAMES))

    def _accumulated(self, x: Tensor, given: Objective) -> Tensor:
        """Let the workers sum the gradients of x (B, D), at last all in the first; returns what `accumulate` does."""
        model = self.model
        weights = _Weights(*(weight.detach() for weight in (model.W_enc, model.b_enc, model.W_dec.T, model.b_dec)))
        multiplied = weights.rounded_to(self.dtype)
        chunk_frames = self._even_chunk_frames(len(x))
        n_chunks = -(-len(x) // chunk_frames)
        shares = x.split(chunk_frames * -(-n_chunks // len(self._workers)))
        first, *others = self._workers[: len(shares)]
        running = [
            self._pool.submit(worker.accumulate, share, chunk_frames, weights, multiplied, given)
            for worker, share in zip(others, shares[1:], strict=True)
        ]
        sums = first.accumulate(shares[0], chunk_frames, weights, multiplied, given)
        for other in running:
            sums += other.result()
        for other in others:
            first.total.add(other.total)
        return sums


class _Weights(NamedTuple):
    """Of a model, or sums of their gradients."""

    W_enc: Tensor  # (F, D)
    b_enc: Tensor  # (F,)
    W_dec_t: Tensor  # (F, D)
    b_dec: Tensor  # (D,)

    def rounded_to(self, dtype: torch.dtype) -> "_Weights":
        """The matrices in `dtype`; themselves, if they are."""
        return self._replace(W_enc=self.W_enc.to(dtype), W_dec_t=self.W_dec_t.to(dtype))

    def add(self, other: "_Weights") -> None:
        """In place."""
        for mine, its in zip(self, other, strict=True):
            mine += its


class _Worker:
    """Buffers of a chunk, and the sums of the gradients of some."""

    def __init__(self, model: SparseAutoencoder, n_frames: int, dtype: torch.dtype):
        W_enc, b_enc, b_dec = model.W_enc.detach(), model.b_enc.detach(), model.b_dec.detach()
        self.dtype = dtype
        self._hidden = W_enc.new_empty(n_frames, model.n_features, dtype=dtype)
        self._gradient = torch.empty_like(self._hidden)
        self._product = W_enc.new_empty(n_frames, model.d_latent, dtype=dtype)
        self._decoded = self._product.to(W_enc.dtype)  # the same buffer, but in bf16
        self._active = ActiveCodesOfTraining(self._hidden, model.d_latent, W_enc.dtype)
        self._terms = RowTerms.empty(self._active.most_frames, model.d_latent, W_enc)  # of chunks that are listed, too
        self._hidden_sums = W_enc.new_empty(2, n_frames)
        self._most_active = most_active(model.d_latent, dtype)
        self._n_expected: int | None = None  # codes above 0 of the next chunk, if few
        # both matrices (F, D), as those of the model lie: what is listed feature by feature is summed row by row
        self.total = _Weights(*(torch.zeros_like(weight) for weight in (W_enc, b_enc, W_enc, b_dec)))
        self.n_active = torch.zeros(0)

    @torch.no_grad()
    def accumulate(
        self, x: Tensor, chunk_frames: int, weights: _Weights, multiplied: _Weights, given: Objective
    ) -> Tensor:
        """Sum the gradients of the frames x (n, D) anew; the sums over these of ‖x − x̂‖² and ‖·‖₁, (2,).

        multiplied: the weights in the dtype of the large products.
        """
        for gradient in self.total:
            gradient.zero_()
        self._active.clear()
        self._n_expected = None
        square_total, l1_total = 0.0, 0.0  # numbers, or tensors on a GPU, which nothing waits for here
        for first_frame in range(0, len(x), chunk_frames):
            frames = slice(first_frame, first_frame + chunk_frames)
            square_sum, l1_sum = self._add_chunk(x, frames, weights, multiplied, given)
            square_total, l1_total = square_total + square_sum, l1_total + l1_sum
            if first_frame == 0:
                counted = self._hidden[: min(len(x), chunk_frames, COUNTED_FRAMES)]
                # as floats, whose sum is the fastest; in bf16 it is exact up to 256
                self.n_active = torch.gt(counted, 0, out=self._gradient[: len(counted)]).sum(dim=0).long()
        self._add_listed_gradients(x, weights)
        like = {"dtype": weights.b_dec.dtype, "device": weights.b_dec.device}
        return torch.stack([torch.as_tensor(total, **like) for total in (square_total, l1_total)])

    def _add_chunk(
        self, x: Tensor, frames: slice, weights: _Weights, multiplied: _Weights, given: Objective
    ) -> tuple[float | Tensor, float | Tensor]:
        """Add the gradient of a chunk, the `frames` of x, or list what it takes; the sums over its frames of ‖x − x̂‖²
        and ‖·‖₁.
        """
        chunk = x[frames]
        h, hidden_sums = self._hidden[: len(chunk)], self._hidden_sums[:, : len(chunk)]
        torch.mm(chunk.to(self.dtype), multiplied.W_enc.T, out=h)
        is_listed = self._activate(h, hidden_sums, x[: frames.start], weights)
        if is_listed:
            terms = self._terms.rows(self._active.n_frames - len(chunk), len(chunk))
            decoded = self._active.times(weights.W_dec_t, self._decoded[: len(chunk)])
        else:
            terms = self._terms.rows(0, len(chunk))
            decoded = torch.mm(h, multiplied.W_dec_t, out=self._product[: len(chunk)]).to(x.dtype)
        sums = frame_terms(decoded, chunk, *hidden_sums, weights.b_dec, self.total.b_dec, terms, h.shape[1], given)
        if not is_listed:
            self._add_gradients(h, multiplied.W_dec_t, terms)
        return sums

    def _activate(self, z: Tensor, hidden_sums: Tensor, x_before: Tensor, weights: _Weights) -> bool:
        """List the codes h = ReLU(z + b_enc) above 0 of the chunk that follows the frames x_before, or set z to h if
        too many are above 0; which of both. Fills Σ h and Σ h² of each frame.

        After a chunk of few, no more than a tenth more are expected, and h is not formed. In the first chunk of a batch
        nothing is expected, so that rounding does not depend on what was trained before.
        """
        if self._n_expected is not None:
            if not self._active.have_room(self._n_expected):
                self._add_listed_gradients(x_before, weights)
            if self._active.take_activated(z, weights.b_enc, hidden_sums):
                return True
        n_active = relu_with_sums(z, weights.b_enc, *hidden_sums)
        is_sparse = n_active < self._most_active * z.numel()
        if not (is_sparse and self._active.have_room(n_active)):
            self._add_listed_gradients(x_before, weights)
        if is_sparse:
            self._active.take(z)
        self._n_expected = n_active + n_active // 10 if is_sparse and z.dtype == hidden_sums.dtype else None
        return is_sparse

    def _add_listed_gradients(self, x: Tensor, weights: _Weights) -> None:
        """Of the codes that are listed, which are those of the last frames of x."""
        n_frames = self._active.n_frames
        if n_frames:
            x, terms = x[len(x) - n_frames :], self._terms.rows(0, n_frames)
            self._active.add_gradients(weights.W_dec_t, x, terms, *self.total[:3])

    def _add_gradients(self, h: Tensor, W_dec_t: Tensor, terms: RowTerms) -> None:
        total, g = self.total, self._gradient[: len(h)]
        _add_product(total.W_dec_t, h.T, terms.scaled_residual.to(self.dtype))
        torch.mm(terms.residual.to(self.dtype), W_dec_t.T, out=g)
        where_active(g, h, terms, total.b_enc)
        _add_product(total.W_enc, g.T, terms.scaled_frame.to(self.dtype))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a b, in one call where their dtypes agree."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
