"""The convolutional network of EnCodec and WavTokenizer (SEANet), worked through in pieces as if in one.

Convolutions see a bounded stretch to either side and are computed in batches of pieces. The LSTM between them remembers
all that came before; it is run over each whole recording, many side by side, its state carried from stretch to stretch.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sonolens import torchaudio_absent  # noqa: F401 (must come before encodec)

# isort: split
from encodec.modules import SLSTM, SConv1d, SConvTranspose1d, SEANetDecoder, SEANetEncoder

from sonolens.encoders.channels_last import ConvolutionStack
from sonolens.encoders.chunking import decode_in_chunks
from sonolens.encoders.networks import frozen
from sonolens.encoders.pieces import Reach, encode_in_pieces

# Samples that the convolutions work on at a time. On a CPU about a second: its layers then stay in the caches, and
# below the size (32 MiB) from which the allocator asks the system for each of them anew, which costs half the speed.
PIECE_SAMPLES = {"cpu": 32_000, "cuda": 2_880_000}
# Recordings that the LSTM runs over side by side, and how many of their steps together it computes at a time
N_SIDE_BY_SIDE = 32
LSTM_FRAMES = 8192


class SeanetEncoder:
    """encodec.modules.SEANetEncoder without a norm over time: audio to latents before quantisation."""

    def __init__(self, network: SEANetEncoder, device: str, dtype: torch.dtype):
        front, self.lstm, back = _split(frozen(network, device, dtype))
        self.reach = encoder_reach(front)
        # A GPU has layouts of its own
        is_on_cpu = torch.device(device).type == "cpu"
        self.front = _Stage(ConvolutionStack(front) if is_on_cpu else front, device, dtype)
        self.back = _Stage(back, device, dtype)
        self.hop_samples = int(network.hop_length)
        self.batch_frames = PIECE_SAMPLES[torch.device(device).type] // self.hop_samples

    def encode(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """audios (n_channels, n_samples) float32 -> (ceil(n_samples / hop), dimension) float32 of each."""
        hidden = encode_in_pieces(self.front.encode, audios, self.hop_samples, self.reach, self.batch_frames)
        remembered = run_lstm(self.lstm, hidden)
        return encode_in_pieces(
            self.back.encode,
            [frames.T for frames in remembered],
            1,
            encoder_reach(self.back.network),
            self.batch_frames,
        )


class SeanetDecoder:
    """encodec.modules.SEANetDecoder without a norm over time: latents to audio."""

    def __init__(self, network: SEANetDecoder, device: str, dtype: torch.dtype):
        front, self.lstm, back = _split(frozen(network, device, dtype))
        self.front, self.back = _Stage(front, device, dtype), _Stage(back, device, dtype)
        self.hop_samples = int(network.hop_length)
        self.batch_frames = PIECE_SAMPLES[torch.device(device).type] // self.hop_samples

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, dimension) float32 -> audio (n_channels, n_frames · hop) float32."""
        reach = encoder_reach(self.front.network)
        (hidden,) = encode_in_pieces(self.front.encode, [latents.T], 1, reach, self.batch_frames)
        (remembered,) = run_lstm(self.lstm, [hidden])
        return decode_in_chunks(
            self.back.decode, remembered, self.hop_samples, self.batch_frames, decoder_reach(self.back.network)
        )


class _Stage:
    """Layers between numpy arrays."""

    def __init__(self, network: Callable[[Tensor], Tensor], device: str, dtype: torch.dtype):
        self.network, self.device, self.dtype = network, device, dtype

    @torch.inference_mode()
    def encode(self, x: np.ndarray) -> np.ndarray:
        """x (B, C_in, n) -> (B, T, C_out)."""
        y = self.network(torch.from_numpy(np.ascontiguousarray(x)).to(self.device, self.dtype))
        return y.transpose(1, 2).float().cpu().numpy()

    @torch.inference_mode()
    def decode(self, x: np.ndarray, first_frame: int) -> np.ndarray:
        """x (T, C_in) -> (C_out, T · hop); nothing depends on first_frame."""
        y = self.network(torch.from_numpy(np.ascontiguousarray(x.T)).to(self.device, self.dtype)[None])
        return y[0].float().cpu().numpy()


def _split(network: SEANetEncoder | SEANetDecoder) -> tuple[nn.Sequential, SLSTM, nn.Sequential]:
    """What stands before the LSTM, the LSTM, what stands behind it."""
    layers = list(network.model)
    (position,) = [position for position, layer in enumerate(layers) if isinstance(layer, SLSTM)]
    return nn.Sequential(*layers[:position]), layers[position], nn.Sequential(*layers[position + 1 :])


@torch.inference_mode()
def run_lstm(layer: SLSTM, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each of sequences (T, d) through the LSTM with its skip connection, (T, d) float32.

    Sequences run side by side, zeros behind the shorter ones: the LSTM looks back only, so nothing sees them.
    """
    outputs: list[np.ndarray | None] = [None] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    while order:
        together, order = order[:N_SIDE_BY_SIDE], order[N_SIDE_BY_SIDE:]
        for index, output in zip(together, _run_side_by_side(layer, [sequences[i] for i in together]), strict=True):
            outputs[index] = output
    return outputs


def _run_side_by_side(layer: SLSTM, sequences: list[np.ndarray]) -> list[np.ndarray]:
    """The same for some sequences, the longest first."""
    weight = next(layer.parameters())
    outputs = [np.empty_like(sequence) for sequence in sequences]
    n_steps = max(1, LSTM_FRAMES // len(sequences))
    state = None
    for begin in range(0, len(sequences[0]), n_steps):
        # Those that have ended leave; they stand at the end
        n_left = sum(len(sequence) > begin for sequence in sequences)
        if state is not None:
            state = tuple(part[:, :n_left].contiguous() for part in state)
        stretch = np.zeros((min(n_steps, len(sequences[0]) - begin), n_left, sequences[0].shape[1]), np.float32)
        for position in range(n_left):
            own = sequences[position][begin : begin + n_steps]
            stretch[: len(own), position] = own
        x = torch.from_numpy(stretch).to(weight.device, weight.dtype)
        y, state = layer.lstm(x, state)
        result = (y + x if layer.skip else y).float().cpu().numpy()
        for position in range(n_left):
            own = outputs[position][begin : begin + n_steps]
            own[:] = result[: len(own), position]
    return outputs


def encoder_reach(layers: nn.Sequential) -> Reach:
    """How many output frames to either side the input of a frame stretches, for convolutions one after another."""
    jump, left, receptive = 1, 0, 1  # input samples between neighbours; before the frame's first; seen in all
    for layer in layers.modules():
        if not isinstance(layer, SConv1d):
            continue
        convolution = layer.conv.conv
        if convolution.kernel_size[0] == 1:  # shortcuts, and the narrow half of a residual block
            continue
        (size,), (stride,), (dilation,) = convolution.kernel_size, convolution.stride, convolution.dilation
        padding = (size - 1) * dilation - (stride - 1)
        left += (padding if layer.causal else padding - padding // 2) * jump
        receptive += (size - 1) * dilation * jump
        jump *= stride
    right = receptive - 1 - left - (jump - 1)
    return Reach(math.ceil(left / jump), max(0, math.ceil(right / jump)))


def decoder_reach(layers: nn.Sequential) -> int:
    """How many input frames to either side a stretch of the output depends on, rounded up."""
    rate, reach = 1, 0.0  # output samples per input frame so far
    for layer in layers.modules():
        if isinstance(layer, SConvTranspose1d):
            reach += 1 / rate  # a kernel of two strides: the frame's own and one neighbour
            rate *= layer.convtr.convtr.stride[0]
        elif isinstance(layer, SConv1d):
            convolution = layer.conv.conv
            reach += (convolution.kernel_size[0] - 1) * convolution.dilation[0] / rate
    return math.ceil(reach)
