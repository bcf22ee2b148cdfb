"""Asking a server for a file or the rest of it, and reading what it answers (RFC 9110, sections 13.1.5, 14 and 15)."""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import requests

from sonolens.downloads import faults
from sonolens.downloads.partial import Version

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 20, 60
LONGEST_WAIT_S = 300  # that a server may ask for
WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


def request_headers(n_there: int, version: Version | None) -> dict[str, str]:
    """Of a request for the file, or for the rest of it behind n_there bytes of this version."""
    headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes is of no use
    if n_there:
        headers["Range"] = f"bytes={n_there}-"
        if version.validator:
            headers["If-Range"] = version.validator
    return headers


def range_headers(first: int | None, last: int) -> dict[str, str]:
    """Of a request for the bytes from `first` to `last`, both included; for the last so many without `first`."""
    return {"Accept-Encoding": "identity", "Range": f"bytes={'' if first is None else first}-{last}"}


@contextlib.contextmanager
def answer(wanted: dict, headers: dict[str, str]) -> Iterator[requests.Response]:
    """The answer to a request; what fails here, or while it is read, is Broken or a DownloadError."""
    link, more = wanted["source"], {"headers": headers, "stream": True, "timeout": timeouts()}
    with named_faults(wanted), requests.get(link, **more) as response:
        yield response


def timeouts() -> tuple[float, float]:
    """Seconds until a connection stands, and between two arrivals on it."""
    return CONNECT_TIMEOUT_S, READ_TIMEOUT_S


@contextlib.contextmanager
def named_faults(wanted: dict) -> Iterator[None]:
    """What fails while a server is asked, or its answer is read, is Broken or a DownloadError."""
    try:
        yield
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise faults.is_not_trusted(wanted, error) from error
        raise faults.Broken(f"{type(error).__name__}: {error}") from error
    except requests.RequestException as error:
        raise faults.DownloadError(f"{wanted['source']} cannot be asked for: {error}") from error


def refuse(response: requests.Response, wanted: dict) -> None:
    """Raise if the answer is not the file: DownloadError, or Broken where it may come at another try."""
    status = response.status_code
    if status in (401, 403):
        raise faults.needs_login(wanted, status)
    if status in (404, 410):
        raise faults.is_gone(wanted, status)
    if status in WORTH_ANOTHER_TRY:
        asked = response.headers.get("Retry-After", "")
        wait_s = min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else 0.0
        raise faults.Broken(f"HTTP {status} {response.reason}", wait_s)
    if status not in (200, 206):
        raise faults.DownloadError(f"{wanted['source']} answers HTTP {status} {response.reason}")
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page and not wanted["name"].endswith((".html", ".htm")):
        raise faults.is_a_page(wanted)


class Part(NamedTuple):
    """Which bytes a partial answer (206) says it has."""

    first: int
    last: int
    n_bytes: int | None  # of the whole file, where the server says it


def part_of(response: requests.Response) -> Part | None:
    """What its Content-Range says; None if that makes no sense."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    return found and Part(int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3]))


def continues(response: requests.Response, n_there: int, version: Version) -> bool:
    """Whether a partial answer (206) is the rest behind n_there bytes of this version."""
    part = part_of(response)
    return part is not None and part.first == n_there and is_of(response, part, version)


def is_of(response: requests.Response, part: Part, version: Version) -> bool:
    """Whether a partial answer is of this version, so far as it can be told: not every server heeds If-Range."""
    is_valid = version_of(response).validator in (None, version.validator)
    return is_valid and (part.n_bytes is None or version.n_bytes in (None, part.n_bytes))


def version_of(response: requests.Response) -> Version:
    """What an answer with the whole file (200) says of its version. A compressed one has nothing that can be used."""
    headers = response.headers
    if is_compressed(response):
        return Version(None, None)
    etag = headers.get("ETag", "")
    is_strong = etag.startswith('"')  # a weak one (W/"…") does not promise the same bytes
    n_bytes = headers.get("Content-Length")
    return Version(etag if is_strong else headers.get("Last-Modified"), None if n_bytes is None else int(n_bytes))


def is_compressed(response: requests.Response) -> bool:
    """Whether what is sent are not the bytes of the file, although they were asked for."""
    return response.headers.get("Content-Encoding", "identity") != "identity"
