"""What goes wrong with a download, in words that say what to do."""

from urllib.parse import urlsplit


class DownloadError(RuntimeError):
    """A file that could not be had; the message says which, why, and what to do."""


class Broken(Exception):
    """A try that failed in a way that another may not; wait_s if the server said how long to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


def _in_files(name: str, stands_in: str) -> str:
    """The line of the config that puts something in the place of the released file."""
    return f"\n  downloads: {{files: {{{name}: {stands_in}}}}}"


def needs_login(wanted: dict, status: int) -> DownloadError:
    """HTTP 401 and 403."""
    name = wanted["name"]
    return DownloadError(
        f"{wanted['source']} is not given to everyone (HTTP {status}): it needs a login, or terms accepted on its page."
        f" Download it there and give its path in the config:{_in_files(name, f'/path/to/{name}')}"
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
        f"path of a copy in the config:{_in_files(wanted['name'], '/path/to/' + wanted['name'])}"
    )


def is_not_trusted(wanted: dict, error: Exception) -> DownloadError:
    """A certificate that does not hold."""
    return DownloadError(
        f"{wanted['source']}: no trusted connection ({error}). If a proxy of your institution replaces certificates, "
        "name its own in the environment variable REQUESTS_CA_BUNDLE"
    )


def is_another(wanted: dict, differences: list[str], sha256: str | None) -> DownloadError:
    """Size or sum are not those released; sha256: what the file has, if it was read."""
    text = (
        f"{wanted['name']} from {wanted['source']} has {' and '.join(differences)}; it was not kept. Run again: if "
        "that repeats itself, another file lies there. Give the path or link of the right one in the config:"
        + _in_files(wanted["name"], "path or link")
    )
    if sha256:
        own = f"{{source: '{wanted['source']}', sha256: '{sha256}'}}"
        text += f"\nor, if it is this one that you want:{_in_files(wanted['name'], own)}"
    return DownloadError(text)


def given_up(wanted: dict, reason: str, n_there: int) -> DownloadError:
    """No try is left; n_there bytes are kept."""
    text = f"{wanted['source']} could not be downloaded: {reason}. "
    if n_there:
        return DownloadError(text + f"{n_there / 1e6:.1f} MB are kept; run again to go on there")
    parts = urlsplit(wanted["source"])
    prefix, name = f"{parts.scheme}://{parts.netloc}/", wanted["name"]
    return DownloadError(
        f"{text}If there is no way to {parts.netloc} from this machine: downloads run where snakemake was started, so "
        "start it on the login node, or set https_proxy in the environment, or name a mirror or a copy in the config:"
        f"\n  downloads: {{mirrors: {{'{prefix}': link or folder}}}}{_in_files(name, f'/path/to/{name}')}"
    )
