"""Captions as styles: the text tower of MuQ-MuLan (Zhu et al. 2025, arXiv 2501.01108), with its released weights.

https://github.com/tencent-ailab/MuQ. Its package is not used: to be imported it needs torchaudio and torchvision, and
it fetches two more models, whose weights it then replaces. A caption goes through XLM-RoBERTa and a second transformer
to a vector of length 1 in the space that music has there, too. All sizes follow from the released tensors, but for
what every XLM-RoBERTa has in common.

Nothing is fetched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm
from transformers import XLMRobertaConfig, XLMRobertaModel

from sonolens.encoders.checkpoints import load_strictly, read_checkpoint
from sonolens.encoders.networks import frozen

# Where the tensors stand in the released file; what else it holds hears music
PREFIX = "mulan."
PARTS = ("text.", "text_to_latents.")
# Of no use here, or of older releases of transformers, which recompute them
UNUSED = ("text.model.pooler.", "text.model.embeddings.position_ids", "text.model.embeddings.token_type_ids")
ROBERTA, BLOCK = "text.model.", "text.transformer.layers."
# XLM-RoBERTa's in all its sizes (Conneau et al. 2020, arXiv 1911.02116), which its tensors do not show
ROBERTA_HEAD_WIDTH, ROBERTA_EPSILON = 64, 1e-5
BEGIN, PADDING, END = 0, 1, 2
SIMILARITY_SCALE = 8.0
N_QUOTED = 60  # characters of a caption that an error quotes


class Sizes(NamedTuple):
    """What the second transformer's tensors show."""

    d_roberta: int
    d_model: int
    depth: int
    n_heads: int
    head_width: int
    d_hidden: int
    d_style: int
    is_projected: bool  # between the two


class Norm(nn.Module):
    """A layer norm without shift."""

    def __init__(self, width: int):
        super().__init__()
        self.learned_gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.learned_gamma)


class CosineAttention(nn.Module):
    """Self-attention by the cosine of queries and keys, whose channels have a scale each (Dehghani et al. 2023)."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.n_heads * sizes.head_width
        self.split = (sizes.n_heads, sizes.head_width)
        self.norm = Norm(sizes.d_model)
        self.to_q = nn.Linear(sizes.d_model, width, bias=False)
        self.to_kv = nn.Linear(sizes.d_model, 2 * width, bias=False)
        self.q_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.k_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.to_out = nn.Sequential(nn.Linear(width, sizes.d_model, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, C)."""
        x = self.norm(x)
        q, k, v = (
            part.unflatten(-1, self.split).transpose(1, 2) for part in (self.to_q(x), *self.to_kv(x).chunk(2, -1))
        )
        q, k = F.normalize(q, dim=-1) * self.q_scale, F.normalize(k, dim=-1) * self.k_scale
        heard = F.scaled_dot_product_attention(q, k, v, scale=SIMILARITY_SCALE)
        return self.to_out(heard.transpose(1, 2).flatten(-2))


class GatedGelu(nn.Module):
    """The first half of the channels, gated by the second."""

    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        return F.gelu(gate) * x


def feed_forward(sizes: Sizes) -> nn.Sequential:
    """The other half of a block; the place of a dropout is kept, as the keys count it."""
    return nn.Sequential(
        Norm(sizes.d_model),
        nn.Linear(sizes.d_model, 2 * sizes.d_hidden, bias=False),
        GatedGelu(),
        nn.Identity(),
        nn.Linear(sizes.d_hidden, sizes.d_model, bias=False),
    )


class TextTower(nn.Module):
    """XLM-RoBERTa and a transformer on it, with the keys of the released file below PREFIX."""

    def __init__(self, roberta: nn.Module, sizes: Sizes):
        super().__init__()
        blocks = [nn.ModuleList([CosineAttention(sizes), feed_forward(sizes)]) for _ in range(sizes.depth)]
        parts = {"model": roberta, "transformer": nn.ModuleDict({"layers": nn.ModuleList(blocks)})}
        if sizes.is_projected:
            parts["proj"] = nn.Linear(sizes.d_roberta, sizes.d_model)
        self.text = nn.ModuleDict(parts)
        self.text_to_latents = nn.Linear(sizes.d_model, sizes.d_style)

    def forward(self, token_ids: Tensor) -> Tensor:
        """token_ids (B, T) int64, captions of one length -> styles (B, d_style) of length 1."""
        x = self.text["model"](input_ids=token_ids).last_hidden_state
        if "proj" in self.text:
            x = self.text["proj"](x)
        for attention, feed in self.text["transformer"]["layers"]:
            x = attention(x) + x
            x = feed(x) + x
        return F.normalize(self.text_to_latents(x.mean(dim=1)), dim=-1)


class MuqMulan:
    """A loaded tower and its tokenizer."""

    def __init__(self, tower: TextTower, tokenizer, device: str):
        self.tower, self.tokenizer = frozen(tower, device, torch.float32), tokenizer
        self.device = device
        self.d_style = tower.text_to_latents.out_features
        # XLM-RoBERTa counts positions from the one behind its padding
        self.most_tokens = tower.text["model"].config.max_position_embeddings - PADDING - 1

    def style_of(self, texts: Sequence[str]) -> np.ndarray:
        """Styles (len(texts), d_style) float32 of captions, in their order. Raises ValueError for one too long.

        One after the other: the second transformer sees and averages what fills up a shorter caption of a batch, and
        a style would depend on the captions beside it.
        """
        token_ids = [self._tokens(text) for text in texts]
        styles = np.empty((len(texts), self.d_style), np.float32)
        with torch.inference_mode():
            for row, ids in enumerate(tqdm(token_ids, "styles", mininterval=5)):
                styles[row] = self.tower(torch.tensor([ids], device=self.device))[0].cpu().numpy()
        return styles

    def _tokens(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text).ids
        if len(ids) > self.most_tokens:
            raise ValueError(
                f"the caption '{text[:N_QUOTED]}…' has {len(ids)} tokens, and MuQ-MuLan reads {self.most_tokens}: "
                "shorten it or leave it out"
            )
        return ids


def load(checkpoint: str | Path, tokenizer_file: str | Path, device: str) -> MuqMulan:
    """MuQ-MuLan's text tower from its `pytorch_model.bin` and XLM-RoBERTa's `tokenizer.json`.

    Raises ValueError, naming the file, for one that is damaged or another model's.
    """
    tokenizer = _tokenizer(tokenizer_file)
    state = _text_state(checkpoint)
    try:
        sizes, roberta = _sizes(state), _empty_roberta(state)
    except KeyError as error:
        raise ValueError(f"{checkpoint} holds no text tower of MuQ-MuLan: it lacks {PREFIX}{error.args[0]}") from error
    tower = TextTower(roberta, sizes)
    load_strictly(tower, state, checkpoint)
    if tokenizer.get_vocab_size() != roberta.config.vocab_size:
        raise ValueError(
            f"{tokenizer_file} has {tokenizer.get_vocab_size()} tokens, {checkpoint} {roberta.config.vocab_size}: "
            "they are not of one model"
        )
    return MuqMulan(tower, tokenizer, device)


def _tokenizer(path: str | Path) -> tokenizers.Tokenizer:
    try:
        # Not through transformers, whose release 5 builds XLM-RoBERTa's anew instead of reading all of the file
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # it raises no other class
        raise ValueError(f"{path} cannot be read as a tokenizer ({error}); delete it and run again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if tokenizer.encode("").ids != [BEGIN, END]:
        raise ValueError(f"{path} is not XLM-RoBERTa's tokenizer: it does not put <s> and </s> around a caption")
    return tokenizer


def _text_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of the text tower, by their keys without PREFIX."""
    stored = read_checkpoint(path)
    if not isinstance(stored, dict):
        raise ValueError(f"{path} holds no dictionary of tensors: it is no checkpoint of MuQ-MuLan")
    named = {str(key).removeprefix(PREFIX): value for key, value in stored.items() if str(key).startswith(PREFIX)}
    return {key: value for key, value in named.items() if key.startswith(PARTS) and not key.startswith(UNUSED)}


def _sizes(state: dict[str, Tensor]) -> Sizes:
    head_width = len(state[f"{BLOCK}0.0.q_scale"])
    d_style, d_model = state["text_to_latents.weight"].shape
    return Sizes(
        d_roberta=state[f"{ROBERTA}embeddings.word_embeddings.weight"].shape[1],
        d_model=d_model,
        depth=_count(state, BLOCK),
        n_heads=len(state[f"{BLOCK}0.0.to_q.weight"]) // head_width,
        head_width=head_width,
        d_hidden=state[f"{BLOCK}0.1.4.weight"].shape[1],
        d_style=d_style,
        is_projected="text.proj.weight" in state,
    )


def _empty_roberta(state: dict[str, Tensor]) -> nn.Module:
    """An XLM-RoBERTa of the sizes that its tensors show, with random weights."""
    n_tokens, width = state[f"{ROBERTA}embeddings.word_embeddings.weight"].shape
    config = XLMRobertaConfig(
        vocab_size=n_tokens,
        hidden_size=width,
        num_hidden_layers=_count(state, f"{ROBERTA}encoder.layer."),
        num_attention_heads=width // ROBERTA_HEAD_WIDTH,
        intermediate_size=len(state[f"{ROBERTA}encoder.layer.0.intermediate.dense.weight"]),
        max_position_embeddings=len(state[f"{ROBERTA}embeddings.position_embeddings.weight"]),
        type_vocab_size=len(state[f"{ROBERTA}embeddings.token_type_embeddings.weight"]),
        layer_norm_eps=ROBERTA_EPSILON,
        bos_token_id=BEGIN,
        pad_token_id=PADDING,
        eos_token_id=END,
    )
    return XLMRobertaModel(config, add_pooling_layer=False)


def _count(state: dict[str, Tensor], prefix: str) -> int:
    """Layers whose keys begin with prefix and a number."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
