"""Whether a zip archive is one that an honest person packed; judged by its directory, before any member is read."""

import itertools
import posixpath
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from sonolens.downloads import faults

LARGEST_RATIO = 200  # of a member's size to what it takes in the archive; music reaches 3, text 10
RATIO_COUNTS_FROM_BYTES = 1_000_000
HEADER_BYTES = 30  # before each member, without its name
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # all that data sets are packed with


def refuse_hostile(archive: zipfile.ZipFile, wanted: dict) -> None:
    """Raise DownloadError, naming the first member at fault, if there is anything in it that could do harm."""
    for member, reason in itertools.chain(_alone(archive), _together(archive)):
        raise faults.is_hostile(wanted, member, reason)


def why_no_path(name: str) -> str | None:
    """Why a name does not lead to a file under the folder that it is relative to; None if it does."""
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name) or not name:
        return "has a name that is no text"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return "climbs out of the folder"
    return None


def _alone(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """What is wrong with single members."""
    for info in archive.infolist():
        name, mode = info.orig_filename, info.external_attr >> 16
        ratio = info.file_size / max(1, info.compress_size)
        if reason := why_no_path(name):
            yield name, reason
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            yield name, "is a link, a device or the like"
        elif info.flag_bits & 0x1:
            yield name, "is encrypted"
        elif info.compress_type not in READABLE:
            yield name, f"is packed by a method that is not read here ({info.compress_type})"
        elif info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            yield name, "is said to be of two sizes"
        elif info.file_size > RATIO_COUNTS_FROM_BYTES and ratio > LARGEST_RATIO:
            yield name, f"would become {ratio:.0f} times as large as it is packed"


def _together(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """What is wrong with members beside each other."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    seen = set()
    for info in files:
        path = normal(info.filename)
        if path in seen:
            yield info.filename, "is there twice, or differs from another only in how it is spelt"
        seen.add(path)
    folders = {str(folder) for path in seen for folder in PurePosixPath(path).parents}
    folders |= {normal(info.filename) for info in archive.infolist() if info.is_dir()}
    for info in files:
        if normal(info.filename) in folders:
            yield info.filename, "is a file and a folder at once"
    ordered = sorted(files, key=lambda info: info.header_offset)
    stops = [info.header_offset for info in ordered[1:]] + [archive.start_dir]
    for info, stop in zip(ordered, stops, strict=False):
        if info.header_offset + HEADER_BYTES + len(info.orig_filename) + info.compress_size > stop:
            yield info.filename, "lies over another one"


def normal(name: str) -> str:
    """One form for all names that a file system may take for the same."""
    return unicodedata.normalize("NFC", posixpath.normpath(name)).casefold()
