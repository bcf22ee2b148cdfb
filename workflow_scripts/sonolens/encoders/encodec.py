"""EnCodec (Défossez et al. 2022, arXiv 2210.13438) on the `encodec` package, with the weights its authors released.

https://github.com/facebookresearch/encodec
"""

from collections.abc import Sequence

import numpy as np
import torch

from sonolens import torchaudio_absent  # noqa: F401 (must come before encodec)

# isort: split
from encodec import EncodecModel

from sonolens import plugins
from sonolens.encoders.checkpoints import load_strictly, read_checkpoint
from sonolens.encoders.checks import checked_audio, checked_latents, checked_sound
from sonolens.encoders.contract import Encoder
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.networks import former_weight_norm, frozen, network_dtype
from sonolens.encoders.seanet import SeanetDecoder, SeanetEncoder

# Latent frames quantised at a time: their distances to all code vectors are held
QUANTISED_FRAMES = 4096
# Seconds that the 48 kHz model works on at a time
BATCH_SEGMENTS = {"cpu": 1, "cuda": 60}
# Added to the loudness of a segment before it is divided by it (48 kHz)
LOUDNESS_FLOOR = 1e-8


class Encodec:
    """What both models share: constants, residual vector quantisation."""

    def __init__(self, name: str, model: EncodecModel, geometry: FrameGeometry, options: dict, device: str):
        self.name = name
        self.geometry = geometry
        self.sample_rate_hz, self.n_channels = model.sample_rate, model.channels
        self.hop_samples, self.d_latent = geometry.hop_samples, model.encoder.dimension
        self.is_quantised = options["latent"] == "post_quantised"
        self.quantizer = frozen(model.quantizer, device, torch.float32)
        self.n_codebooks = model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, options["bandwidth_kbps"])
        self.device = device

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_channels, n_samples) float32 -> latents (n_frames, 128) float32; contract.Encoder."""
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same for many recordings of any lengths, side by side."""
        embedded = self.embed([checked_audio(self, audio) for audio in audios])
        return [self.quantised(frames) for frames in embedded] if self.is_quantised else embedded

    def embed(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Checked audios to latents before quantisation."""
        raise NotImplementedError

    @torch.inference_mode()
    def codes(self, embedded: np.ndarray) -> torch.Tensor:
        """embedded (n_frames, 128), latents before quantisation -> codes (n_codebooks, 1, n_frames)."""
        return self.quantizer.vq.encode(torch.from_numpy(embedded.T).to(self.device)[None], self.n_codebooks)

    @torch.inference_mode()
    def quantised(self, embedded: np.ndarray) -> np.ndarray:
        """embedded (n_frames, 128) -> the sum of its code vectors (n_frames, 128)."""
        parts = [
            self.quantizer.decode(self.codes(embedded[begin : begin + QUANTISED_FRAMES]))[0].T.cpu().numpy()
            for begin in range(0, len(embedded), QUANTISED_FRAMES)
        ]
        return np.concatenate(parts)


class Encodec24(Encodec):
    """The mono model at 24 kHz, causal: a frame sees its hop and, through the LSTM, all that came before."""

    def __init__(self, name: str, model: EncodecModel, geometry: FrameGeometry, options: dict, device: str):
        super().__init__(name, model, geometry, options, device)
        dtype = network_dtype(options["precision"], device)
        self.encoder = SeanetEncoder(model.encoder, device, dtype)
        self.decoder = SeanetDecoder(model.decoder, device, dtype)

    def embed(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self.encoder.encode(audios)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, 128) float32, quantised or not -> audio (1, n_frames · 320) float32; contract.Encoder."""
        latents = checked_latents(self, latents)
        return checked_sound(self, self.decoder.decode(latents), latents)


class Encodec48(Encodec):
    """The stereo model at 48 kHz: seconds, each divided by its loudness, overlapping by one percent.

    Its norms run over the whole of a second, so a second is never cut. A decoded second is multiplied by the loudness
    that `side` keeps of it; without one it comes out at a root mean square near 1.
    """

    def __init__(self, name: str, model: EncodecModel, geometry: FrameGeometry, options: dict, device: str):
        super().__init__(name, model, geometry, options, device)
        self.dtype = network_dtype(options["precision"], device)
        self.encoder = frozen(model.encoder, device, self.dtype)
        self.decoder = frozen(model.decoder, device, self.dtype)
        self.batch_segments = BATCH_SEGMENTS[torch.device(device).type]

    def _segments(self, audio: np.ndarray) -> list[np.ndarray]:
        starts = range(0, audio.shape[1], self.geometry.period_samples)
        return [audio[:, start : start + self.geometry.segment_samples] for start in starts]

    def embed(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        per_recording = [[segment / _loudness(segment) for segment in self._segments(audio)] for audio in audios]
        embedded = iter(self._through(self.encoder, [segment for own in per_recording for segment in own]))
        return [np.concatenate([next(embedded).T for _ in own]) for own in per_recording]

    def side(self, audio: np.ndarray) -> np.ndarray:
        """The loudness (root mean square of the mono mix) of each frame's second, (n_frames, 1) float32."""
        segments = self._segments(checked_audio(self, audio))
        n_frames = [-(-segment.shape[1] // self.hop_samples) for segment in segments]
        return np.repeat(np.array([_loudness(segment) for segment in segments], np.float32), n_frames)[:, None]

    def decode(self, latents: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
        """latents (n_frames, 128) float32 -> audio (2, n_samples) float32, seconds faded into each other.

        side: (n_frames, 1), the loudness of each frame's second. n_samples is that of what was encoded, rounded up to
        whole hops of its last second.
        """
        latents, period = checked_latents(self, latents), self.geometry.period_frames
        segments = [latents[begin : begin + period].T for begin in range(0, len(latents), period)]
        decoded = self._through(self.decoder, segments)
        if side is not None:
            if np.shape(side) != (len(latents), 1):
                raise ValueError(f"{self.name}: side is ({len(latents)}, 1) for these latents, got {np.shape(side)}")
            decoded = [audio * side[position * period, 0] for position, audio in enumerate(decoded)]
        return checked_sound(self, _faded(decoded, self.geometry.period_samples), latents)

    @torch.inference_mode()
    def _through(self, network: torch.nn.Module, segments: list[np.ndarray]) -> list[np.ndarray]:
        """Each of segments (C_in, n) through the network, (C_out, m): those of one length together."""
        outputs: list[np.ndarray | None] = [None] * len(segments)
        of_length: dict[int, list[int]] = {}
        for position, segment in enumerate(segments):
            of_length.setdefault(segment.shape[1], []).append(position)
        for positions in of_length.values():
            for begin in range(0, len(positions), self.batch_segments):
                together = positions[begin : begin + self.batch_segments]
                x = torch.from_numpy(np.stack([segments[position] for position in together]))
                y = network(x.to(self.device, self.dtype)).float().cpu().numpy()
                for position, output in zip(together, y, strict=True):
                    outputs[position] = output
        return outputs


def _loudness(segment: np.ndarray) -> np.float32:
    """Root mean square of the mono mix of (2, n), above nought."""
    return np.float32(np.sqrt(np.mean(np.square(segment.mean(axis=0)))) + LOUDNESS_FLOOR)


def _faded(segments: list[np.ndarray], stride: int) -> np.ndarray:
    """Segments (C, n), each beginning `stride` samples after the one before, as one signal.

    Where two overlap, each counts by how far the place is from its nearer end: a triangle over the first one's length.
    """
    length = segments[0].shape[1]
    rising = np.arange(1, length + 1, dtype=np.float64) / (length + 1)
    weight = (0.5 - np.abs(rising - 0.5)).astype(np.float32)
    n_samples = stride * (len(segments) - 1) + segments[-1].shape[1]
    total, weights = np.zeros((segments[0].shape[0], n_samples), np.float32), np.zeros(n_samples, np.float32)
    for position, segment in enumerate(segments):
        own = slice(position * stride, position * stride + segment.shape[1])
        total[:, own] += weight[: segment.shape[1]] * segment
        weights[own] += weight[: segment.shape[1]]
    return total / weights


BUILD = {
    "24khz": (EncodecModel.encodec_model_24khz, Encodec24),
    "48khz": (EncodecModel.encodec_model_48khz, Encodec48),
}


def load(weights: list[str], options: dict, device: str) -> Encoder:
    """EnCodec from its released file, a plain state dict. Raises ValueError, naming it, for anything else."""
    (path,) = weights
    build, encoder_class = BUILD[options["model"]]
    with former_weight_norm():
        model = build(pretrained=False)
    state = read_checkpoint(path)
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not the weights of EnCodec")
    load_strictly(model, state, path)
    card = plugins.with_variant(plugins.card("encoders", "encodec"), options)
    return encoder_class(f"encodec_{options['model']}", model, FrameGeometry.of(card), options, device)
