"""SEANet's convolutions on a CPU, channels last: the same numbers as its modules give, a quarter faster.

With channels last oneDNN need not reorder what a convolution reads and writes, the activation is written straight into
the padded buffer of the convolution that reads it, and those of one sample or one channel are products of matrices.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sonolens import torchaudio_absent  # noqa: F401 (must come before encodec)

# isort: split
from encodec.modules import SConv1d
from encodec.modules.conv import get_extra_padding_for_conv1d, pad1d
from encodec.modules.seanet import SEANetResnetBlock


class Convolution:
    """An encodec.modules.SConv1d without weight norm, on x (B, T, C)."""

    def __init__(self, module: SConv1d):
        convolution = module.conv.conv
        if module.pad_mode != "reflect" or convolution.dilation != (1,) or convolution.groups != 1:
            raise ValueError(f"only plain convolutions with reflection are known here, not {module}")
        (self.size,), (self.stride,) = convolution.kernel_size, convolution.stride
        total = self.size - self.stride
        self.left = total if module.causal else total - total // 2
        self.right = total - self.left
        self.bias = convolution.bias
        self.is_product = self.size == 1 or convolution.in_channels == 1
        # (C_out, size · C_in) for the product; for oneDNN channels last, which a convolution has in two dimensions only
        self.matrix = convolution.weight.transpose(1, 2).flatten(1).contiguous()
        self.kernel = convolution.weight[:, :, None].contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, activate: bool) -> Tensor:
        """x (B, T, C_in), through the ELU first if `activate`, -> (B, ceil(T / stride), C_out)."""
        x = self._padded(x, activate)
        n_batch, n_padded, n_in = x.shape
        if not self.is_product:
            y = functional.conv2d(x.transpose(1, 2)[:, :, None], self.kernel, self.bias, (1, self.stride))
            return y[:, :, 0].transpose(1, 2)
        n_out = (n_padded - self.size) // self.stride + 1
        windows = x.as_strided((n_batch, n_out, self.size * n_in), (x.stride(0), self.stride * n_in, 1))
        return functional.linear(windows, self.matrix, self.bias)

    def _padded(self, x: Tensor, activate: bool) -> Tensor:
        """(B, left + T + right, C), reflected at both ends, and at the right as far as the last window reaches."""
        n_frames = x.shape[1]
        extra = get_extra_padding_for_conv1d(x.transpose(1, 2), self.size, self.stride, self.left + self.right)
        left, right = self.left, self.right + extra
        if n_frames <= max(left, right):  # too short to be reflected
            x = functional.elu(x) if activate else x
            return pad1d(x.transpose(1, 2), (left, right), "reflect").transpose(1, 2).contiguous()
        padded = x.new_empty(x.shape[0], left + n_frames + right, x.shape[2])
        inner = padded[:, left : left + n_frames]
        if activate:
            torch.ops.aten.elu.out(x, out=inner)
        else:
            inner.copy_(x)
        padded[:, :left] = inner[:, 1 : left + 1].flip(1)
        padded[:, left + n_frames :] = inner[:, n_frames - 1 - right : n_frames - 1].flip(1)
        return padded


class ConvolutionStack:
    """What a SEANet encoder does before its LSTM: a convolution, then residual blocks and strides in turn."""

    def __init__(self, layers: nn.Sequential):
        self.steps: list[tuple[Convolution, ...] | Convolution] = []
        for layer in layers:
            if isinstance(layer, SEANetResnetBlock):
                _, first, _, second = layer.block
                self.steps.append((Convolution(first), Convolution(second), Convolution(layer.shortcut)))
            elif isinstance(layer, SConv1d):
                self.steps.append(Convolution(layer))
            elif not isinstance(layer, nn.ELU):
                raise ValueError(f"only convolutions, residual blocks and ELUs are known here, not {layer}")

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, C_in, n) -> (B, C_out, T)."""
        x = x.transpose(1, 2)
        for position, step in enumerate(self.steps):
            if isinstance(step, Convolution):
                x = step(x, activate=position > 0)
            else:
                first, second, shortcut = step
                x = torch.add(shortcut(x, activate=False), second(first(x, activate=True), activate=True))
        return x.transpose(1, 2)
