"""Downloads against a real server on this machine: breaks, kills, other files, licences, mirrors and local paths."""

import errno
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

from file_server import FileServer
from sonolens import experiment, plugins
from sonolens.downloads import answers, fetching, licences, links, sources, templates, tries
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.zip_checks import why_no_path
from sonolens.jobs import life

CONTENT = np.random.default_rng(0).bytes(700_001)
OTHER = np.random.default_rng(1).bytes(700_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NO_CHANGES = {"accepted_licences": [], "mirrors": {}, "files": {}}


@pytest.fixture
def server():
    with FileServer() as running:
        running.files["/weights.pt"] = CONTENT
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The waits between tries that a download asked for; none is waited."""
    waited = []
    monkeypatch.setattr(tries.time, "sleep", waited.append)
    return waited


def wanted_of(link, downloads=None, **more):
    return sources.wanted({"name": "weights.pt", "url": link, "licence": "mit"} | more, NO_CHANGES | (downloads or {}))


def fetch(server, folder, downloads=None, **more):
    """Fetch /weights.pt, of which the sum is known unless `more` says otherwise; what was said."""
    said = []
    more = {"sha256": SHA256} | more
    fetching.fetch(wanted_of(server.link("weights.pt"), downloads, **more), folder / "weights.pt", said.append)
    return "\n".join(said)


def left(folder):
    """Names in a folder; of a partial file, those of its place without the digits."""
    return sorted("partial" if path.name.startswith(".") else path.name for path in folder.iterdir())


def refusal(server, folder, kind=DownloadError, **more):
    """What is said when the file cannot be had; nothing may stand under its name."""
    with pytest.raises(kind) as error:
        fetch(server, folder, **more)
    assert not (folder / "weights.pt").exists()
    return str(error.value)


def test_a_file_arrives_whole_and_nothing_else_is_left(server, tmp_path):
    said = fetch(server, tmp_path, size_bytes=len(CONTENT))
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert left(tmp_path) == ["weights.pt"]
    assert server.requests[0][1]["accept-encoding"] == "identity"
    assert "range" not in server.requests[0][1]
    assert said.startswith("weights.pt, from http://127.0.0.1")


def test_the_licence_is_said_before_the_first_byte(server, tmp_path):
    said = []
    server.before_answer = lambda _: said.append("asked")
    wanted = wanted_of(server.link("weights.pt"), licence="cc-by-nc-4.0")
    fetching.fetch(wanted, tmp_path / "weights.pt", said.append)
    assert "NonCommercial 4.0 (https://creativecommons.org" in said[0]
    assert said.index("asked") == 1


@pytest.mark.parametrize("bytes_at_once", [100_000, 300_000])
def test_a_broken_connection_is_continued(server, tmp_path, bytes_at_once):
    server.breaks = [bytes_at_once] * 2
    fetch(server, tmp_path)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.ranges[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] <= bytes_at_once
    assert starts[0] < starts[1] <= 2 * bytes_at_once
    assert server.requests[1][1]["if-range"].startswith('"')


def test_tries_are_counted_anew_after_progress_and_waits_grow(server, tmp_path, waits):
    server.breaks_always = 2 * fetching.CHUNK_BYTES  # many more breaks than tries, each behind some progress
    fetch(server, tmp_path)
    assert len(server.requests) > 2
    assert set(waits) == {tries.WAITS_S[0]}
    server.always, server.requests = 503, []
    waits.clear()
    message = refusal(server, tmp_path / "again")
    assert "HTTP 503" in message
    assert tuple(waits) == tries.WAITS_S
    assert list(waits) == sorted(waits)


def test_a_server_without_ranges_begins_anew_but_not_for_ever(server, tmp_path):
    server.ignores_range, server.breaks = True, [300_000]
    assert "begins anew" in fetch(server, tmp_path)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    server.breaks_always, server.requests = 300_000, []
    refusal(server, tmp_path / "again")
    assert len(server.requests) == len(tries.WAITS_S) + 1


@pytest.mark.parametrize("heeds", ["if_range", "nothing"])
@pytest.mark.parametrize("sum_is_known", [True, False])
def test_a_file_that_changes_between_tries_is_not_pieced_together(server, tmp_path, heeds, sum_is_known):
    server.breaks, server.ignores_if_range = [300_000], heeds == "nothing"

    def change(running):
        running.files["/weights.pt"] = OTHER if running.requests else CONTENT

    server.before_answer = change
    sha256 = hashlib.sha256(OTHER).hexdigest() if sum_is_known else None
    fetch(server, tmp_path, sha256=sha256)
    assert (tmp_path / "weights.pt").read_bytes() == OTHER


def test_a_date_stands_in_for_a_weak_etag(server, tmp_path):
    server.has_weak_etag, server.breaks = True, [300_000]
    fetch(server, tmp_path)
    assert server.requests[1][1]["if-range"].endswith("GMT")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


@pytest.mark.parametrize(("sum_is_known", "is_continued"), [(True, True), (False, False)])
def test_without_any_sign_of_the_version_only_a_sum_allows_to_continue(server, tmp_path, sum_is_known, is_continued):
    server.has_etag = server.has_date = False
    server.breaks = [300_000]
    fetch(server, tmp_path, sha256=SHA256 if sum_is_known else None)
    assert (server.ranges[1] is not None) == is_continued
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_another_part_than_the_one_asked_for_is_not_appended(server, tmp_path):
    server.shifts_range, server.breaks = True, [300_000]
    fetch(server, tmp_path, sha256=None)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_a_server_that_sends_a_range_in_parts_is_asked_for_all_of_them(server, tmp_path):
    server.largest_part, server.breaks = 30_000, [300_000]
    fetch(server, tmp_path, sha256=None)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert len(server.requests) > len(tries.WAITS_S) + 1


def test_a_compressed_answer_is_unpacked_and_never_continued(server, tmp_path):
    server.is_compressing, server.breaks = True, [300_000]
    fetch(server, tmp_path)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_certificate_that_does_not_hold_is_not_asked_again(server, tmp_path, waits, monkeypatch):
    def refuse(*_, **__):
        raise requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    monkeypatch.setattr(requests, "get", refuse)
    assert "REQUESTS_CA_BUNDLE" in refusal(server, tmp_path)
    assert waits == []


DOWNLOADING = """
import sys
from sonolens.downloads import fetching, sources
wanted = sources.wanted(
    {"name": "weights.pt", "url": sys.argv[1], "licence": "mit", "sha256": sys.argv[3]},
    {"accepted_licences": [], "mirrors": {}, "files": {}},
)
fetching.fetch(wanted, sys.argv[2], print)
"""


@pytest.fixture
def killed(server, tmp_path):
    """A folder in which a job was killed in the middle of a download."""
    server.stalls_after = 400_000
    job = subprocess.Popen(
        [sys.executable, "-c", DOWNLOADING, server.link("weights.pt"), tmp_path / "weights.pt", SHA256],
        env=os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in tmp_path.glob(".*.part")) < 300_000:
        assert job.poll() is None
        assert time.monotonic() < deadline
        # fetching's sleep is replaced for the whole process
        signal.sigtimedwait([], 0.02)
    job.send_signal(signal.SIGKILL)
    job.wait()
    server.stalls_after, server.requests = None, []
    return tmp_path


def test_a_later_job_goes_on_where_one_was_killed(server, killed):
    assert left(killed) == ["partial", "partial"]
    assert "going on at 0." in fetch(server, killed)
    assert [asked.startswith("bytes=3") for asked in server.ranges] == [True]
    assert (killed / "weights.pt").read_bytes() == CONTENT
    assert left(killed) == ["weights.pt"]


def test_a_changed_link_or_sum_does_not_go_on_with_another_file(server, killed):
    server.files["/other.pt"] = OTHER
    wanted = wanted_of(server.link("other.pt"), sha256=hashlib.sha256(OTHER).hexdigest())
    fetching.fetch(wanted, killed / "weights.pt", print)
    assert server.ranges == [None]
    assert (killed / "weights.pt").read_bytes() == OTHER
    assert left(killed) == ["weights.pt"]


def test_a_damaged_beginning_is_downloaded_again_once(server, killed):
    [partial] = killed.glob(".*.part")
    with partial.open("r+b") as file:
        file.write(b"\0" * 1000)  # what a node that loses power can leave
    assert "downloading all of it again" in fetch(server, killed)
    assert server.ranges[-1] is None
    assert (killed / "weights.pt").read_bytes() == CONTENT


def test_what_arrived_whole_before_a_kill_is_only_verified(server, killed):
    [partial] = killed.glob(".*.part")
    partial.write_bytes(CONTENT)
    fetch(server, killed)
    assert server.requests == []
    assert (killed / "weights.pt").read_bytes() == CONTENT


def test_more_than_there_is_begins_anew(server, killed):
    [partial] = killed.glob(".*.part")
    partial.write_bytes(CONTENT + b"surplus")
    fetch(server, killed)
    assert (killed / "weights.pt").read_bytes() == CONTENT


def test_another_sum_names_both_and_keeps_nothing(server, tmp_path):
    message = refusal(server, tmp_path, sha256="0" * 64)
    assert SHA256 in message
    assert "0" * 64 in message
    assert server.link("weights.pt") in message
    assert left(tmp_path) == []
    own = yaml.safe_load(message.splitlines()[-1])["downloads"]
    assert "it is this one that you want" in message
    fetch(server, tmp_path, downloads=own, sha256="0" * 64)  # doing what the message says helps
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_an_old_file_outlives_a_failed_download(server, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, sha256="0" * 64)
    assert (tmp_path / "weights.pt").read_bytes() == b"old"


def test_md5_serves_as_well_and_both_have_to_hold(server, tmp_path):
    md5 = hashlib.md5(CONTENT).hexdigest()
    fetch(server, tmp_path, sha256=None, md5=md5)
    assert "md5" in refusal(server, tmp_path / "again", sha256=SHA256, md5="0" * 32)


def test_the_first_digits_of_a_sum_suffice(server, tmp_path):
    fetch(server, tmp_path, sha256=SHA256[:8].upper())
    wrong = SHA256[:7] + ("0" if SHA256[7] != "0" else "1")
    assert wrong in refusal(server, tmp_path / "again", sha256=wrong)


def test_a_sum_that_is_not_certain_only_warns(server, tmp_path):
    life.becomes(life.Life(tmp_path / "job.jsonl"))
    try:
        fetch(server, tmp_path, sha256="0" * 64, size_bytes=1, sum_is_certain=False)
    finally:
        life.becomes(None)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    [event] = life.read(tmp_path / "job.jsonl")
    assert event["event"] == "other_checksum"
    assert SHA256 in event["detail"]
    assert "0" * 64 in event["detail"]


def test_an_unknown_sum_is_told(server, tmp_path):
    assert SHA256 in fetch(server, tmp_path, sha256=None)
    assert SHA256 not in fetch(server, tmp_path, sha256=SHA256)


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(server, tmp_path):
    server.breaks_always = 0
    message = refusal(server, tmp_path, size_bytes=12345)
    assert "700001 bytes, not 12345" in message
    assert left(tmp_path) == []


def test_a_wrong_content_length_is_no_whole_file(server, tmp_path):
    server.extra_length = 1000
    assert "could not be downloaded" in refusal(server, tmp_path, sha256=None)
    server.extra_length = -1000
    assert SHA256 in refusal(server, tmp_path)


def test_a_server_that_is_busy_for_a_while_is_asked_again(server, tmp_path, waits):
    server.statuses, server.retry_after = [503, 429], "7"
    fetch(server, tmp_path)
    assert waits == [7, 7]
    server.statuses, server.retry_after = [503], "999999"
    fetch(server, tmp_path)
    assert waits[2:] == [answers.LONGEST_WAIT_S]


@pytest.mark.parametrize(
    ("status", "says"), [(401, "login"), (403, "login"), (404, "nothing at"), (410, "nothing at"), (418, "HTTP 418")]
)
def test_a_refusal_is_not_asked_again(server, tmp_path, status, says):
    server.always = status
    message = refusal(server, tmp_path)
    assert says in message
    assert server.link("weights.pt") in message
    assert len(server.requests) == 1
    if status != 418:
        assert "weights.pt" in yaml.safe_load(message.splitlines()[-1])["downloads"]["files"]


def test_a_login_page_is_not_taken_for_the_file(server, tmp_path):
    server.content_type = "text/html; charset=utf-8"
    assert "web page" in refusal(server, tmp_path, sha256=None)


def test_a_redirection_is_followed_with_the_range(server, tmp_path):
    server.redirects["/released.pt"] = server.link("weights.pt")
    server.breaks = [300_000]
    fetching.fetch(wanted_of(server.link("released.pt"), sha256=SHA256), tmp_path / "weights.pt", print)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.requests[-1][0] == "/weights.pt"
    assert server.ranges[-1] is not None


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "READ_TIMEOUT_S", 0.2)
    server.stalls_after = 400_000

    def recover(running):
        running.stalls_after = None if running.requests else 400_000

    server.before_answer = recover
    fetch(server, tmp_path)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_without_a_network_it_says_what_to_do(tmp_path):
    with FileServer() as gone:
        link = gone.link("weights.pt")
    with pytest.raises(DownloadError, match="login node") as error:
        fetching.fetch(wanted_of(link), tmp_path / "weights.pt", print)
    assert "https_proxy" in str(error.value)
    mirrors, files = (yaml.safe_load(line)["downloads"] for line in str(error.value).splitlines()[-2:])
    assert link.startswith(*mirrors["mirrors"])
    assert list(files["files"]) == ["weights.pt"]


def test_a_full_disk_names_the_file_and_keeps_nothing(server, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        message = refusal(server, tmp_path, OSError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "weights.pt" in message
    assert left(tmp_path) == []
    assert len(server.requests) == 1


def test_a_disk_too_small_is_noticed_before_the_first_byte(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=600_000))
    with pytest.raises(OSError, match=r"weights\.pt needs") as error:
        fetch(server, tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert left(tmp_path) == []


@pytest.mark.parametrize("form", ["path", "file link", "mirror folder"])
def test_a_local_file_stands_in_and_is_verified_just_the_same(tmp_path, form):
    folder = tmp_path / "of the user"
    folder.mkdir()
    own = folder / "weights.pt"
    own.write_bytes(CONTENT)
    own.chmod(0o400)
    downloads = {
        "path": {"files": {"weights.pt": str(own)}},
        "file link": {"files": {"weights.pt": own.as_uri()}},
        "mirror folder": {"mirrors": {"https://host/x/": f"{folder}/"}},
    }[form]
    target = tmp_path / "resources" / "weights.pt"
    wanted = wanted_of("https://host/x/weights.pt", downloads, sha256=SHA256)
    assert sources.local_source(wanted) == str(own)
    fetching.fetch(wanted, target, print)
    assert target.read_bytes() == CONTENT
    assert target.samefile(own)  # no second gigabyte on the disk
    assert own.stat().st_mode & 0o777 == 0o400
    own.chmod(0o600)
    own.write_bytes(OTHER)
    target.unlink()
    with pytest.raises(DownloadError, match=SHA256):
        fetching.fetch(wanted, target, print)
    assert left(target.parent) == []
    assert own.read_bytes() == OTHER


@pytest.mark.parametrize("reason", ["of somebody else", "another file system"])
def test_a_file_that_is_not_linked_is_copied(tmp_path, monkeypatch, reason):
    own = tmp_path / "own.pt"
    own.write_bytes(CONTENT)
    if reason == "of somebody else":
        monkeypatch.setattr(os, "geteuid", lambda: own.stat().st_uid + 1)
    else:

        def refuse(*_):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
    wanted = wanted_of("https://host/weights.pt", {"files": {"weights.pt": str(own)}}, sha256=SHA256)
    fetching.fetch(wanted, tmp_path / "weights.pt", print)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert not (tmp_path / "weights.pt").samefile(own)


def test_a_local_path_that_is_not_there_is_named(tmp_path):
    wanted = wanted_of("https://host/weights.pt", {"files": {"weights.pt": str(tmp_path / "none.pt")}})
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        fetching.fetch(wanted, tmp_path / "weights.pt", print)


def test_the_longest_prefix_of_a_mirror_is_replaced():
    mirrors = {"https://hub/": "https://mirror/hub/", "https://hub/big/": "~/big/"}
    assert wanted_of("https://hub/a.pt", {"mirrors": mirrors})["source"] == "https://mirror/hub/a.pt"
    assert wanted_of("https://hub/big/a.pt", {"mirrors": mirrors})["source"] == str(Path.home() / "big/a.pt")
    wanted = wanted_of("https://elsewhere/a.pt", {"mirrors": mirrors})
    assert wanted["source"] == wanted["link"] == "https://elsewhere/a.pt"
    assert sources.local_source(wanted) is None


def test_weights_of_ones_own_have_their_own_sum_and_no_other_expectation():
    own = {"files": {"weights.pt": {"source": "https://me/w.pt", "sha256": "ABCDEF12"}}}
    released = {"sha256": SHA256, "md5": "0" * 32, "size_bytes": 5, "sum_is_certain": False}
    wanted = wanted_of("https://host/weights.pt", own, **released)
    assert wanted == {
        "name": "weights.pt",
        "source": "https://me/w.pt",
        "link": "https://host/weights.pt",
        "size_bytes": None,
        "sha256": "abcdef12",
        "md5": None,
        "sum_is_certain": True,
        "licence": "mit",
    }


@pytest.mark.parametrize("digits", ["abc", "z" * 64, "a" * 65, 12345678])
def test_what_is_no_sum_is_refused(digits):
    with pytest.raises(ValueError, match=r"is no sha256 of weights\.pt"):
        wanted_of("https://host/weights.pt", sha256=digits)


@pytest.mark.parametrize("source", ["s3://bucket/w.pt", "ftp://host/w.pt", "file://host/w.pt"])
def test_a_scheme_that_cannot_be_fetched_is_refused(source):
    with pytest.raises(ValueError, match=source):
        wanted_of("https://host/w.pt", {"files": {"weights.pt": source}})


def entry_of(name, *files):
    return {"name": name, "card": {"files": [{"name": file, "url": "", "licence": key} for file, key in files]}}


def test_restricting_licences_have_to_be_accepted():
    entries = [
        entry_of("vae", ("vae.pt", "stability-ai-community"), ("vae.yaml", "mit")),
        entry_of("muq", ("muq.pt", "cc-by-nc-4.0")),
        {"name": "minivae", "card": {}},
    ]
    with pytest.raises(ValueError, match="have to be accepted") as error:
        sources.refuse_unaccepted(entries, NO_CHANGES | {"accepted_licences": ["cc-by-nc-sa-4.0"]})
    message = str(error.value)
    for expected in (
        "vae: vae.pt",
        "muq: muq.pt",
        "Stability AI Community License",
        "one million US dollars",
        "https:",
    ):
        assert expected in message
    assert "vae.yaml" not in message
    accepted = yaml.safe_load(message.splitlines()[-1])["downloads"]
    assert accepted["accepted_licences"] == ["cc-by-nc-sa-4.0", "stability-ai-community", "cc-by-nc-4.0"]
    sources.refuse_unaccepted(entries, NO_CHANGES | accepted)  # doing what the message says helps


def test_misspelt_names_are_told_with_near_ones():
    entries = [entry_of("vae", ("vae_model.pt", "mit"))]
    with pytest.raises(ValueError, match="did you mean 'stability-ai-community'"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"accepted_licences": ["stability-ai"]})
    with pytest.raises(ValueError, match=r"did you mean 'vae_model\.pt'"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"files": {"vae_modle.pt": "x"}})
    with pytest.raises(ValueError, match="did you mean 'mit'"):
        licences.licence("mitt")
    sources.refuse_unaccepted(entries, NO_CHANGES | {"files": {"vae_model.pt": "x"}})


def test_every_licence_says_what_it_asks_for():
    keys = yaml.safe_load(licences.LICENCES.read_text())
    restricting = {key for key in keys if licences.licence(key).restricts}
    assert restricting == {"cc-by-nc-4.0", "cc-by-nc-sa-4.0", "stability-ai-community"}
    for key in keys:
        assert licences.licence(key).url.startswith("https://")
        assert licences.licence(key).summary.endswith(".")


def test_files_of_all_variants_are_known():
    card = {"files": [{"name": "a"}], "variants": {"large": {"files": [{"name": "b"}]}, "small": {}}}
    assert [file["name"] for file in sources.card_files(card)] == ["a", "b"]


def cards_with_files():
    for kind in ("encoders", "datasets"):
        for module in plugins.available(kind):
            yield from ((module, file) for file in sources.card_files(plugins.card(kind, module)))


def test_every_card_states_files_that_can_be_fetched():
    for module, file in cards_with_files():
        allowed = {"name", "url", "size_bytes", "sha256", "md5", "sum_is_certain", "licence"}
        assert file.keys() <= allowed, module
        wanted = sources.wanted(file, NO_CHANGES)
        assert links.is_link(wanted["source"]), module
        assert why_no_path(file["name"]) is None, module
        in_name, in_link = (set(templates.PLACEHOLDER.findall(file[key])) for key in ("name", "url"))
        assert in_name == in_link, module


def test_names_are_unique_within_a_card():
    names = [(module, file["name"]) for module, file in cards_with_files()]
    assert len(set(names)) == len(names)


SHARDS = {
    "name": "main/{split}/{number}.tar.bz2",
    "url": "https://host/v1/main/{split}/{number}.tar.bz2?from={split}",
    "licence": "cc-by-4.0",
}
LIST = {"name": "md5s.txt", "url": "https://host/md5s.txt?download=1", "licence": "cc-by-4.0", "md5": "0" * 32}
CARD = {"files": [LIST, SHARDS]}


def shard(downloads=None, name="main/train/12.tar.bz2", **more):
    return sources.wanted_by_name(CARD["files"], name, NO_CHANGES | (downloads or {}), **more)


def test_a_name_is_filled_into_the_template_of_its_link():
    assert shard()["name"] == "main/train/12.tar.bz2"
    assert shard()["source"] == "https://host/v1/main/train/12.tar.bz2?from=train"
    assert shard()["md5"] is None
    assert shard(md5="A" * 32)["md5"] == "a" * 32
    assert shard(name="md5s.txt")["md5"] == "0" * 32
    for wrong in ("main/train/a/12.tar.bz2", "main//12.tar.bz2", "main/train/12.tar.bz2.bz2", "md5s_txt"):
        with pytest.raises(ValueError, match="the card names no file"):
            shard(name=wrong)


def test_a_placeholder_stands_for_one_thing_in_all_its_places():
    assert templates.values_in("a/1/a.b", "{x}/{y}/{x}.b") == {"x": "a", "y": "1"}
    assert templates.values_in("a/1/c.b", "{x}/{y}/{x}.b") is None
    assert templates.values_in("a/1/a-b", "{x}/{y}/{x}.b") is None
    assert templates.values_in("a-1.b", "a.{x}.b") is None
    assert templates.filled("{x} {z}", {"x": "a"}) == "a {z}"


def test_what_stands_in_for_a_template_stands_in_for_all_of_it_but_those_with_one_of_their_own(tmp_path):
    own = {
        "main/{split}/{number}.tar.bz2": "~/data/{number} of {split}.tar.bz2",
        "main/train/3.tar.bz2": {"source": "https://me/3.tar.bz2", "sha256": "abcdef12"},
    }
    assert shard({"files": own})["source"] == str(Path.home() / "data" / "12 of train.tar.bz2")
    other = shard({"files": own}, name="main/train/3.tar.bz2", md5="0" * 32)
    assert (other["source"], other["sha256"], other["md5"]) == ("https://me/3.tar.bz2", "abcdef12", None)
    mirrors = {"https://host/v1/main/train/": f"{tmp_path}/", "https://host/": "https://mirror/"}
    assert shard({"mirrors": mirrors})["source"] == str(tmp_path / "12.tar.bz2")
    assert shard({"mirrors": mirrors}, name="main/test/1.tar.bz2")["source"].startswith("https://mirror/v1/main/test/1")
    (tmp_path / "12").mkdir()
    assert shard({"mirrors": mirrors})["source"] == str(tmp_path / "12")
    (tmp_path / "12.tar.bz2").touch()
    assert shard({"mirrors": mirrors})["source"] == str(tmp_path / "12.tar.bz2")


def test_a_folder_in_place_of_links_is_asked_for_names_without_what_is_behind_them(tmp_path):
    with_spaces = {"name": "a.zip", "url": "https://host/of%20me/a.zip?download=1", "licence": "mit"}
    for stands_in in (f"{tmp_path}/", tmp_path.as_uri() + "/"):
        wanted = sources.wanted(with_spaces, NO_CHANGES | {"mirrors": {"https://host/": stands_in}})
        assert wanted["source"] == str(tmp_path / "of me" / "a.zip")
    mirrored = sources.wanted(with_spaces, NO_CHANGES | {"mirrors": {"https://host/": "https://mirror/"}})
    assert mirrored["source"] == "https://mirror/of%20me/a.zip?download=1"


def test_a_job_is_told_where_from_apart_from_what(tmp_path):
    downloads = NO_CHANGES | {
        "mirrors": {"https://host/v1/": f"{tmp_path}/"},
        "files": {
            "main/train/3.tar.bz2": {"source": "/own/3.tar.bz2", "sha256": "abcdef12"},
            "main/valid/{number}.tar.bz2": "of no entry",
            "md5s.txt": "/own/md5s.txt",
            "weights.pt": {"source": "/own/weights.pt", "sha256": "12345678"},
        },
    }
    origin, own_sums = sources.origin(CARD, downloads), sources.own_sums_of(CARD, downloads)
    assert own_sums == {"main/train/3.tar.bz2": {"sha256": "abcdef12"}}
    assert "abcdef12" not in origin
    assert "weights" not in origin
    assert sources.own_sums_of(CARD, downloads | {"mirrors": {}}) == own_sums
    told = sources.as_told(origin, own_sums)
    for name in ("main/train/3.tar.bz2", "main/test/1.tar.bz2", "md5s.txt"):
        wanted = sources.wanted_by_name(CARD["files"], name, downloads)
        assert sources.wanted_by_name(CARD["files"], name, told) == wanted
    assert sources.origin({}, downloads) == sources.origin({"files": []}, downloads)
    with pytest.raises(ValueError, match="s3://"):
        sources.origin(CARD, NO_CHANGES | {"files": {"main/train/3.tar.bz2": "s3://bucket/3"}})


def test_names_of_a_template_are_known_and_have_one_sum_each():
    entries = [{"name": "set", "card": CARD}]
    for name in ("main/train/3.tar.bz2", "main/{split}/{number}.tar.bz2"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"files": {name: "x"}})
    with pytest.raises(ValueError, match=r"no card names a file 'main/train/3\.zip'"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"files": {"main/train/3.zip": "x"}})
    with pytest.raises(ValueError, match="no card names a file 'main/valid/"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"files": {"main/valid/{number}.tar.bz2": "x"}})
    own = {"main/{split}/{number}.tar.bz2": {"source": "x", "sha256": "abcdef12"}}
    with pytest.raises(ValueError, match="stands for many files"):
        sources.refuse_unaccepted(entries, NO_CHANGES | {"files": own})


BAR = """
import time
from pathlib import Path
from types import SimpleNamespace
from snakemake.iocontainers import InputFiles
from sonolens.jobs import job, progress
nothing = InputFiles()
description = SimpleNamespace(
    rule="fetch", wildcards=nothing, params=nothing, input=nothing, resources=nothing, threads=1,
    output=InputFiles(["set.txt"]), log=["logs/fetch/set.log"],
)
with job.running(description):
    with progress.of_bytes("set.zip", 2_000_000) as bar:
        bar.update(1_000_000)
        time.sleep(0.6)
        bar.update(500_000)
    Path("set.txt").write_text("said")
"""


def run_with_bar(folder, stderr):
    environment = os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", BAR], cwd=folder, env=environment, stderr=stderr, check=True)
    return (folder / "logs" / "fetch" / "set.log").read_text()


def test_a_person_at_a_terminal_sees_how_far_a_download_is(tmp_path):
    master, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    log = run_with_bar(tmp_path, terminal)
    os.set_blocking(master, False)
    seen = os.read(master, 100_000).decode()
    os.close(terminal)
    os.close(master)
    assert re.search(r"set\.zip: +75%.*1\.50M/2\.00M \[\d\d:\d\d<\d\d:\d\d, .*B/s\]", seen)
    assert "B/s" not in log


def test_without_a_terminal_the_log_has_it(tmp_path):
    with (tmp_path / "screen").open("w") as screen:
        log = run_with_bar(tmp_path, screen)
    assert (tmp_path / "screen").read_text() == ""
    assert "1.50M/2.00M" in log


def test_nothing_heavy_is_imported_by_what_every_process_reads():
    code = "import sys, sonolens.downloads.sources; print({'requests', 'torch', 'numpy', 'tqdm'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "set()"


def test_the_config_s_downloads_are_closed_and_have_defaults():
    whole = yaml.safe_load((plugins.PACKAGE.parents[1] / "rules" / "config.schema.yaml").read_text())
    schema = whole["properties"]["downloads"]
    filled = {}
    experiment.check(filled, schema)
    assert filled == NO_CHANGES
    for wrong in ({"mirror": {}}, {"files": {"a": {"source": "b"}}}, {"mirrors": {"hub": "x"}}):
        with pytest.raises(experiment.ConfigError):
            experiment.check(wrong, schema)
