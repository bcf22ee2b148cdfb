"""A user's own encoder as a job has it: imported from its file, tried out, and held to contract.Encoder at every call.

What is read of it without running it is sonolens.encoders.own_class.
"""

import importlib.util
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from sonolens.encoders.checks import checked_audio, checked_latents
from sonolens.encoders.contract import Encoder
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.own_class import COUNTS, card, code_files, located

# Relative distance of a recording's latents in a batch and alone. Half precision stays far below, padding does not
MOST_APART = 0.1


def load(module: str, weights: list[str], options: dict, device: str, root: str | Path = "") -> Encoder:
    """Import a user's encoder, build it on `device` and try it out: half a second of noise, and one sample.

    Raises ValueError, naming class and file, if it cannot be imported or built or breaks contract.Encoder; so do its
    methods at every later call.
    """
    described = card(module, root)
    path, class_name = located(module, root)
    arguments = {"device": device, **options}
    if described["takes_weights"]:
        arguments["weights"] = weights
    elif weights:
        raise ValueError(
            f"{module}: the config gives it weights, but its __init__ has no parameter `weights: list[str]`"
        )
    _refuse_taken_names(module, root)
    try:
        built = getattr(_import(path), class_name)(**arguments)
    except Exception as error:
        raise ValueError(f"{module} cannot be imported and built: {type(error).__name__}: {error}") from error
    held = (HeldBatchEncoder if hasattr(built, "encode_batch") else HeldEncoder)(built, module, described)
    held.try_out()
    return held


def _refuse_taken_names(module: str, root: str | Path) -> None:
    """Raise ValueError if a file beside the user's would not be imported, since a module of its name already is."""
    path, _ = located(module, root)
    folder = path.parent.resolve()
    for file in code_files(module, root):
        name = file.relative_to(path.parent).parts[0].removesuffix(".py")
        loaded = sys.modules.get(name)
        if file == path or file.suffix != ".py" or loaded is None:
            continue
        origin = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", [])), None)
        if origin is None or not Path(origin).resolve().is_relative_to(folder):
            raise ValueError(f"{module}: '{file}' hides behind the module '{name}' of {origin or 'Python'}: rename it")


def _import(path: Path) -> ModuleType:
    """Import the file at `path`; what lies beside it can be imported by it, then and later."""
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # a name that no other module has, whatever the file is called
    name = f"own_encoder_{path.stem}_{zlib.crc32(folder.encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    imported = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(imported)
    except BaseException:
        del sys.modules[name]
        raise
    return imported


class HeldEncoder:
    """A user's encoder as contract.Encoder; a ValueError that names it at the first thing that it does otherwise."""

    def __init__(self, built: object, module: str, described: dict):
        self.built, self.where = built, module
        self.name = module.rpartition(":")[2]
        self.sample_rate_hz, self.n_channels, self.d_latent, self.hop_samples = (described[name] for name in COUNTS)
        offset = {name: described[name] for name in ["frame_offset_frames"] if name in described}
        self.geometry = FrameGeometry(self.sample_rate_hz, self.hop_samples, **offset)
        for name in COUNTS:
            if getattr(built, name) != described[name]:
                raise ValueError(
                    f"{module} has {name} = {getattr(built, name)!r} once it is built, but its class says "
                    f"{described[name]}: the workflow goes by the class"
                )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_channels, n_samples) float32 -> latents (n_frames, d_latent) float32; contract.Encoder."""
        audio = checked_audio(self, audio)
        return self._latents(audio, self._call("encode", audio, str(audio.shape)), "encode")

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, d_latent) float32 -> audio (n_channels, n_frames · hop) float32; contract.Encoder."""
        latents = checked_latents(self, latents)
        audio = self._call("decode", latents, str(latents.shape))
        expected = (self.n_channels, len(latents) * self.hop_samples)
        meaning = "(n_channels, n_frames · hop_samples)"
        return self._as_promised(audio, expected, f"decode of latents {latents.shape}", meaning)

    def try_out(self) -> None:
        """Encode and decode noise and a single sample. Raises ValueError if anything is not as it has to be."""
        for audio in (_noise(self, self.sample_rate_hz // 2 + 1), _noise(self, 1)):
            latents = self._unchanged(self.encode, audio, "encode")
            self._unchanged(self.decode, latents, "decode")

    def _unchanged(self, call: Callable[[np.ndarray], np.ndarray], given: np.ndarray, method: str) -> np.ndarray:
        before = given.copy()
        returned = call(given)
        if not np.array_equal(before, given):
            raise ValueError(f"{self.where}: {method} writes into the array that it is given; let it work on a copy")
        return returned

    def _call(self, method: str, given: np.ndarray | list[np.ndarray], shapes: str) -> object:
        try:
            with torch.no_grad():
                return getattr(self.built, method)(given)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            raise ValueError(f"{self.where}: {method} failed on an input of shape {shapes}: {failure}") from error

    def _latents(self, audio: np.ndarray, returned: object, method: str) -> np.ndarray:
        expected = (self.geometry.n_frames(audio.shape[1]), self.d_latent)
        meaning = "(ceil(n_samples / hop_samples), d_latent)"
        return self._as_promised(returned, expected, f"{method} of audio {audio.shape}", meaning)

    def _as_promised(self, returned: object, expected: tuple[int, int], did: str, meaning: str) -> np.ndarray:
        """An array or tensor that a method returned, as a float32 array. Raises ValueError if it is no such thing."""
        if hasattr(returned, "detach"):  # a tensor, of a type and in a place that numpy may not know
            returned = returned.detach().cpu()
            returned = (returned.float() if returned.is_floating_point() else returned).numpy()
        try:
            array = np.asarray(returned)
        except ValueError:  # lists of unequal length
            array = np.empty(0, object)
        if array.dtype.kind not in "fiu":
            kind = f"numbers of type {array.dtype}" if isinstance(returned, np.ndarray) else type(returned).__name__
            raise ValueError(f"{self.where}: {did} gave {kind}; an array of real numbers {expected} is expected")
        if array.shape != expected:
            hint = "; it is transposed" if array.shape == expected[::-1] else ""
            raise ValueError(f"{self.where}: {did} gave {array.shape}; {expected} is expected, {meaning}{hint}")
        with np.errstate(over="ignore"):
            array = np.array(array, np.float32, order="C")  # a copy: the user's may be a buffer of theirs
        if not np.isfinite(array).all():
            raise ValueError(f"{self.where}: {did} gave values that are not finite, or beyond float32")
        return array


class HeldBatchEncoder(HeldEncoder):
    """The same of a class that has `encode_batch`."""

    def encode_batch(self, audios: list[np.ndarray]) -> list[np.ndarray]:
        """What `encode` gives for each of the recordings (n_channels, n_samples)."""
        audios = [checked_audio(self, audio) for audio in audios]
        returned = self._call("encode_batch", audios, ", ".join(str(audio.shape) for audio in audios))
        if not hasattr(returned, "__len__") or len(returned) != len(audios):
            found = len(returned) if hasattr(returned, "__len__") else type(returned).__name__
            raise ValueError(f"{self.where}: encode_batch of {len(audios)} recordings gave {found} of latents")
        return [self._latents(audio, one, "encode_batch") for audio, one in zip(audios, returned, strict=True)]

    def try_out(self) -> None:
        """The same, and that a recording's latents do not depend on what else is in the batch."""
        super().try_out()
        audios = [_noise(self, self.sample_rate_hz // 2 + 1), _noise(self, self.sample_rate_hz // 6 + 1)]
        for audio, in_batch in zip(audios, self.encode_batch(audios), strict=True):
            alone = self.encode(audio)
            if np.linalg.norm(in_batch - alone) > MOST_APART * np.linalg.norm(alone):
                raise ValueError(
                    f"{self.where}: encode_batch gives other latents than encode for audio {audio.shape} beside audio "
                    "of another length; does padding leak into them?"
                )


def _noise(encoder: Encoder, n_samples: int) -> np.ndarray:
    """White noise (n_channels, n_samples) float32, the same at each call."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (encoder.n_channels, n_samples)).astype(np.float32)
