"""What a dataset's module is handed to have its released files by, wherever they come from (datasets.files.Supply)."""

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sonolens import plugins
from sonolens.downloads import checking, disk, faults, fetching, links, sources
from sonolens.downloads.extracted_folder import ExtractedFolder, ExtractedTar
from sonolens.downloads.partial import Version
from sonolens.downloads.ranged_file import RangedFile
from sonolens.downloads.tar_stream import TarArchive
from sonolens.downloads.zip_archive import INCOMING, ZipArchive, remove_if_empty
from sonolens.jobs import life

LARGEST_WHOLE_BYTES = 20_000_000_000  # of an archive that is downloaded for the sake of some members


class Supply:
    """Of one dataset. files: those of its card; downloads: the config's, so far as it concerns them."""

    def __init__(self, folder: Path, files: list[dict], downloads: dict, *, seed: int, splits: dict[str, float]):
        self.seed, self.splits = seed, splits
        self._folder, self._files, self._downloads = folder, files, downloads
        self._are_said: set[str] = set()

    @classmethod
    def of(
        cls,
        module: str,
        table: str | Path,
        origin: str,
        own_sums: dict[str, dict[str, str]],
        *,
        seed: int,
        splits: dict[str, float],
    ) -> "Supply":
        """For a job that writes `table` into the dataset's folder; origin, own_sums: what `sources` made of them."""
        files = sources.card_files(plugins.card("datasets", module))
        return cls(Path(table).parent, files, sources.as_told(origin, own_sums), seed=seed, splits=splits)

    def say(self, text: str) -> None:
        """A line in the job's log."""
        print(text)

    def note(self, event: str, text: str) -> None:
        """An event in the job's life."""
        life.note(event, text)

    def reserve(self, n_bytes: int) -> None:
        """Raise OSError, before anything is fetched, if the disk has no room for so much."""
        self._folder.mkdir(parents=True, exist_ok=True)
        disk.refuse_small(self._folder, "what is asked for", n_bytes)

    def file(self, name: str, md5: str | None = None) -> Path:
        """A released file, verified: under `released` in the dataset's folder, or the user's own where it lies.

        Raises DownloadError, FileNotFoundError or IsADirectoryError (of what stands in), or OSError (a full disk).
        """
        wanted = self._wanted(name, md5)
        if not links.is_link(wanted["source"]):
            return self._local_file(wanted)
        return self._whole(wanted, self._folder / "released" / name)

    @contextlib.contextmanager
    def zip(self, name: str) -> Iterator[ZipArchive | ExtractedFolder]:
        """A released zip archive, of which only what is read is fetched; or what stands in for it.

        An archive of a server that does not give parts lies on the disk as a whole until the block has ended well.
        Raises what `file` does.
        """
        wanted = self._wanted(name)
        if links.is_link(wanted["source"]):
            with self._opened(wanted) as file:
                yield ZipArchive(file, wanted, self._folder, file.announce if isinstance(file, RangedFile) else None)
        elif Path(wanted["source"]).is_dir():
            yield ExtractedFolder(wanted, self.say)
        else:
            with self._local_file(wanted, is_archive=True).open("rb") as file:
                yield ZipArchive(file, wanted, self._folder)

    @contextlib.contextmanager
    def tar(self, name: str, md5: str | None = None) -> Iterator[TarArchive | ExtractedTar]:
        """A released tar archive, read as it arrives; or what stands in for it. As `zip` else."""
        wanted = self._wanted(name, md5)
        if links.is_link(wanted["source"]):
            with self._opened(wanted) as file:
                version = Version(None, file.seek(0, os.SEEK_END))
                archive = TarArchive(
                    file, file.version if isinstance(file, RangedFile) else version, wanted, self._folder, self.say
                )
                if isinstance(file, RangedFile):
                    file.announce([(0, version.n_bytes)])
                yield archive
        elif Path(wanted["source"]).is_dir():
            yield ExtractedTar(wanted, self.say)
        else:
            path = self._local_file(wanted, is_archive=True)
            with path.open("rb") as file:
                yield TarArchive(file, Version(None, path.stat().st_size), wanted, self._folder, self.say)
            remove_if_empty(self._folder / INCOMING)

    def _wanted(self, name: str, md5: str | None = None) -> dict:
        """What is fetched under that name; the notice of its licence is said once."""
        wanted = sources.wanted_by_name(self._files, name, self._downloads, md5)
        if name not in self._are_said:
            fetching.say_terms(wanted, self.say)
            self._are_said.add(name)
        return wanted

    def _local_file(self, wanted: dict, is_archive: bool = False) -> Path:
        """The user's own file, which has to be the one released; of an archive the size alone may tell."""
        path = Path(wanted["source"])
        if path.is_dir():
            raise faults.is_a_folder(wanted)
        if not path.is_file():
            raise faults.is_not_there(wanted)
        checking.verify_file(wanted, path, self.say, size_suffices=is_archive)
        return path.absolute()

    def _whole(self, wanted: dict, target: Path) -> Path:
        """All of it at `target`, downloaded unless it is there."""
        if not (target.is_file() and checking.is_right(wanted, target)):
            fetching.bring(wanted, target, self.say)
        return target.absolute()

    @contextlib.contextmanager
    def _opened(self, wanted: dict) -> Iterator[BinaryIO]:
        """The bytes of an archive behind a link."""
        whole = self._folder / INCOMING / Path(wanted["name"]).name
        with self._ranged(wanted) or self._on_disk(wanted, whole) as file:
            yield file
        for left in (whole, *whole.parent.glob(f".{glob.escape(whole.name)}.*")):
            left.unlink(missing_ok=True)
        remove_if_empty(whole.parent)

    def _ranged(self, wanted: dict) -> RangedFile | None:
        """The archive's bytes as they are asked for; None if its server has no parts of it, and it is not too large."""
        try:
            file = RangedFile(wanted, self.say)
        except faults.NoRanges as error:
            n_bytes = wanted["size_bytes"] if error.n_bytes is None else error.n_bytes
            if n_bytes is not None and n_bytes > LARGEST_WHOLE_BYTES:
                raise faults.is_too_large(wanted, n_bytes, LARGEST_WHOLE_BYTES) from error
            self.say("the server does not give parts of files: all of it is downloaded, and removed at the end")
            return None
        try:
            checking.verify_size(wanted, file.n_bytes)
        except faults.DownloadError:
            file.close()
            raise
        self.say(
            "only what is read of it is fetched, verified by checksums within it; its own sum would need all of it"
        )
        return file

    def _on_disk(self, wanted: dict, whole: Path) -> BinaryIO:
        return self._whole(wanted, whole).open("rb")
