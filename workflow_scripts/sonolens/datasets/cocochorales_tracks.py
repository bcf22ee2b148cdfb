"""The tracks of an archive of CocoChorales: a folder each, whose files come together but in any order."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from sonolens import audio
from sonolens.datasets import score_truth
from sonolens.datasets.cocochorales_voices import in_order, paired, without_number
from sonolens.datasets.files import Tar, TarMember, arrived

ENSEMBLES = ("string", "brass", "woodwind", "random")
NAME = re.compile(rf"(?:{'|'.join(ENSEMBLES)})_track\d{{6}}")
PARTS = {"mixes": {"mix"}, "stems": {"stem"}, "both": {"mix", "stem"}}
EXPECTED = (16000, 1)  # rate in Hz and channels of its recordings
FORM = 2  # of what a mark holds: one of another form is not read


@dataclass
class Track:
    """One track that is complete. rows: of files.FILES, without group, split and left_out, one a recording."""

    name: str
    group: str  # the MIDI file that it was made from
    duration_s: float  # of all its recordings that are taken
    rows: list[dict]
    voices: list[str]  # names of its stems in order, without suffix
    other_format: str  # of a recording that is not as EXPECTED; '' if there is none
    problem: str = ""  # why it cannot be used

    @property
    def ensemble(self) -> str:
        """Its name begins with it."""
        return self.name.partition("_")[0]

    @property
    def number(self) -> int:
        """Its name ends with it."""
        return int(self.name[-6:])


def state_of(parts: str, tracks: list[Track]) -> dict:
    """For a mark; `known` reads it."""
    return {"form": FORM, "parts": parts, "tracks": [asdict(track) for track in tracks]}


def known(archive: Tar, folder: Path, parts: str) -> list[Track]:
    """What an archive's mark says was dealt with. If a file of it is gone or changed, the archive begins anew."""
    state = archive.state
    if state is None:
        return []
    if state_of(parts, []).items() <= (state | {"tracks": []}).items():
        tracks = [Track(**track) for track in state["tracks"]]
        if all(_is_there(folder, row) for track in tracks for row in track.rows):
            return tracks
    archive.forget()
    return []


def arriving(archive: Tar, folder: Path, parts: str, dealt_with: Iterable[str]) -> Iterator[Track]:
    """Tracks in the archive's order, their recordings saved; each once the next one begins.

    dealt_with: names of those before. A file that comes when its track is over is passed over.
    """
    current, over = None, set(dealt_with)
    for member in archive:
        name = next((part for part in PurePosixPath(member.name).parts if NAME.fullmatch(part)), None)
        if name is None or name in over:
            continue
        if current and current.name != name:
            over.add(current.name)
            yield current.complete()
        if current is None or current.name != name:
            current = _Arriving(name, folder, PARTS[parts])
        current.take(member)
    if current:
        yield current.complete()


@dataclass
class _Arriving:
    """A track of which some files have come."""

    name: str
    folder: Path
    parts: set[str]
    about: dict = field(default_factory=dict)
    recordings: dict[str, Path] = field(default_factory=dict)  # "mix" or the name of a stem: where it lies
    stems: set[str] = field(default_factory=set)  # names of all that have a recording, taken or not
    scores: dict[str, bytes] = field(default_factory=dict)  # the same, or other names: MIDI

    def take(self, member: TarMember) -> None:
        """One of its files. Folders of stems are spelt stems_MIDI or stems_midi."""
        path = PurePosixPath(member.name)
        is_stem = path.parent.name.lower().startswith("stems_")
        if path.name.startswith("."):
            return
        if path.name == "metadata.yaml":
            self.about = _metadata(member.read())
        elif path.suffix == ".mid" and is_stem:
            self.scores[path.stem] = member.read()
        elif path.suffix == ".wav":
            self.stems |= {path.stem} if is_stem else set()
            if ("stem" if is_stem else "mix") in self.parts:
                self.recordings[path.stem] = member.save(f"audio/{self.name}/{path.name}")

    def complete(self) -> Track:
        """The track, its notes written as tables; or one with the reason why it cannot be used."""
        try:
            return self._usable()
        except ValueError as error:
            row = {"path": f"audio/{self.name}/mix.wav", "kind": "mix", "instrument": self.name.partition("_")[0]}
            return Track(self.name, "", 0.0, [row], [], "", problem=str(error))

    def _usable(self) -> Track:
        """Raises ValueError if it is not."""
        if not self.recordings:
            raise ValueError("the archive has no recording of it")
        if "midi_file" not in self.about:
            raise ValueError("its metadata.yaml does not say which MIDI file it is made from, so it has no split")
        headers = {part: self._header(part, path) for part, path in sorted(self.recordings.items())}
        others = [
            f"{part}.wav: {rate} Hz, {n} channels" for part, (_, rate, n) in headers.items() if (rate, n) != EXPECTED
        ]
        voices = in_order(self.scores if len(self.scores) > len(self.stems) else self.stems)
        notes = self._notes(voices)
        rows = [self._row(part, self.recordings[part], voices, notes) for part in headers]
        duration_s = sum(n_samples / rate for n_samples, rate, _ in headers.values())
        return Track(self.name, str(self.about["midi_file"]), duration_s, rows, voices, "; ".join(others))

    def _header(self, part: str, path: Path) -> tuple[int, int, int]:
        """As audio.header. Raises ValueError if it cannot be read."""
        if reason := audio.why_unusable(path, shortest_s=0.0):
            raise ValueError(f"{part}.wav: {reason}")
        return audio.header(path)

    def _notes(self, voices: list[str]) -> dict[str, list[tuple]]:
        """Of every voice that has a MIDI file. Raises ValueError for one that is damaged."""
        found = {}
        for voice, score in paired(voices, self.scores).items():
            table = score_truth.notes_of_midi(self.scores[score], f"{self.name}/{score}.mid")
            instrument = self._instrument(voice, voices)
            found[voice] = list(table.assign(part=instrument).itertuples(index=False, name=None))
        return found

    def _row(self, part: str, path: Path, voices: list[str], notes: dict[str, list[tuple]]) -> dict:
        """A stem has its own notes, a mix those of all voices, or none: without one, others would seem to be alone."""
        if part == "mix":
            row = {"kind": "mix", "instrument": self.name.partition("_")[0]}
            own = [note for voice in voices for note in notes[voice]] if len(notes) == len(voices) else []
        else:
            row = {"kind": "solo", "instrument": self._instrument(part, voices)}
            own = notes[part] if part in notes else []
        table = score_truth.notes_table(own) if own else None
        return row | arrived(self.folder, path) | score_truth.write(self.folder, f"{self.name}/{part}", None, table)

    def _instrument(self, stem: str, voices: list[str]) -> str:
        """What the metadata call the stem's instrument; else what its file is called."""
        named = self.about["instrument_name"] if "instrument_name" in self.about else None
        key_of = paired(voices, named) if isinstance(named, dict) else {}
        return str(named[key_of[stem]]) if stem in key_of else without_number(stem)


def _metadata(content: bytes) -> dict:
    """What a metadata.yaml says; nothing if it is damaged."""
    try:
        about = yaml.safe_load(content)
    except yaml.YAMLError:
        return {}
    return about if isinstance(about, dict) else {}


def _is_there(folder: Path, row: dict) -> bool:
    """Whether a recording still is what it was. A track without one has nothing that could be gone."""
    if "sha256" not in row:
        return True
    path = folder / row["path"]
    if not path.is_file() or path.stat().st_size != row["size_bytes"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]
