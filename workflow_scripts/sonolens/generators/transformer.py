"""DiffRhythm's transformer: the velocity of a flow over latent frames, under a text, a melody and a style.

Ning et al. 2025, arXiv 2503.01183, with the names that its released weights have. Blocks of Llama (Touvron et al. 2023,
arXiv 2302.13971) whose attention goes both ways, between the input and output stages of F5-TTS (Chen et al. 2024, arXiv
2410.06885), whose text stage is of ConvNeXt V2 blocks (Woo et al. 2023, arXiv 2301.00808). Shapes: B rows, N frames.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_TIME_FEATURES = 256
# Times run from 0 to 1, and their sinusoids were made for the 1000 steps of diffusion
TIME_SCALE = 1000
LONGEST_PERIOD = 10_000
EPS = 1e-6
POSITION_KERNEL, POSITION_GROUPS = 31, 16
TEXT_KERNEL, TEXT_EXPANSION = 7, 2


class Sizes(NamedTuple):
    """Of the whole network. Released ones have d_text equal to d_condition."""

    d_model: int
    depth: int  # blocks; the first half is given the text anew
    n_heads: int
    d_ff: int
    d_latent: int
    d_text: int
    n_text_blocks: int  # none: a token is its embedding, wherever it stands
    n_tokens: int  # token 0 is no text
    max_frames: int
    d_condition: int = 512  # of the style, and of the features of times
    has_duration: bool = False  # whether it is told how long the whole song is


class Words(NamedTuple):
    """What a text gives to every velocity on a path; one row may stand for all of a batch."""

    embedded: Tensor  # (B or 1, N, d_text)
    fused: list[Tensor]  # (B or 1, N, d_model), a term for each block of the first half


class FlowTransformer(nn.Module):
    """Velocity of latents; keys and shapes of its weights are those of the released files below `transformer.`."""

    def __init__(self, sizes: Sizes):
        """Raises ValueError for sizes that do not divide."""
        super().__init__()
        _check(sizes)
        self.sizes = sizes
        d_condition = sizes.d_condition
        self.time_embed = TimeEmbedding(d_condition)
        self.start_time_embed = TimeEmbedding(d_condition)
        if sizes.has_duration:
            self.duration_time_embed = TimeEmbedding(d_condition)
        self.text_embed = TextEmbedding(sizes.n_tokens, sizes.d_text, sizes.n_text_blocks)
        self.input_embed = InputEmbedding(2 * sizes.d_latent + sizes.d_text + 2 * d_condition, sizes.d_model)
        self.transformer_blocks = nn.ModuleList(
            Block(sizes.d_model, sizes.n_heads, sizes.d_ff) for _ in range(sizes.depth)
        )
        self.text_fusion_linears = nn.ModuleList(
            nn.Sequential(nn.Linear(sizes.d_text, sizes.d_model), nn.SiLU()) for _ in range(sizes.depth // 2)
        )
        self.norm_out = ConditionedNorm(sizes.d_model, d_condition)
        self.proj_out = nn.Linear(sizes.d_model, sizes.d_latent)

    def prepare(self, tokens: Tensor) -> Words:
        """tokens (B, N) int64, or (1, N) for a text that all rows share -> what they give to all times of a path.

        Raises ValueError if there are more frames than the network knows.
        """
        if tokens.shape[1] > self.sizes.max_frames:
            raise ValueError(f"{tokens.shape[1]} frames are more than the {self.sizes.max_frames} of this transformer")
        embedded = self.text_embed(tokens)
        return Words(embedded, [fusion(embedded) for fusion in self.text_fusion_linears])

    def forward(
        self, x: Tensor, cond: Tensor, tokens: Tensor, t: Tensor, style: Tensor, start: Tensor, duration: Tensor
    ) -> Tensor:
        """The velocity (B, N, d_latent) at x (B, N, d_latent) and times t (B,), from `tokens` as `prepare` takes them.

        cond (B, N, d_latent): known latents, zeros where none are; style (B, d_condition); start and duration (B,):
        where in the song it starts, and how long the song is, as shares of max_frames. No text is tokens of 0.
        """
        return self.velocity(x, cond, self.prepare(tokens), t, style, start, duration)

    def velocity(
        self, x: Tensor, cond: Tensor, words: Words, t: Tensor, style: Tensor, start: Tensor, duration: Tensor
    ) -> Tensor:
        """The same for a text that is prepared already."""
        times = self.time_embed(t) + self.start_time_embed(start)
        if self.sizes.has_duration:
            times = times + self.duration_time_embed(duration)
        h = self.input_embed(x, cond, words.embedded, style, times)
        rotation = rotations(x.shape[1], self.sizes.d_model // self.sizes.n_heads, x.device)
        for index, block in enumerate(self.transformer_blocks):
            h = block(h, rotation)
            if index < len(words.fused):
                h = h + words.fused[index]
        return self.proj_out(self.norm_out(h, times))


def _check(sizes: Sizes) -> None:
    if sizes.d_model % POSITION_GROUPS:
        raise ValueError(f"d_model {sizes.d_model} has to be a multiple of {POSITION_GROUPS}: its convolutions' groups")
    if sizes.d_model % (2 * sizes.n_heads):
        raise ValueError(f"d_model {sizes.d_model} has to be an even number for each of n_heads {sizes.n_heads}")
    if sizes.d_text % 2:
        raise ValueError(f"d_text {sizes.d_text} has to be even: half of it is cosines, half sines")


def angles(positions: Tensor, rates: Tensor) -> Tensor:
    """positions (N,) times rates (K,), (N, K) in float32: lower precision cannot count that far."""
    return positions.float()[:, None] * rates


def rates(width: int, device: torch.device) -> Tensor:
    """LONGEST_PERIOD to the power of −2i / width, (width / 2,)."""
    return LONGEST_PERIOD ** -(torch.arange(0, width, 2, device=device) / width)


def rotations(n_frames: int, d_head: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (n_frames, d_head / 2) of rotary positions (Su et al. 2021, arXiv 2104.09864)."""
    at = angles(torch.arange(n_frames, device=device), rates(d_head, device))
    return at.cos(), at.sin()


def rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """x (..., N, d_head), its first half turned against its second as Llama's released weights want it."""
    cosines, sines = (part.to(x.dtype) for part in rotation)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)


class TimeEmbedding(nn.Module):
    """A time in [0, 1] as features."""

    def __init__(self, d_condition: int):
        super().__init__()
        self.time_mlp = nn.Sequential(
            nn.Linear(N_TIME_FEATURES, d_condition), nn.SiLU(), nn.Linear(d_condition, d_condition)
        )

    def forward(self, t: Tensor) -> Tensor:
        """t (B,) -> (B, d_condition)."""
        half = N_TIME_FEATURES // 2
        # the last sinusoid has the longest period itself, unlike those of positions
        slower = torch.exp(torch.arange(half, device=t.device) * (-math.log(LONGEST_PERIOD) / (half - 1)))
        at = TIME_SCALE * angles(t, slower)
        return self.time_mlp(torch.cat([at.sin(), at.cos()], -1).to(self.time_mlp[0].weight.dtype))


class TextEmbedding(nn.Module):
    """Tokens, one per frame, as vectors."""

    def __init__(self, n_tokens: int, d_text: int, n_blocks: int):
        super().__init__()
        self.text_embed = nn.Embedding(n_tokens, d_text)
        self.text_blocks = nn.Sequential(*[TextBlock(d_text) for _ in range(n_blocks)])

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, N) -> (B, N, d_text)."""
        x = self.text_embed(tokens)
        if not self.text_blocks:
            return x
        at = angles(torch.arange(x.shape[1], device=x.device), rates(x.shape[2], x.device))
        return self.text_blocks(x + torch.cat([at.cos(), at.sin()], -1).to(x.dtype))


class TextBlock(nn.Module):
    """A block of ConvNeXt V2 over frames."""

    def __init__(self, d_text: int):
        super().__init__()
        self.dwconv = nn.Conv1d(d_text, d_text, TEXT_KERNEL, padding=TEXT_KERNEL // 2, groups=d_text)
        self.norm = nn.LayerNorm(d_text, eps=EPS)
        self.pwconv1 = nn.Linear(d_text, TEXT_EXPANSION * d_text)
        self.grn = ResponseNorm(TEXT_EXPANSION * d_text)
        self.pwconv2 = nn.Linear(TEXT_EXPANSION * d_text, d_text)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, d_text) -> the same shape."""
        h = self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(h))))


class ResponseNorm(nn.Module):
    """Global response normalisation: a channel counts by its length over all frames, next to the others'."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, width) -> the same shape."""
        # half precision overflows in squares
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        share = length / (length.mean(-1, keepdim=True) + EPS)
        return self.gamma * (x * share.to(x.dtype)) + self.beta + x


class InputEmbedding(nn.Module):
    """All that a frame is told, and where it stands."""

    def __init__(self, d_in: int, d_model: int):
        super().__init__()
        self.proj = nn.Linear(d_in, d_model)
        self.conv_pos_embed = ConvolvedPosition(d_model)

    def forward(self, x: Tensor, cond: Tensor, embedded: Tensor, style: Tensor, times: Tensor) -> Tensor:
        """x, cond (B, N, d_latent), embedded (B or 1, N, d_text), style, times (B, d_condition) -> (B, N, d_model)."""
        n_rows, n_frames, _ = x.shape
        each = [wide[:, None].expand(-1, n_frames, -1) for wide in (style, times)]
        h = self.proj(torch.cat([x, cond, embedded.expand(n_rows, -1, -1), *each], -1))
        return self.conv_pos_embed(h) + h


class ConvolvedPosition(nn.Module):
    """Position from what lies around, by grouped convolutions."""

    def __init__(self, d_model: int):
        super().__init__()
        self.conv1d = nn.Sequential(*[layer for _ in range(2) for layer in (_position_convolution(d_model), nn.Mish())])

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, d_model) -> the same shape."""
        return self.conv1d(x.transpose(1, 2)).transpose(1, 2)


def _position_convolution(d_model: int) -> nn.Conv1d:
    return nn.Conv1d(d_model, d_model, POSITION_KERNEL, padding=POSITION_KERNEL // 2, groups=POSITION_GROUPS)


class Block(nn.Module):
    """Attention over all frames, then a gated network at each."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int):
        super().__init__()
        self.self_attn = Attention(d_model, n_heads)
        self.mlp = GatedNetwork(d_model, d_ff)
        self.input_layernorm = nn.RMSNorm(d_model, eps=EPS)
        self.post_attention_layernorm = nn.RMSNorm(d_model, eps=EPS)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """x (B, N, d_model) -> the same shape; rotation as `rotations` gives it for a head."""
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Of every frame to every other, by rotary positions."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.o_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """x (B, N, d_model) -> the same shape."""
        queries, keys, values = (
            projection(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        heard = F.scaled_dot_product_attention(rotated(queries, rotation), rotated(keys, rotation), values)
        return self.o_proj(heard.transpose(1, 2).flatten(2))


class GatedNetwork(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.gate_proj = nn.Linear(d_model, d_ff, bias=False)
        self.up_proj = nn.Linear(d_model, d_ff, bias=False)
        self.down_proj = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, d_model) -> the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class ConditionedNorm(nn.Module):
    """Layer norm whose scale and shift follow from the times (Peebles and Xie 2022, arXiv 2212.09748)."""

    def __init__(self, d_model: int, d_condition: int):
        super().__init__()
        self.linear = nn.Linear(d_condition, 2 * d_model)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """x (B, N, d_model), times (B, d_condition) -> like x."""
        scale, shift = self.linear(F.silu(times))[:, None].chunk(2, -1)
        return F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift
