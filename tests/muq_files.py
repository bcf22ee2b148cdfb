"""MuQ-MuLan's files as released, small: the whole model's pytorch_model.bin and XLM-RoBERTa's tokenizer.json.

The keys and shapes stand in data/muq_mulan_text_keys.tsv, taken from the released code (muq 0.1.0, with 128 channels
in XLM-RoBERTa and, where it is `projected`, 96 behind it); the weights follow from the keys.
"""

import csv
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from deterministic_weights import fill

KEYS = Path(__file__).parent / "data" / "muq_mulan_text_keys.tsv"
MARKS = ("<s>", "<pad>", "</s>", "<unk>")
WORDS = ("▁a", "▁the", "▁and", "▁drums", "▁flute", "▁strings", "▁slow", "▁over", "▁low")
VOCABULARY = [
    *((mark, 0.0) for mark in MARKS),
    *((word, -3.0) for word in WORDS),
    ("▁", -4.0),
    *((letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz,:."),
]
# What a model that hears music has besides
AUDIO = {"mulan.audio.proj.weight": torch.zeros(8, 2), "mulan.contrast.temperatures": torch.zeros(1, 1, 1)}
SCALES = ("learned_gamma", "q_scale", "k_scale")


def state(config: str = "small") -> dict[str, torch.Tensor]:
    """Reproducible weights, by key; config: "small" or "projected"."""
    with KEYS.open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["config"] == config]
    shapes = {row["key"]: tuple(int(length) for length in row["shape"].split("x")) for row in rows}
    # `fill` knows scales by the name of a norm's
    names = {key: f"{key}.weight" if key.endswith(SCALES) else key for key in shapes}
    return {key: torch.from_numpy(fill(names[key], shape)) for key, shape in shapes.items()}


def write_checkpoint(path: Path, weights: dict[str, torch.Tensor]) -> str:
    torch.save(weights | AUDIO, path)
    return str(path)


def tokenizer(begin: str = "<s>", vocabulary: list[tuple[str, float]] = VOCABULARY) -> Tokenizer:
    """One built as XLM-RoBERTa's is."""
    built = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    built.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    marks = [(mark, MARKS.index(mark)) for mark in (begin, "</s>")]
    built.post_processor = processors.TemplateProcessing(single=f"{begin} $A </s>", special_tokens=marks)
    built.add_special_tokens(list(MARKS))
    return built


def write_files(folder: Path, names: tuple[str, str], config: str = "small") -> list[str]:
    """Checkpoint and tokenizer of these names under `folder`; their paths."""
    checkpoint, tokenizer_file = (folder / name for name in names)
    write_checkpoint(checkpoint, state(config))
    tokenizer().save(str(tokenizer_file))
    return [str(checkpoint), str(tokenizer_file)]
