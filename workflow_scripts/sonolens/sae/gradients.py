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
a dozen times a step and are allocated anew each time. Here two buffers of (b, F) are kept and stay in cache.
"""

import torch
from torch import Tensor

from sonolens.sae.blocks import block_frames
from sonolens.sae.loss import Loss
from sonolens.sae.model import EPS, SparseAutoencoder


class ChunkedGradients:
    """Accumulates loss and gradients of one model over the chunks of a batch; buffers are kept between batches."""

    def __init__(self, model: SparseAutoencoder, lam: float, l1_on: str):
        weight = model.W_enc
        self.chunk_frames = block_frames(model.n_features, weight)
        self.model, self.lam, self.l1_on = model, lam, l1_on
        self._hidden = weight.new_empty(self.chunk_frames, model.n_features)
        self._gradient = weight.new_empty(self.chunk_frames, model.n_features)
        # [x r, r]ᵀ g gives both gradients of the encoder in one product, and in the layout in which it is fastest
        self._scaled = weight.new_empty(self.chunk_frames, model.d_latent + 1)
        self._encoder = weight.new_zeros(model.d_latent + 1, model.n_features)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Loss:
        """Set every parameter's `grad` for the batch x (B, D); the loss, as `objective` defines it."""
        model = self.model
        for accumulated in (self._encoder, model.W_dec.grad, model.b_dec.grad):
            accumulated.zero_()
        sums = x.new_zeros(2)
        for chunk in x.split(self.chunk_frames):
            sums += self._accumulate(chunk, len(x))
        model.W_enc.grad.copy_(self._encoder[:-1].T)
        model.b_enc.grad.copy_(self._encoder[-1])
        mse, l1 = sums / len(x)
        return Loss(mse + self.lam * l1, mse, l1)

    def _accumulate(self, x: Tensor, batch_frames: int) -> Tensor:
        """Add the gradient of a chunk x (b, D); the sums over its frames of ‖x − x̂‖² and ‖·‖₁."""
        model, n_frames = self.model, len(x)
        slope = self.lam / batch_frames
        h, g = self._hidden[:n_frames], self._gradient[:n_frames]
        torch.addmm(model.b_enc, x, model.W_enc.T, out=h).relu_()
        norm = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        r = (norm.square() / model.n_features + EPS).rsqrt()  # (b, 1)
        l1_hidden = h.sum(dim=1, keepdim=True)
        decoded = torch.mm(h, model.W_dec.T).mul_(r)  # x̂ − b_dec
        residual = decoded + model.b_dec - x
        e = residual * (2 / batch_frames)
        model.W_dec.grad.addmm_((e * r).T, h)
        model.b_dec.grad += e.sum(dim=0)

        along_f = (decoded * e).sum(dim=1, keepdim=True)
        if self.l1_on == "normalised":
            along_f += slope * r * l1_hidden
            l1 = r * l1_hidden
            torch.addmm(x.new_full((1,), slope), e, model.W_dec, out=g)
        else:
            l1 = l1_hidden
            torch.addmm(slope / r, e, model.W_dec, out=g)  # ∂L/∂h / r, so that r can be taken out below
        g.addcmul_(h, along_f * r, value=-1 / model.n_features)
        torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)  # 1[h > 0]
        scaled = self._scaled[:n_frames]
        torch.mul(x, r, out=scaled[:, :-1])
        scaled[:, -1:] = r
        self._encoder.addmm_(scaled.T, g)
        return torch.stack([residual.square().sum(), l1.sum()])
