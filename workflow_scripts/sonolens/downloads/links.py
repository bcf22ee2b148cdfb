"""Links, and the paths and mirrors that stand in for them."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

ARCHIVE_SUFFIXES = (".zip", ".tar.bz2")


def is_link(source: str) -> bool:
    """Whether it has to be downloaded, as against a path."""
    return source.startswith(("http://", "https://"))


def replaced_link(link: str, mirrors: dict[str, str]) -> str:
    """`link` with the longest of the prefixes that it begins with replaced by what stands in for it.

    Where that is a folder, what a link may have behind its path (?download=1) is no part of the file's name.
    """
    prefixes = [prefix for prefix in mirrors if link.startswith(prefix)]
    if prefixes:
        prefix = max(prefixes, key=len)
        rest = link.removeprefix(prefix)
        link = mirrors[prefix] + (rest if "://" in mirrors[prefix] else unquote(urlsplit(rest).path))
    return link_or_path(link)


def link_or_path(source: str) -> str:
    """A link as it is, a path with `~` expanded, and the path that a file:// link means."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", source)
    if scheme is None:
        return str(Path(source).expanduser())
    if scheme[1].lower() in ("http", "https"):
        return scheme[1].lower() + source.removeprefix(scheme[1])
    if scheme[1].lower() == "file" and urlsplit(source).netloc in ("", "localhost"):
        return unquote(urlsplit(source).path)
    raise ValueError(f"'{source}' cannot be fetched: it has to be a path or begin with https://, http:// or file:///")


def as_it_lies(path: str) -> str:
    """The path of a local file or, if only the folder is there that an archive of this name was extracted to, that."""
    for suffix in ARCHIVE_SUFFIXES:
        folder = path.removesuffix(suffix)
        if folder != path and not Path(path).exists() and Path(folder).is_dir():
            return folder
    return path
