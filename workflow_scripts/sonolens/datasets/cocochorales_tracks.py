"""The tracks of an archive of CocoChorales: a folder each, whose files come together but in any order."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import soundfile
import yaml

from sonolens.datasets import score_truth
from sonolens.datasets.files import Tar, TarMember, arrived

ENSEMBLES = ("string", "brass", "woodwind", "random")
NAME = re.compile(rf"(?:{'|'.join(ENSEMBLES)})_track\d{{6}}")
PARTS = {"mixes": {"mix"}, "stems": {"stem"}, "both": {"mix", "stem"}}


@dataclass
class Track:
    """One track that is complete. rows: of files.FILES, without group, split and left_out, one a recording."""

    name: str
    group: str  # the MIDI file that it was made from; the name of the track where that is not stated
    duration_s: float  # of all its recordings that are taken
    rows: list[dict]
    voices: list[str]  # names of its stems in order, without suffix
    problem: str = ""  # why it cannot be used

    @property
    def ensemble(self) -> str:
        """Its name begins with it."""
        return self.name.partition("_")[0]

    def as_json(self) -> dict:
        """For a mark."""
        return asdict(self)


def known(archive: Tar, folder: Path, parts: str) -> list[Track]:
    """What an archive's mark says was dealt with. If a file of it is gone or changed, the archive begins anew."""
    state = archive.state
    if state is None:
        return []
    tracks = [Track(**track) for track in state["tracks"]]
    if state["parts"] != parts or not all(_is_there(folder, row) for track in tracks for row in track.rows):
        archive.forget()
        return []
    return tracks


def arriving(archive: Tar, folder: Path, parts: str, is_wanted: Callable[[str], bool]) -> Iterator[Track]:
    """Tracks in the archive's order, their recordings saved; each once the next one begins. Others are passed over."""
    current, finished = None, set()
    for member in archive:
        found = [part for part in PurePosixPath(member.name).parts if NAME.fullmatch(part)]
        if not found:
            continue
        if current and current.name != found[0]:
            finished.add(current.name)
            yield current.complete()
            current = None
        if current is None and found[0] not in finished and is_wanted(found[0]):
            current = _Arriving(found[0], folder, PARTS[parts])
        if current:
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
    scores: dict[str, bytes] = field(default_factory=dict)  # the same: MIDI

    def take(self, member: TarMember) -> None:
        """One of its files. Folders of stems are spelt stems_MIDI or stems_midi, and stems counted from 0 or 1."""
        path = PurePosixPath(member.name)
        is_stem = path.parent.name.lower().startswith("stems_")
        if path.name.startswith("."):
            return
        if path.name == "metadata.yaml":
            self.about = _metadata(member.read())
        elif path.suffix == ".mid":
            self.scores[path.stem] = member.read()
        elif path.suffix == ".wav" and ("stem" if is_stem else "mix") in self.parts:
            self.recordings[path.stem] = member.save(f"audio/{self.name}/{path.name}")

    def complete(self) -> Track:
        """The track, its notes written as tables."""
        voices = sorted((stem for stem in {*self.scores, *self.recordings} if stem != "mix"), key=_number)
        notes = {voice: self._notes(voice) for voice in voices if voice in self.scores}
        rows = [self._row(part, path, notes) for part, path in sorted(self.recordings.items())]
        group = str(self.about["midi_file"]) if "midi_file" in self.about else self.name
        duration_s = sum(soundfile.info(path).duration for path in self.recordings.values() if _is_sound(path))
        problem = "" if rows else "the archive has no recording of it"
        rows = rows or [{"path": f"audio/{self.name}/mix.wav", "kind": "mix", "instrument": ""}]
        return Track(self.name, group, duration_s, rows, voices, problem)

    def _notes(self, voice: str) -> list[tuple]:
        name = f"{self.name}/{voice}.mid"
        table = score_truth.notes_of_midi(self.scores[voice], name)
        return list(table.assign(part=self._instrument(voice)).itertuples(index=False, name=None))

    def _row(self, part: str, path: Path, notes: dict[str, list[tuple]]) -> dict:
        """A mix has the notes of all voices, a stem its own."""
        is_mix = part == "mix"
        own = [note for voice, some in notes.items() if is_mix or voice == part for note in some]
        row = {"kind": "mix", "instrument": self.name.partition("_")[0]}
        if not is_mix:
            row = {"kind": "solo", "instrument": self._instrument(part)}
        table = score_truth.notes_table(own) if own else None
        return row | arrived(self.folder, path) | score_truth.write(self.folder, f"{self.name}/{part}", None, table)

    def _instrument(self, stem: str) -> str:
        """What the metadata call the stem's instrument, by its place or its number; else what its file is called."""
        named = self.about["instrument_name"] if "instrument_name" in self.about else None
        own = re.sub(r"^\d+_", "", stem)
        if isinstance(named, dict):
            values = {str(key): str(value) for key, value in named.items()}
            found = [values[key] for key in (stem, str(_number(stem))) if key in values]
            return found[0] if found else own
        return own


def _metadata(content: bytes) -> dict:
    """What a metadata.yaml says; nothing if it is damaged: the track is then known by its name."""
    try:
        about = yaml.safe_load(content)
    except yaml.YAMLError:
        return {}
    return about if isinstance(about, dict) else {}


def _number(stem: str) -> int:
    leading = re.match(r"\d+", stem)
    return int(leading[0]) if leading else 1 << 20


def _is_sound(path: Path) -> bool:
    try:
        soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    return True


def _is_there(folder: Path, row: dict) -> bool:
    """Whether a recording still is what it was. A track without one has nothing that could be gone."""
    if "sha256" not in row:
        return True
    path = folder / row["path"]
    if not path.is_file() or path.stat().st_size != row["size_bytes"]:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]
