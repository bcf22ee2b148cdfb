"""WavTokenizer (Ji et al. 2024, arXiv 2408.16532), with the checkpoints and the layouts that its authors released.

https://github.com/jishengpeng/WavTokenizer. EnCodec's convolutional encoder, not causal, one codebook, and a decoder of
the Vocos kind (sonolens.encoders.vocos).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor, nn

import sonolens.torchaudio_absent  # noqa: F401  (before encodec)

# isort: split
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer

from sonolens import plugins
from sonolens.encoders.checkpoints import load_strictly, read_checkpoint
from sonolens.encoders.checks import checked_audio, checked_latents, checked_sound
from sonolens.encoders.chunking import decode_in_chunks
from sonolens.encoders.contract import Encoder
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.networks import former_weight_norm, frozen, network_dtype
from sonolens.encoders.seanet import SeanetEncoder
from sonolens.encoders.vocos import SpectrumHead, VocosBackbone

# Width of EnCodec's encoder as WavTokenizer has it; no released layout names it
D_LATENT = 512
# Latent frames that the local part of the decoder works on at a time
DECODED_FRAMES = {"cpu": 1000, "cuda": 9000}
# Frames quantised at a time: their distances to all code vectors are held
QUANTISED_FRAMES = 4096
# The parts of a checkpoint; what else it holds (discriminators, losses) belongs to the training
PARTS = ("feature_extractor.", "backbone.", "head.")
# Where a released layout says what, below model.init_args
PLACES = {
    "ratios": ("feature_extractor", "dowmsamples"),  # as it is spelt there
    "n_codebooks": ("feature_extractor", "num_quantizers"),
    "n_codes": ("feature_extractor", "vq_bins"),
    "d_latent": ("backbone", "input_channels"),
    "width": ("backbone", "dim"),
    "hidden_width": ("backbone", "intermediate_dim"),
    "n_layers": ("backbone", "num_layers"),
    "n_bandwidths": ("backbone", "adanorm_num_embeddings"),
    "head_width": ("head", "dim"),
    "n_fft": ("head", "n_fft"),
    "hop_samples": ("head", "hop_length"),
    "padding": ("head", "padding"),
}


class Layout(NamedTuple):
    """The sizes of a network, as a released YAML file states them."""

    ratios: list[int]  # of the encoder's strides, the last stride first
    n_codebooks: int
    n_codes: int
    d_latent: int
    width: int
    hidden_width: int
    n_layers: int
    n_bandwidths: int
    head_width: int
    n_fft: int
    hop_samples: int
    padding: str


class WavTokenizerNetwork(nn.Module):
    """The parts of a released checkpoint, with its keys."""

    def __init__(self, layout: Layout):
        super().__init__()
        parts = {
            "encoder": SEANetEncoder(dimension=layout.d_latent, ratios=layout.ratios),
            # Every checkpoint has EnCodec's decoder, which WavTokenizer never runs
            "decoder": SEANetDecoder(dimension=layout.d_latent),
            "quantizer": ResidualVectorQuantizer(layout.d_latent, n_q=1, bins=layout.n_codes),
        }
        self.feature_extractor = nn.ModuleDict({"encodec": nn.ModuleDict(parts)})
        self.backbone = VocosBackbone(
            layout.d_latent, layout.width, layout.hidden_width, layout.n_layers, layout.n_bandwidths
        )
        self.head = SpectrumHead(layout.width, layout.n_fft, layout.hop_samples)


def empty_network(layout: Layout) -> WavTokenizerNetwork:
    """A network of this layout that holds no numbers yet, on the meta device."""
    with torch.device("meta"), former_weight_norm():
        return WavTokenizerNetwork(layout)


class WavTokenizer:
    """The latent is the code vector nearest to the encoder's output, which the decoder reads, or that output.

    The decoder's attention and group norms see a whole clip: the audio of a frame depends on all the clip's frames, and
    a part decoded alone sounds otherwise. So a clip is decoded as one, however long it is. That takes about 20 kB a
    frame (5 GB for an hour at 75 Hz), and in clips beyond ten minutes attention takes most of the time.
    """

    n_channels = 1
    d_latent = D_LATENT

    def __init__(self, name: str, network: WavTokenizerNetwork, geometry: FrameGeometry, options: dict, device: str):
        self.name = name
        self.geometry = geometry
        self.sample_rate_hz, self.hop_samples = geometry.sample_rate_hz, geometry.hop_samples
        self.is_quantised = options["latent"] == "post_quantised"
        self.bandwidth_id = options["bandwidth_id"]
        self.device, self.dtype = device, network_dtype(options["precision"], device)
        self.decoded_frames = DECODED_FRAMES[torch.device(device).type]
        encodec = network.feature_extractor["encodec"]
        self.encoder = SeanetEncoder(encodec["encoder"], device, self.dtype)
        self.codebook = frozen(encodec["quantizer"].vq.layers[0]._codebook, device, torch.float32)
        self.backbone = frozen(network.backbone, device, self.dtype)
        # Phases turn many times over: half a number's digits would leave little of them
        self.head = frozen(network.head, device, torch.float32)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (1, n_samples) float32 -> latents (n_frames, 512) float32; contract.Encoder."""
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same for many recordings of any lengths, side by side."""
        embedded = self.encoder.encode([checked_audio(self, audio) for audio in audios])
        return [self.quantised(frames) for frames in embedded] if self.is_quantised else embedded

    @torch.inference_mode()
    def codes(self, embedded: np.ndarray) -> np.ndarray:
        """embedded (n_frames, 512), the encoder's output -> the nearest code (n_frames,) int64 of each."""
        parts = torch.from_numpy(embedded).split(QUANTISED_FRAMES)
        return torch.cat([self.codebook.encode(part.to(self.device)).cpu() for part in parts]).numpy()

    @torch.inference_mode()
    def quantised(self, embedded: np.ndarray) -> np.ndarray:
        """embedded (n_frames, 512) -> the nearest code vectors (n_frames, 512)."""
        return self.codebook.decode(torch.from_numpy(self.codes(embedded)).to(self.device)).cpu().numpy()

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, 512) float32, quantised or not -> audio (1, n_frames · hop) float32; contract.Encoder.

        Raises ValueError for latents so large that their audio is not finite.
        """
        latents = checked_latents(self, latents)
        surveyed = self._survey(latents)
        reach_frames = self.backbone.reach_frames + self.head.reach_frames
        audio = decode_in_chunks(self._refine, surveyed, self.hop_samples, self.decoded_frames, reach_frames)
        return checked_sound(self, audio, latents)

    @torch.inference_mode()
    def _survey(self, latents: np.ndarray) -> np.ndarray:
        """latents (T, 512) -> (T, C), all that the decoder computes from the clip as a whole."""
        x = torch.from_numpy(latents.T).to(self.device, self.dtype)[None]
        return self.backbone.survey(x)[0].float().cpu().numpy()

    @torch.inference_mode()
    def _refine(self, surveyed: np.ndarray, first_frame: int) -> np.ndarray:
        """surveyed (T, C) -> audio (1, T · hop); nothing depends on first_frame."""
        x = torch.from_numpy(surveyed).to(self.device, self.dtype)[None]
        return self.head(self.backbone.refine(x, self.bandwidth_id).float()).cpu().numpy()


def read_layout(path: str | Path) -> Layout:
    """The layout in a released YAML file, of which only `init_args` are read.

    Raises ValueError, naming the file and the key, for what is missing and for what this decoder cannot be.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as YAML ({error}); delete it and run again") from error
    layout = Layout(**{field: _found(content, path, *place) for field, place in PLACES.items()})
    for field, value in layout._asdict().items():
        expected = {"ratios": list, "padding": str}.get(field, int)
        numbers = value if isinstance(value, list) else [value]
        if not isinstance(value, expected) or not all(field == "padding" or _is_count(number) for number in numbers):
            raise ValueError(f"{path}: {'.'.join(PLACES[field])} is {value!r}, which is no {field} of a network")
    faults = {
        f"{layout.n_codebooks} codebooks, not 1": layout.n_codebooks != 1,
        f"latents of width {layout.d_latent}, not {D_LATENT}": layout.d_latent != D_LATENT,
        f"a head of width {layout.head_width} on a backbone of {layout.width}": layout.head_width != layout.width,
        f"padding {layout.padding!r}, not 'same'": layout.padding != "same",
        f"strides {layout.ratios} for a hop of {layout.hop_samples}": math.prod(layout.ratios) != layout.hop_samples,
        f"windows of {layout.n_fft} for a hop of {layout.hop_samples}": layout.n_fft < layout.hop_samples
        or (layout.n_fft - layout.hop_samples) % 2 == 1,
    }
    named = [fault for fault, is_there in faults.items() if is_there]
    if named:
        raise ValueError(f"{path} is no layout of a WavTokenizer: it has {'; '.join(named)}")
    return layout


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _found(content: object, path: str | Path, part: str, key: str) -> object:
    for step in ("model", "init_args", part, "init_args", key):
        if not isinstance(content, dict) or step not in content:
            raise ValueError(f"{path} is no layout of a WavTokenizer: it lacks model.init_args.{part}.init_args.{key}")
        content = content[step]
    return content


def _weights_of(path: str | Path) -> dict[str, Tensor]:
    """The network's tensors in a Lightning checkpoint."""
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"] if isinstance(checkpoint, dict) and "state_dict" in checkpoint else None
    if not isinstance(state, dict):
        raise ValueError(f"{path} has no state_dict, as a checkpoint of WavTokenizer has; is it another model's?")
    return {key: value for key, value in state.items() if key.startswith(PARTS) and isinstance(value, Tensor)}


def _hop_samples_of(weights: dict[str, Tensor]) -> int | None:
    """Samples a frame of a checkpoint's encoder, whose strided convolutions are two strides wide; None without them."""
    keys = [f"feature_extractor.encodec.encoder.model.{position}.conv.conv.weight_v" for position in (3, 6, 9, 12)]
    if not all(key in weights and weights[key].ndim == 3 for key in keys):
        return None
    return math.prod(weights[key].shape[2] // 2 for key in keys)


def load(weights: list[str], options: dict, device: str) -> Encoder:
    """WavTokenizer from its released files, checkpoint and layout.

    Raises ValueError, naming the files, if the layout is none, is not the variant's, or is not the checkpoint's.
    """
    checkpoint, layout_file = weights
    card = plugins.with_variant(plugins.card("encoders", "wavtokenizer"), options)
    geometry = FrameGeometry(card["sample_rate_hz"], card["hop_samples"])
    layout = read_layout(layout_file)
    if layout.hop_samples != geometry.hop_samples:
        raise ValueError(
            f"{layout_file} is a layout of {layout.hop_samples} samples a frame; "
            f"the variant {options['variant']} has {geometry.hop_samples}"
        )
    if options["bandwidth_id"] >= layout.n_bandwidths:
        raise ValueError(f"bandwidth_id is {options['bandwidth_id']}, but {layout_file} has {layout.n_bandwidths} rows")
    network, weights_found = empty_network(layout), _weights_of(checkpoint)
    hop_samples = _hop_samples_of(weights_found)
    if hop_samples not in (None, layout.hop_samples):
        raise ValueError(
            f"{checkpoint} holds a network of {hop_samples} samples a frame, {layout_file} is a layout of "
            f"{layout.hop_samples}: they are not of one model"
        )
    load_strictly(network, weights_found, f"{checkpoint} (read with the layout {layout_file})")
    return WavTokenizer(f"wavtokenizer_{options['variant']}", network, geometry, options, device)
