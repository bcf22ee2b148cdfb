"""What goes wrong with a download, in words that say what to do."""

import errno
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from sonolens.downloads import links


class DownloadError(RuntimeError):
    """A file that could not be had; the message says which, why, and what to do."""


class Broken(Exception):
    """A try that failed in a way that another may not; wait_s if the server said how long to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


class NoRanges(Exception):
    """A server that gives files as a whole only; n_bytes: of this one, where the server said it."""

    def __init__(self, n_bytes: int | None):
        super().__init__("the server gives whole files only")
        self.n_bytes = n_bytes


def _in_files(name: str, stands_in: str) -> str:
    """The line of the config that puts something in the place of the released file."""
    return f"\n  downloads: {{files: {{{name}: {stands_in}}}}}"


def _copy(name: str, before: str = "") -> str:
    """The line that names a copy, which of an archive may be the folder that it was unpacked to."""
    is_archive = name.endswith(links.ARCHIVE_SUFFIXES)
    hint = " (of an archive, the folder that it was unpacked to does as well)" if is_archive else ""
    return f"{hint}:{before}{_in_files(name, f'/path/to/{PurePosixPath(name).name}')}"


def needs_login(wanted: dict, status: int) -> DownloadError:
    """HTTP 401 and 403."""
    return DownloadError(
        f"{wanted['source']} is not given to everyone (HTTP {status}): it needs a login, access that is granted on "
        "request, or terms accepted on its page. Download it there and give its path in the config"
        + _copy(wanted["name"])
    )


def is_gone(wanted: dict, status: int) -> DownloadError:
    """HTTP 404 and 410."""
    return DownloadError(
        f"there is nothing at {wanted['source']} (HTTP {status}). If it was moved, give its new link, or the path of a "
        f"copy, in the config:{_in_files(wanted['name'], 'link or path')}"
    )


def is_a_page(wanted: dict) -> DownloadError:
    """A web page where a file should be."""
    return DownloadError(
        f"{wanted['source']} answers with a web page, not with {wanted['name']}: is there a login in between? Give the "
        f"path of a copy in the config{_copy(wanted['name'])}"
    )


def is_not_trusted(wanted: dict, error: Exception) -> DownloadError:
    """A certificate that does not hold."""
    return DownloadError(
        f"{wanted['source']}: no trusted connection ({error}). If a proxy of your institution replaces certificates, "
        "name its own in the environment variable REQUESTS_CA_BUNDLE"
    )


def is_another(wanted: dict, differences: list[str], sha256: str | None) -> DownloadError:
    """Size or sum are not those released; sha256: what the file has, if it was read."""
    again = "it was not kept. Run again: if that repeats itself, another file lies there. "
    text = (
        f"{wanted['name']} from {wanted['source']} has {' and '.join(differences)}; "
        f"{again if links.is_link(wanted['source']) else 'it is another file. '}Give the path or link of the right one "
        "in the config:" + _in_files(wanted["name"], "path or link")
    )
    if sha256:
        own = f"{{source: '{wanted['source']}', sha256: '{sha256}'}}"
        text += f"\nor, if it is this one that you want:{_in_files(wanted['name'], own)}"
    return DownloadError(text)


def given_up(wanted: dict, reason: str, n_there: int) -> DownloadError:
    """No try is left; n_there bytes are kept."""
    text = f"{wanted['source']} could not be downloaded: {reason}. "
    if n_there:
        return DownloadError(text + f"{n_there / 1e6:.1f} MB have arrived; run again to go on there")
    parts = urlsplit(wanted["source"])
    prefix = f"{parts.scheme}://{parts.netloc}/"
    return DownloadError(
        f"{text}If there is no way to {parts.netloc} from this machine: downloads run where snakemake was started, so "
        "start it on the login node, or set https_proxy in the environment, or name a mirror or a copy in the config"
        + _copy(wanted["name"], f"\n  downloads: {{mirrors: {{'{prefix}': link or folder}}}}")
    )


def is_not_there(wanted: dict) -> FileNotFoundError:
    """A path in the config behind which nothing lies."""
    detail = f"no such file to take {wanted['name']} from (`downloads` in the config)"
    return FileNotFoundError(errno.ENOENT, detail, wanted["source"])


def is_a_folder(wanted: dict) -> IsADirectoryError:
    """A folder where a file is wanted as a whole."""
    detail = f"a folder cannot stand in for the file {wanted['name']} (`downloads` in the config)"
    return IsADirectoryError(errno.EISDIR, detail, wanted["source"])


def has_changed(wanted: dict) -> DownloadError:
    """What lies behind the link is no longer what the first answers were of."""
    return DownloadError(
        f"{wanted['source']} changed while {wanted['name']} was read from it (another length, date or ETag). What had "
        "arrived before is kept; run again. If that repeats itself, name another mirror or a copy in the config"
        + _copy(wanted["name"])
    )


def is_another_part(wanted: dict, asked: str, got: str | None) -> DownloadError:
    """A partial answer with other bytes than those asked for."""
    return DownloadError(
        f"{wanted['source']}: asked for {asked}, the server answered with {got or 'a part that it does not name'}. "
        f"Name another mirror or a copy in the config{_copy(wanted['name'])}"
    )


def is_packed(wanted: dict) -> DownloadError:
    """A part of a file that the server compresses on its way, of which no other part can be used."""
    return DownloadError(
        f"{wanted['source']}: the server compresses what it sends, although it was asked not to. Name another mirror "
        f"or a copy in the config{_copy(wanted['name'])}"
    )


def is_too_large(wanted: dict, n_bytes: int, largest: int) -> DownloadError:
    """An archive of which the server does not give parts."""
    return DownloadError(
        f"the server of {wanted['source']} does not give parts of a file, and for a few of its members all "
        f"{n_bytes / 1e9:.0f} GB are not downloaded ({largest / 1e9:.0f} GB are the most). Name a mirror that gives "
        f"parts (HTTP ranges), or a local copy, in the config{_copy(wanted['name'])}"
    )


def is_no_archive(wanted: dict, reason: object) -> DownloadError:
    """Bytes that are no archive of the kind expected, or a damaged one."""
    return DownloadError(f"{wanted['name']} from {wanted['source']} cannot be read as an archive: {reason}")


def is_hostile(wanted: dict, member: str, reason: str) -> DownloadError:
    """An archive with something in it that no honest one has."""
    return DownloadError(
        f"{wanted['name']} from {wanted['source']} is not read: its member {member!r} {reason}. If you trust it, "
        f"unpack it yourself and name the folder in the config:{_in_files(wanted['name'], '/path/to/folder')}"
    )


def is_damaged(wanted: dict, member: str, reason: object) -> DownloadError:
    """A member whose bytes do not fit its checksum, or that cannot be decompressed."""
    return DownloadError(f"{member} in {wanted['name']} from {wanted['source']} is damaged ({reason}); it was not kept")


def has_no_member(wanted: dict, members: list[str]) -> DownloadError:
    """Members that are asked for and are not there."""
    more = f" and {len(members) - 3} more" if len(members) > 3 else ""
    return DownloadError(
        f"{wanted['name']} from {wanted['source']} has no {', '.join(members[:3])}{more}: is it another version?"
    )
