"""WavTokenizer's files as released, with weights that follow from their keys: a Lightning checkpoint and a layout.

The keys and shapes stand in data/wavtokenizer_keys.tsv, taken from the released code, not from ours.
"""

import csv
from pathlib import Path

import torch
import yaml

from deterministic_weights import fill

KEYS = Path(__file__).parent / "data" / "wavtokenizer_keys.tsv"
SMALL_WIDTH, SMALL_HIDDEN_WIDTH, SMALL_LAYERS, SMALL_CODES = 64, 96, 2, 64
# variant: column `config` of the key table, strides as the layout writes them, window, hop
VARIANTS = {
    "medium_music_audio_75token": ("frame75", [8, 5, 4, 2], 1280, 320),
    "large_unify_40token": ("frame40", [6, 5, 5, 4], 2400, 600),
}


def shapes(variant: str, is_small: bool = False) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor of a variant's network; the small one's decoder is narrow and of two layers."""
    config = VARIANTS[variant][0]
    with KEYS.open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["config"] == config]
    full = {row["key"]: tuple(int(length) for length in row["shape"].split("x")) for row in rows}
    return {key: _small(key, shape) for key, shape in full.items() if _is_kept(key)} if is_small else full


def _is_kept(key: str) -> bool:
    return not key.startswith("backbone.convnext.") or int(key.split(".")[2]) < SMALL_LAYERS


def _small(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    changed = {768: SMALL_WIDTH, 2304: SMALL_HIDDEN_WIDTH} if key.startswith(("backbone.", "head.")) else {}
    changed |= {4096: SMALL_CODES} if "_codebook." in key else {}
    return tuple(changed.get(length, length) for length in shape)


def state(variant: str, is_small: bool = False) -> dict[str, torch.Tensor]:
    """Reproducible weights of a variant's network, by key."""
    filled = {}
    for key, shape in shapes(variant, is_small).items():
        values = fill(key, shape)
        filled[key] = torch.hann_window(shape[0]) if values is None else torch.from_numpy(values)
    return filled


def layout(variant: str, is_small: bool = False, package: str = "decoder") -> dict:
    """The content of a released YAML file, with the training's keys beside those of the network."""
    _, ratios, n_fft, hop_samples = VARIANTS[variant]
    width, hidden_width, n_layers, n_codes = (
        (SMALL_WIDTH, SMALL_HIDDEN_WIDTH, SMALL_LAYERS, SMALL_CODES) if is_small else (768, 2304, 12, 4096)
    )
    parts = {
        "feature_extractor": {
            "class_path": f"{package}.feature_extractors.EncodecFeatures",
            "init_args": {
                "encodec_model": "encodec_24khz",
                "bandwidths": [6.6] * 4,
                "train_codebooks": True,
                "num_quantizers": 1,
                "dowmsamples": ratios,
                "vq_bins": n_codes,
                "vq_kmeans": 200,
            },
        },
        "backbone": {
            "class_path": f"{package}.models.VocosBackbone",
            "init_args": {
                "input_channels": 512,
                "dim": width,
                "intermediate_dim": hidden_width,
                "num_layers": n_layers,
                "adanorm_num_embeddings": 4,
            },
        },
        "head": {
            "class_path": f"{package}.heads.ISTFTHead",
            "init_args": {"dim": width, "n_fft": n_fft, "hop_length": hop_samples, "padding": "same"},
        },
    }
    return {
        "seed_everything": 3407,
        "data": {"class_path": f"{package}.dataset.VocosDataModule", "init_args": {"train_params": {"batch_size": 40}}},
        "model": {
            "class_path": f"{package}.experiment.WavTokenizer",
            "init_args": {"sample_rate": 24000, "mel_loss_coeff": 45, "resume": False} | parts,
        },
        "trainer": {"max_steps": 20000000, "devices": [0, 1]},
    }


def write_layout(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_checkpoint(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """A checkpoint as Lightning saves one in training: discriminators, losses and optimisers beside the network."""
    foreign = {
        "multiperioddisc.discriminators.0.convs.0.weight_v": torch.zeros(4, 1, 5, 1),
        "melspec_loss.mel_spec.spectrogram.window": torch.hann_window(16),
    }
    checkpoint = {
        "epoch": 3,
        "global_step": 1000,
        "pytorch-lightning_version": "1.8.6",
        "state_dict": weights | foreign,
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(4.1)}},
        "optimizer_states": [
            {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(4)}}, "param_groups": []}
        ],
        "lr_schedulers": [{"last_epoch": 1000}],
        "hparams_name": "kwargs",
        "hyper_parameters": {"sample_rate": 24000, "initial_learning_rate": 2e-4},
    }
    torch.save(checkpoint, path)
    return path


def write_files(folder: Path, variant: str, is_small: bool = False, names: list[str] | None = None) -> list[str]:
    """Checkpoint and layout of a variant under `folder`, as `load` takes them; `names` are what a card calls them."""
    checkpoint, layout_file = names or [f"{variant}.ckpt", f"{variant}.yaml"]
    return [
        str(write_checkpoint(folder / checkpoint, state(variant, is_small))),
        str(write_layout(folder / layout_file, layout(variant, is_small))),
    ]
