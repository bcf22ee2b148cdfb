"""Fetch one file: resumed after a break or a kill, verified, and under its name only when it is whole."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import requests

from sonolens.downloads import answers, faults, links, sources
from sonolens.downloads.checking import Sums, differences, size_difference, verify
from sonolens.downloads.licences import licence
from sonolens.downloads.partial import Partial
from sonolens.downloads.tries import Tries
from sonolens.jobs import progress

CHUNK_BYTES = 1 << 16

Say = Callable[[str], None]


def fetch(wanted: dict, target: str | Path, say: Say) -> None:
    """Put the file that `sources.wanted` describes at `target`; the notice of its licence is said first.

    Raises DownloadError, FileNotFoundError (no such local file) or OSError (the disk is full). `target` is then as it
    was. Only one process at a time may fetch for one target.
    """
    say_terms(wanted, say)
    bring(wanted, Path(target), say)


def say_terms(wanted: dict, say: Say) -> None:
    """Where a file comes from, and what its licence asks for."""
    terms = licence(wanted["licence"])
    say(f"{wanted['name']}, from {wanted['source']}\nlicence: {terms.title} ({terms.url}). {terms.summary}")


def bring(wanted: dict, target: Path, say: Say) -> None:
    """`fetch` behind that notice."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Partial(wanted, target)
    partial.remove_others()
    sums = (_download if links.is_link(wanted["source"]) else _take_local)(wanted, partial, say)
    try:
        verify(wanted, partial.n_bytes(), sums, say)
    except faults.DownloadError:
        partial.remove()
        raise
    partial.becomes(target)


def _take_local(wanted: dict, partial: Partial, say: Say) -> dict[str, str]:
    """A hard link to a file of this user's own, where the file system has them, else a copy; its sums.

    What belongs to somebody else is copied, since Snakemake sets the time stamps of its outputs. The file itself is
    left as it is, its mode included.
    """
    source = Path(wanted["source"])
    if not source.is_file():
        raise faults.is_not_there(wanted)
    partial.remove()
    if source.stat().st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            os.link(source.resolve(), partial.path)
    if not partial.path.exists():
        with partial.growing():
            shutil.copyfile(source, partial.path)
    sums = Sums(wanted)
    sums.add_file(partial.path)
    return sums.digits()


def _download(wanted: dict, partial: Partial, say: Say) -> dict[str, str]:
    """Every byte of it; its sums."""
    has_begun = partial.n_bytes() > 0
    sums = _until_whole(wanted, partial, say)
    if has_begun and differences(wanted, partial.n_bytes(), sums):
        say("what an earlier job had left does not fit the rest, or is damaged: downloading all of it again")
        partial.remove()
        sums = _until_whole(wanted, partial, say)
    return sums


def _until_whole(wanted: dict, partial: Partial, say: Say) -> dict[str, str]:
    tries = Tries(wanted, say)
    while True:
        try:
            return _one_try(wanted, partial, say)
        except faults.Broken as error:
            tries.again(error, partial.n_bytes())


def _one_try(wanted: dict, partial: Partial, say: Say) -> dict[str, str]:
    """Ask for what is missing and take it in; the sums of all. Raises Broken if it has to be asked for once more."""
    version, n_there, sums = partial.version(), partial.n_bytes(), Sums(wanted)
    if n_there and version is None:  # nobody knows of which version of the file it is
        partial.remove()
        n_there = 0
    if n_there:
        sums.add_file(partial.path)
        if n_there == version.n_bytes:
            return sums.digits()
    with answers.answer(wanted, answers.request_headers(n_there, version)) as response:
        if response.status_code == 416 or (
            response.status_code == 206 and not (n_there and answers.continues(response, n_there, version))
        ):
            partial.remove()
            raise faults.Broken("the server does not go on where this file ends")
        answers.refuse(response, wanted)
        if response.status_code == 206:
            say(f"going on at {n_there / 1e6:.1f} MB")
        else:
            if n_there:
                say("the server begins anew: it does not continue files, or the file has changed")
            n_there, sums, version = 0, Sums(wanted), _begin(response, wanted, partial)
        n_there += _take_in(response, partial, sums, n_there, version.n_bytes)
    if version.n_bytes is not None and n_there < version.n_bytes:
        raise faults.Broken(f"the connection ended after {n_there} of {version.n_bytes} bytes")
    return sums.digits()


def _begin(response: requests.Response, wanted: dict, partial: Partial) -> answers.Version:
    """Before the first byte of a whole file: what it is a part of, and whether it is worth having."""
    partial.remove()
    version = answers.version_of(response)
    # What cannot be told apart from another version, neither by the server nor by a sum, is not continued.
    if not answers.is_compressed(response) and (version.validator or any(wanted[kind] for kind in sources.SUM_DIGITS)):
        partial.is_part_of(version)
    if version.n_bytes is not None and wanted["sum_is_certain"] and size_difference(wanted, version.n_bytes):
        partial.remove()
        raise faults.is_another(wanted, size_difference(wanted, version.n_bytes), None)
    return version


def _take_in(response: requests.Response, partial: Partial, sums: Sums, n_there: int, n_bytes: int | None) -> int:
    """Append what the server sends, and count it into the sums; the number of bytes that came."""
    if n_bytes is not None:
        partial.refuse_small_disk(n_bytes - n_there)
    n_new = 0
    with progress.of_bytes(partial.name, n_bytes, n_there) as bar, partial.growing(), partial.path.open("ab") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            file.flush()  # a kill loses nothing that was counted
            sums.add(chunk)
            n_new += len(chunk)
            bar.update(len(chunk))
    return n_new
