"""DAMP-VSEP's folders in small: performances as m4a and ogg, duets among them."""

from pathlib import Path

import numpy as np
import soundfile

import m4a_files

RATE_HZ, LASTS_S = 22050, 1.0


def voice(number: int, lasts_s: float = LASTS_S) -> np.ndarray:
    """A tone that steps through a scale, (n_samples,)."""
    time_s = np.arange(round(lasts_s * RATE_HZ)) / RATE_HZ
    midi = 55 + (number * 5) % 17 + 2 * np.floor(4 * time_s / lasts_s)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((midi - 69) / 12)) / RATE_HZ
    level = 0.1 + 0.2 * np.abs(np.sin(np.pi * time_s / lasts_s))
    return level * sum(np.sin(k * phase) / k for k in range(1, 5))


def write(root: Path, n_arrangements: int = 6, n_each: int = 2, lasts_s: float = LASTS_S) -> Path:
    """n_arrangements · n_each solos, and two duets: one in a folder, one whose second voice is elsewhere."""
    for number in range(n_arrangements * n_each):
        arrangement, turn = divmod(number, n_each)
        country, language = (("US", "en"), ("BR", "pt"), ("JP", "ja"))[turn % 3]
        performance(
            root / f"{1 + number % 4}/{country}/{language}/{100 + arrangement}_{9000 + number}", number, lasts_s
        )
    duet = root / "2/US/en/200_9500"
    performance(duet, 3, lasts_s)
    soundfile.write(duet / "vocal2.ogg", voice(4, lasts_s), RATE_HZ, format="OGG", subtype="VORBIS")
    performance(root / "3/US/en/201_9600", 5, lasts_s)
    elsewhere = root / "7/GB/en/201_9601"
    elsewhere.mkdir(parents=True)
    soundfile.write(elsewhere / "vocal2.ogg", voice(6, lasts_s), RATE_HZ, format="OGG", subtype="VORBIS")
    return root


def performance(folder: Path, number: int, lasts_s: float) -> None:
    folder.mkdir(parents=True)
    sung = voice(number, lasts_s)
    soundfile.write(folder / "vocal.ogg", sung, RATE_HZ, format="OGG", subtype="VORBIS")
    m4a_files.write(folder / "mix.m4a", np.stack([sung, sung])[:, : len(sung)] * 0.8, RATE_HZ)
    (folder / "background.m4a").write_bytes(b"not read")
