"""Members of zip archives, from a real server on this machine or from what stands in for it."""

import errno
import hashlib
import io
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from file_server import FileServer, Proxy
from sonolens import plugins
from sonolens.downloads import answers, faults, ranged_file, sources, supply, tries
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.ranged_file import RangedFile
from sonolens.jobs import life

NO_CHANGES = {"accepted_licences": [], "mirrors": {}, "files": {}}
GENERATOR = np.random.default_rng(0)
INFO = b"id,path\n" + b"one,a/1.wav\n" * 50
MEMBERS = {
    "set/info.csv": INFO,
    **{f"set/a/{number}.wav": GENERATOR.bytes(150_000 + number) for number in range(10)},
    "set/b/long.wav": GENERATOR.bytes(900_001),
    "set/b/words.txt": b" ".join(b"%d" % number for number in range(5000)),
}


def packed(members, *infos):
    """A zip archive as bytes: what ends in .wav stored, the rest deflated, behind them `infos` with a byte each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("set")
        for name, content in members.items():
            method = zipfile.ZIP_STORED if name.endswith(".wav") else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, compress_type=method)
        for info in infos:
            archive.writestr(info, b"x")
    return buffer.getvalue()


ARCHIVE = packed(MEMBERS)
# The directory of a large archive does not fit the end of it that is asked for first
LARGE = packed(MEMBERS | {f"set/c/{number:04d} {'of the third kind' * 5}.txt": b"" for number in range(900)})


@pytest.fixture
def server():
    with FileServer() as running:
        running.files["/set.zip"] = ARCHIVE
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The waits between tries that were asked for; none is waited."""
    waited = []
    monkeypatch.setattr(tries.time, "sleep", waited.append)
    return waited


@pytest.fixture
def supplied(server, tmp_path):
    """A function that makes the Supply of a dataset with one archive; what it said is in `said`."""
    said = []

    def make(downloads=None, **more):
        card_file = {"name": "set.zip", "url": server.link("set.zip"), "licence": "cc-by-4.0"} | more
        made = supply.Supply(tmp_path / "set", [card_file], NO_CHANGES | (downloads or {}), seed=0, splits={})
        made.say, made.said = said.append, said
        return made

    return make


def extract(supplied, *names, **more):
    """Put members below `audio`; what stands there."""
    with supplied(**more).zip("set.zip") as archive:
        paths = archive.extract({name: f"audio/{Path(name).name}" for name in names})
    return {name: path.read_bytes() for name, path in paths.items()}


def part_of(names):
    return {name: MEMBERS[name] for name in names}


def asked(server):
    """(first, last) of each range that was asked for; the first is the suffix."""
    found = [re.fullmatch(r"bytes=(\d*)-(\d+)", text) for text in server.ranges]
    return [(int(one[1]) if one[1] else len(server.files["/set.zip"]) - int(one[2]), int(one[2])) for one in found[1:]]


def left(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refusal(supplied, *names, kind=DownloadError, **more):
    """What is said when members cannot be had; only those that are right may stand there."""
    with pytest.raises(kind) as error:
        extract(supplied, *names or ["set/a/1.wav"], **more)
    return str(error.value)


def test_only_the_bytes_of_the_members_wanted_are_asked_for(server, supplied):
    server.files["/set.zip"], server.keeps_alive = LARGE, True
    names = ["set/a/7.wav", "set/a/2.wav"]
    with supplied(size_bytes=len(LARGE)).zip("set.zip") as archive:
        assert archive.members["set/b/long.wav"] == 900_001
        assert "set/" not in archive.members
        assert list(archive.members)[:12] == list(MEMBERS)[:12]
        paths = archive.extract({name: f"{name}" for name in names})
    assert {name: path.read_bytes() for name, path in paths.items()} == part_of(names)
    assert all(path.is_absolute() for path in paths.values())
    n_wanted = sum(len(MEMBERS[name]) for name in names)
    n_asked = sum(last - first + 1 for first, last in asked(server)) + ranged_file.TAIL_BYTES
    assert n_asked < n_wanted + 200_000
    assert server.n_sent == n_asked
    starts = [first for first, _ in asked(server)]
    assert len(starts) == 3  # the directory, and one a member, in the archive's order
    assert starts[1] < starts[2] < starts[0]
    assert server.n_connections == 1


def streamed():
    """An archive whose headers state no sizes, in the format for more than 4 GB."""
    whole = io.BytesIO()

    class Pipe(io.RawIOBase):
        writable = staticmethod(lambda: True)
        write = staticmethod(whole.write)

    with zipfile.ZipFile(Pipe(), "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return whole.getvalue()


def test_other_forms_of_the_format_are_read(server, supplied):
    names = ["set/b/words.txt", "set/b/long.wav", "set/a/1.wav"]
    for form in (streamed(), b"what unpacks itself" * 1000 + ARCHIVE, ARCHIVE[:-2] + b"\x05\0words"):
        server.files["/set.zip"] = form
        with supplied().zip("set.zip") as archive:
            assert {name: archive.read(name) for name in names} == part_of(names)


def test_the_last_member_is_asked_for_up_to_the_directory(server, supplied):
    names = {f"set/c/{number:04d} {'of the third kind' * 5}.txt": b"" for number in range(900)}
    server.files["/set.zip"] = packed(names | part_of(["set/b/long.wav"]))
    assert extract(supplied, "set/b/long.wav") == part_of(["set/b/long.wav"])
    directory, last = asked(server)
    assert last[1] == directory[0] - 1


def test_paths_are_absolute_wherever_the_dataset_s_folder_is_named_from(supplied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = supplied()
    made._folder = Path("here")
    with made.zip("set.zip") as archive:
        assert archive.extract({"set/a/1.wav": "1.wav"}) == {"set/a/1.wav": tmp_path / "here" / "1.wav"}


def test_neighbours_come_with_one_request(server, supplied):
    names = [f"set/a/{number}.wav" for number in (3, 1, 2)]
    assert extract(supplied, *names) == part_of(names)
    assert len(server.requests) == 2


def test_a_small_member_is_read_and_verified(server, supplied):
    with supplied().zip("set.zip") as archive:
        assert archive.read("set/info.csv") == INFO
        assert len(server.requests) == 2
        assert archive.read("set/b/words.txt") == MEMBERS["set/b/words.txt"]
        with pytest.raises(DownloadError, match=r"has no set/none\.csv"):
            archive.read("set/none.csv")


def test_what_is_there_is_not_fetched_again_unless_it_is_wrong(server, supplied, tmp_path):
    names = ["set/a/1.wav", "set/a/5.wav", "set/a/8.wav"]
    extract(supplied, *names)
    server.requests.clear()
    assert extract(supplied, *names) == part_of(names)
    assert len(server.requests) == 1
    damaged, short = (tmp_path / "set" / "audio" / name for name in ("1.wav", "5.wav"))
    damaged.write_bytes(b"x" + MEMBERS["set/a/1.wav"][1:])
    short.write_bytes(MEMBERS["set/a/5.wav"][:-1])
    unchanged = (tmp_path / "set" / "audio" / "8.wav").stat().st_ino
    server.requests.clear()
    assert extract(supplied, *names) == part_of(names)
    assert len(server.requests) == 3
    assert (tmp_path / "set" / "audio" / "8.wav").stat().st_ino == unchanged
    assert left(tmp_path / "set") == ["audio/1.wav", "audio/5.wav", "audio/8.wav"]
    assert not (tmp_path / "set" / ".incoming").exists()


def test_a_broken_connection_is_gone_on_behind(server, supplied, waits):
    server.breaks = [10_000, 10**9, 300_000, 200_000]  # in the directory, and twice in the member
    assert extract(supplied, "set/b/long.wav") == part_of(["set/b/long.wav"])
    (start, last), *again = asked(server)[1:]
    assert [last] * 2 == [stop for _, stop in again]
    assert 200_000 < again[0][0] - start <= 300_000
    assert 100_000 < again[1][0] - again[0][0] <= 200_000
    assert set(waits) == {tries.WAITS_S[0]}


def test_a_server_that_is_busy_for_a_while_is_asked_again(server, supplied, waits):
    server.statuses, server.retry_after = [503], "7"
    with supplied().zip("set.zip") as archive:
        server.statuses = [503, 429]
        assert archive.read("set/info.csv") == INFO
    assert waits == [7, 7, 7]
    server.always = 503
    assert "HTTP 503" in refusal(supplied)
    assert len(waits) == 3 + len(tries.WAITS_S)


def test_a_server_that_sends_a_range_in_parts_is_asked_for_all_of_them(server, supplied, waits):
    with supplied().zip("set.zip") as archive:
        server.largest_part = 100_000
        assert archive.read("set/b/long.wav") == MEMBERS["set/b/long.wav"]
    assert len(server.requests) > 9
    assert waits == []


def test_a_server_that_falls_silent_is_asked_again(server, supplied, monkeypatch):
    monkeypatch.setattr(answers, "READ_TIMEOUT_S", 0.2)
    with supplied().zip("set.zip") as archive:

        def stall(running):
            running.stalls_after = 1 if len(running.requests) < 2 else None

        server.before_answer = stall
        assert archive.read("set/b/long.wav") == MEMBERS["set/b/long.wav"]
    assert len(server.requests) == 3


def test_the_whole_archive_comes_from_a_server_without_ranges_and_goes(server, supplied, tmp_path):
    server.ignores_range = True
    with pytest.raises(KeyError), supplied().zip("set.zip") as archive:
        assert archive.read("set/info.csv") == INFO
        raise KeyError("of the dataset's")
    assert left(tmp_path / "set") == [".incoming/set.zip"]
    names = ["set/a/1.wav", "set/b/long.wav"]
    assert extract(supplied, *names) == part_of(names)
    asked_first = f"bytes=-{ranged_file.TAIL_BYTES}"
    assert server.ranges == [asked_first, None, asked_first]
    assert left(tmp_path / "set") == ["audio/1.wav", "audio/long.wav"]
    assert not (tmp_path / "set" / ".incoming").exists()


def test_a_large_archive_of_a_server_without_ranges_is_refused(server, supplied, monkeypatch):
    monkeypatch.setattr(supply, "LARGEST_WHOLE_BYTES", len(ARCHIVE) - 1)
    server.ignores_range = True
    message = refusal(supplied)
    assert "does not give parts" in message
    assert "files: {set.zip: /path/to/set.zip}" in message
    assert len(server.requests) == 1
    server.ignores_range, server.largest_part = False, 10_000  # it does not say how large the file is
    assert "does not give parts" in refusal(supplied, size_bytes=len(ARCHIVE))


def test_what_a_server_without_ranges_broke_off_goes_once_another_has_given_the_members(server, supplied, tmp_path):
    server.ignores_range, server.breaks_always = True, 300_000
    assert "could not be downloaded" in refusal(supplied)
    assert len(left(tmp_path / "set")) == 2  # a part of it, and of which version
    server.ignores_range, server.breaks_always = False, None
    extract(supplied, "set/a/1.wav")
    assert left(tmp_path / "set") == ["audio/1.wav"]


def test_an_archive_of_a_server_without_ranges_has_to_have_its_sum(server, supplied, tmp_path):
    server.ignores_range = True
    assert "not 00000000" in refusal(supplied, sha256="0" * 64)
    assert left(tmp_path / "set") == []


def test_a_length_other_than_the_card_s_is_another_archive(server, supplied, tmp_path):
    assert f"{len(ARCHIVE)} bytes, not 12345" in refusal(supplied, size_bytes=12345)
    assert len(server.requests) == 1
    life.becomes(life.Life(tmp_path / "job.jsonl"))
    try:
        extract(supplied, "set/a/1.wav", size_bytes=12345, sum_is_certain=False)
    finally:
        life.becomes(None)
    assert [event["event"] for event in life.read(tmp_path / "job.jsonl")] == ["other_checksum"]


@pytest.mark.parametrize("surplus", [1000, -1000])
def test_a_wrong_content_length_damages_nothing(server, supplied, surplus):
    server.before_answer = lambda running: setattr(running, "extra_length", surplus * (len(running.requests) in (0, 2)))
    with supplied().zip("set.zip") as archive:
        assert archive.read("set/b/long.wav") == MEMBERS["set/b/long.wav"]


def flipped(name, members=ARCHIVE):
    """The archive with one wrong bit in a member."""
    with zipfile.ZipFile(io.BytesIO(members)) as archive:
        place = archive.getinfo(name).header_offset + 30 + len(name) + 50
    return members[:place] + bytes([members[place] ^ 4]) + members[place + 1 :]


@pytest.mark.parametrize("name", ["set/b/long.wav", "set/b/words.txt"])
def test_a_flipped_bit_is_noticed_and_nothing_kept(server, supplied, tmp_path, name):
    server.files["/set.zip"] = flipped(name)
    message = refusal(supplied, "set/a/1.wav", name)
    assert f"{name} in set.zip" in message
    assert "damaged" in message
    assert left(tmp_path / "set") == ["audio/1.wav"]


def test_what_came_damaged_once_is_fetched_again(server, supplied, capsys):
    def heal(running):
        running.files["/set.zip"] = flipped("set/b/long.wav") if len(running.requests) < 2 else ARCHIVE

    server.before_answer, server.has_etag = heal, False
    assert extract(supplied, "set/b/long.wav") == part_of(["set/b/long.wav"])
    assert len(server.requests) == 3
    assert "900k/900k" in capsys.readouterr().err  # it counts once


def test_a_member_shorter_than_the_directory_says_is_damaged(server, supplied, tmp_path):
    longer = in_directory(packed({}, info("last.txt", compress_type=zipfile.ZIP_DEFLATED)), 24, "<I", 500)
    server.files["/set.zip"] = longer
    assert "1 bytes, not 500" in refusal(supplied, "last.txt")
    with supplied().zip("set.zip") as archive, pytest.raises(DownloadError, match="1 bytes, not 500"):
        archive.read("last.txt")
    assert left(tmp_path / "set") == []


@pytest.mark.parametrize("told_by", ["etag", "date", "length alone"])
def test_a_file_that_changes_between_two_requests_is_an_error(server, supplied, tmp_path, told_by):
    server.has_etag, server.has_date = told_by == "etag", told_by == "date"
    with supplied().zip("set.zip") as archive:
        other = packed(MEMBERS | {"set/b/long.wav": MEMBERS["set/b/long.wav"][::-1]})
        server.files["/set.zip"] = other if told_by == "etag" else ARCHIVE + b" "
        with pytest.raises(DownloadError, match="changed while"):
            archive.extract({"set/a/1.wav": "1.wav"})
        server.files["/set.zip"] = b"short"
        with pytest.raises(DownloadError, match="changed while"):
            archive.extract({"set/a/1.wav": "1.wav"})
    assert left(tmp_path / "set") == []


def test_other_bytes_than_those_asked_for_are_an_error(server, supplied):
    with supplied().zip("set.zip") as archive:
        server.shifts_range = True
        with pytest.raises(DownloadError, match="asked for bytes"):
            archive.read("set/b/long.wav")


def test_a_packed_answer_is_an_error(server, supplied):
    with supplied().zip("set.zip") as archive:
        server.is_compressing = True
        with pytest.raises(DownloadError, match="compresses"):
            archive.read("set/b/long.wav")
    assert "compresses" in refusal(supplied)


def test_a_server_that_forgets_how_to_give_parts_is_not_believed(server, supplied):
    with supplied().zip("set.zip") as archive:
        server.ignores_range = True
        with pytest.raises(DownloadError, match="in place of a part"):
            archive.read("set/b/long.wav")


def test_a_redirection_is_followed(server, supplied):
    server.redirects["/released.zip"] = server.link("set.zip")
    names = ["set/a/1.wav", "set/b/long.wav"]
    assert extract(supplied, *names, url=server.link("released.zip")) == part_of(names)


def test_a_proxy_of_the_environment_is_asked(server, supplied, monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.link)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        assert extract(supplied, "set/b/long.wav") == part_of(["set/b/long.wav"])
    assert proxy.requests == [server.link("set.zip")] * 2
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "says"), [(401, "access that is granted"), (403, "login"), (404, "nothing at")])
def test_a_refusal_says_what_to_do(server, supplied, status, says):
    server.always = status
    message = refusal(supplied)
    assert says in message
    assert "downloads: {files: {set.zip:" in message
    assert len(server.requests) == 1


EXTRACTING = """
import sys
from pathlib import Path
from sonolens.downloads.supply import Supply
card_file = {"name": "set.zip", "url": sys.argv[1], "licence": "cc-by-4.0"}
supply = Supply(Path(sys.argv[2]), [card_file], {"mirrors": {}, "files": {}}, seed=0, splits={})
with supply.zip("set.zip") as archive:
    archive.extract({name: "audio/" + Path(name).name for name in sys.argv[3:]})
"""


def test_after_a_kill_what_was_right_is_not_fetched_again(server, supplied, tmp_path):
    names = ["set/a/1.wav", "set/a/5.wav", "set/b/long.wav"]
    server.before_answer = lambda running: setattr(
        running, "stalls_after", 400_000 if len(running.requests) == 3 else None
    )
    job = subprocess.Popen(
        [sys.executable, "-c", EXTRACTING, server.link("set.zip"), tmp_path / "set", *names],
        env=os.environ | {"PYTHONPATH": str(plugins.PACKAGE.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    arriving, deadline = tmp_path / "set" / ".incoming" / "member", time.monotonic() + 60
    while len(server.requests) < 4 or not arriving.exists() or arriving.stat().st_size < 200_000:
        assert job.poll() is None
        assert time.monotonic() < deadline
        signal.sigtimedwait([], 0.02)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert left(tmp_path / "set") == [".incoming/member", "audio/1.wav", "audio/5.wav"]
    server.before_answer, server.stalls_after = lambda running: None, None
    server.requests.clear()
    assert extract(supplied, *names) == part_of(names)
    [(first, last)] = asked(server)
    assert last - first < 900_001 + 200
    assert left(tmp_path / "set") == [f"audio/{Path(name).name}" for name in names]


def test_what_a_killed_process_left_goes_even_if_nothing_is_missing(server, supplied, tmp_path):
    extract(supplied, "set/a/1.wav")
    (tmp_path / "set" / ".incoming").mkdir()
    (tmp_path / "set" / ".incoming" / "member").write_bytes(b"half")
    extract(supplied, "set/a/1.wav")
    assert left(tmp_path / "set") == ["audio/1.wav"]


def test_memory_does_not_grow_with_the_member(server, supplied):
    large = {"set/a/1.wav": bytes(30_000_000), "set/info.csv": b""}
    server.files["/set.zip"] = packed(large)
    with supplied().zip("set.zip") as archive:
        tracemalloc.start()
        try:
            archive.extract({"set/a/1.wav": "1.wav"})
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 3_000_000


def test_a_disk_too_small_is_noticed_before_the_first_member(server, supplied, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    names = ["set/a/1.wav", "set/b/long.wav"]
    with pytest.raises(OSError, match=r"set\.zip needs 0\.00 GB more") as error:
        extract(supplied, *names)
    assert error.value.errno == errno.ENOSPC
    assert len(server.requests) == 1
    assert left(tmp_path) == []
    extract(supplied, "set/a/1.wav")
    extract(supplied, "set/a/1.wav", "set/a/2.wav")  # what is there needs no room


def test_a_full_disk_names_the_member_and_keeps_nothing_of_it(server, supplied, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        message = refusal(supplied, "set/a/1.wav", "set/b/long.wav", kind=OSError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "set/b/long.wav" in message
    assert left(tmp_path / "set") == ["audio/1.wav"]


def info(name, mode=0o100644, **more):
    made = zipfile.ZipInfo(name)
    made.external_attr, made.create_system = mode << 16, 3
    for key, value in more.items():
        setattr(made, key, value)
    return made


def in_directory(archive, field, form, value):
    """The archive with another value at a place of the last member's entry in the directory."""
    place = archive.rindex(b"PK\1\2") + field
    new = struct.pack(form, value)
    return archive[:place] + new + archive[place + len(new) :]


LAST = packed({}, info("last.wav"))
HOSTILE = {
    "climbs out": packed({}, info("set/../../evil.wav")),
    "absolute path": packed({}, info("/etc/evil.wav")),
    "has an absolute path": packed({}, info("C:evil.wav")),
    "backslash": packed({}, info("set\\..\\evil.wav")),
    "a link, a device": packed({}, info("set/evil.wav", mode=0o120777)),
    "link, a device or": packed({}, info("set/evil.wav", mode=0o020666)),
    "is there twice": packed({"set/a.wav": b"", "set/A.wav": b""}),
    "there twice": packed({"set/a.wav": b"", "set/./a.wav": b""}),
    "there twice, or": packed({"set/e\u0301.wav": b"", "set/\u00e9.wav": b""}),
    "a file and a folder": packed({"set/a": b"", "set/a/b/c.wav": b""}),
    "is a file and a folder": packed({"set": b""}),
    "times as large": packed({"set/a.txt": bytes(2_000_000)}),
    "is encrypted": in_directory(LAST, 8, "<H", 1),
    "by a method that is not read": in_directory(LAST, 10, "<H", 99),
    "of two sizes": in_directory(LAST, 24, "<I", 500_000),
    "lies over another": in_directory(packed({"a.wav": b"a"}, info("last.wav")), 42, "<I", 34),
    "over another": in_directory(in_directory(LAST, 20, "<I", 500), 24, "<I", 500),
    "cannot be read as an": in_directory(LAST, 6, "<H", 200),  # of a later version of the format
    "name that is no text": packed({}, info("set/0.wav")).replace(b"set/0.wav", b"set/\0.wav"),
    "is no text": packed({}, info("set/0.wav")).replace(b"set/0.wav", b"set/\n.wav"),
    "cannot be read as an archive": packed({}, info("set/\u00e9.wav")).replace("\u00e9".encode(), b"\xff\xff"),
    "read as an archive": b"this is no archive",
    "be read as an archive": ARCHIVE[: len(ARCHIVE) - 500],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("where", ["link", "local"])
@pytest.mark.parametrize("says", HOSTILE)
def test_an_archive_that_could_do_harm_is_refused_whole(server, supplied, tmp_path, says, where):
    server.files["/set.zip"] = HOSTILE[says]
    (tmp_path / "own.zip").write_bytes(HOSTILE[says])
    downloads = {} if where == "link" else {"files": {"set.zip": str(tmp_path / "own.zip")}}
    with pytest.raises(DownloadError, match=says) as error, supplied(downloads).zip("set.zip"):
        pytest.fail("it was opened")
    assert "set.zip" in str(error.value)
    assert left(tmp_path) == ["own.zip"]


def test_the_name_at_fault_is_said_and_an_honest_archive_is_none():
    with pytest.raises(DownloadError, match=r"'set/\.\./\.\./evil\.wav'"):
        supply.ZipArchive(io.BytesIO(HOSTILE["climbs out"]), {"name": "set.zip", "source": "x"}, Path())
    supply.ZipArchive(io.BytesIO(LAST), {"name": "set.zip", "source": "x"}, Path())


@pytest.mark.parametrize("target", ["../evil.wav", "/etc/evil.wav", "a\\b", ""])
def test_a_member_is_put_nowhere_but_in_the_folder(supplied, tmp_path, target):
    with supplied().zip("set.zip") as archive, pytest.raises(ValueError, match="cannot be put"):
        archive.extract({"set/a/1.wav": target})
    assert left(tmp_path) == []


def test_members_that_are_not_there_are_named_before_any_is_fetched(server, supplied, tmp_path):
    message = refusal(supplied, "set/a/1.wav", "set/x.wav", "set/y.wav")
    assert "has no set/x.wav, set/y.wav" in message
    assert len(server.requests) == 1
    assert left(tmp_path) == []


def test_a_local_archive_stands_in_and_only_what_is_taken_is_read(server, supplied, tmp_path):
    own = tmp_path / "own.zip"
    own.write_bytes(ARCHIVE)
    downloads = {"files": {"set.zip": str(own)}}
    names = ["set/a/1.wav", "set/b/words.txt"]
    assert extract(supplied, *names, downloads=downloads) == part_of(names)
    assert server.requests == []
    assert own.read_bytes() == ARCHIVE
    assert not (tmp_path / "set" / ".incoming").exists()
    assert not any("can be pinned" in text for text in supplied().said)  # 100 GB are not read for that
    own.write_bytes(flipped("set/b/long.wav"))
    assert "damaged" in refusal(supplied, "set/b/long.wav", downloads=downloads)
    # of another length, or of another sum where no length is known
    assert "bytes, not 77" in refusal(supplied, downloads=downloads, size_bytes=77, sha256="0" * 64)
    assert "not 00000000" in refusal(supplied, downloads=downloads, sha256="0" * 64)
    own_sum = {"files": {"set.zip": {"source": str(own), "sha256": "0" * 64}}}
    assert "not 00000000" in refusal(supplied, downloads=own_sum, size_bytes=len(ARCHIVE))
    own.unlink()
    assert "no such file to take set.zip from" in refusal(supplied, downloads=downloads, kind=FileNotFoundError)


@pytest.mark.parametrize("begins", ["at the root", "within the top folder"])
@pytest.mark.parametrize("form", ["path", "mirror folder"])
def test_the_folder_that_it_was_extracted_to_stands_in(server, supplied, tmp_path, monkeypatch, begins, form):
    zipfile.ZipFile(io.BytesIO(ARCHIVE)).extractall(tmp_path / "own")
    own = tmp_path / "own" if begins == "at the root" else tmp_path / "own" / "set"
    if form == "mirror folder":
        (tmp_path / "mirror").mkdir()
        own = own.rename(tmp_path / "mirror" / "set")
        downloads = {"mirrors": {server.link(""): f"{tmp_path}/mirror/"}}
    else:
        monkeypatch.chdir(tmp_path)
        downloads = {"files": {"set.zip": str(own.relative_to(tmp_path))}}
    names = ["set/a/1.wav", "set/info.csv"]
    before = left(tmp_path)
    with supplied(downloads).zip("set.zip") as archive:
        assert archive.read("set/info.csv") == INFO
        assert "set/a/1.wav" in archive.members
        assert archive.members["set/a/1.wav"] == 150_001
        assert "set/none" not in archive.members
        assert len(archive.members) == len(MEMBERS)
        paths = archive.extract({name: "x" for name in names})
        with pytest.raises(DownloadError, match=r"has no set/none\.wav"):
            archive.extract({"set/none.wav": "x"})
        with pytest.raises(DownloadError, match="climbs"):
            archive.read("set/../../own.zip")
    assert {name: path.read_bytes() for name, path in paths.items()} == part_of(names)
    assert all(path.is_absolute() and path.is_relative_to(own) for path in paths.values())
    assert left(tmp_path) == before
    assert server.requests == []


def test_a_file_is_fetched_whole_and_kept(server, supplied, tmp_path):
    made = supplied(sha256=None, size_bytes=len(ARCHIVE))
    assert made.file("set.zip") == tmp_path / "set" / "released" / "set.zip"
    assert made.file("set.zip").read_bytes() == ARCHIVE
    assert len(server.requests) == 1
    (tmp_path / "set" / "released" / "set.zip").write_bytes(b"damaged")
    assert made.file("set.zip").read_bytes() == ARCHIVE
    assert len(server.requests) == 2
    with pytest.raises(DownloadError, match="not 00000000"):
        made.file("set.zip", md5="0" * 32)
    assert "cc-by" not in made.said[0]
    assert sum("licence: Creative Commons" in text for text in made.said) == 1


def test_a_file_of_another_sum_that_is_not_certain_is_fetched_once(server, supplied):
    made = supplied(sha256="0" * 64, size_bytes=1, sum_is_certain=False)
    for _ in range(2):
        assert made.file("set.zip").read_bytes() == ARCHIVE
    assert len(server.requests) == 1


def test_what_stands_in_for_a_file_is_verified_and_not_copied(supplied, tmp_path):
    own = tmp_path / "own.csv"
    own.write_bytes(INFO)
    downloads = {"files": {"set.zip": str(own)}}
    assert supplied(downloads).file("set.zip") == own
    with pytest.raises(DownloadError, match="it is another file"):
        supplied(downloads, md5="0" * 32).file("set.zip")
    assert left(tmp_path) == ["own.csv"]
    with pytest.raises(IsADirectoryError, match=r"set\.zip"):
        supplied({"files": {"set.zip": str(tmp_path)}}).file("set.zip")
    with pytest.raises(FileNotFoundError, match=r"no such file to take set\.zip from"):
        supplied({"files": {"set.zip": str(tmp_path / "none")}}).file("set.zip")


def test_a_ranged_file_is_a_file(server, waits):
    wanted = {"name": "set.zip", "source": server.link("set.zip")}
    with RangedFile(wanted, print) as file:
        assert file.n_bytes == len(ARCHIVE)
        assert file.seek(-10, os.SEEK_END) == len(ARCHIVE) - 10
        assert file.read() == ARCHIVE[-10:]
        assert file.read(5) == b""
        file.seek(1000)
        file.seek(500, os.SEEK_CUR)
        assert file.tell() == 1500
        buffer = bytearray(2000)
        assert file.readinto(buffer) == 2000
        assert bytes(buffer) == ARCHIVE[1500:3500]
        with pytest.raises(OSError, match="no byte"):
            file.seek(-1)
        tail = len(ARCHIVE) - ranged_file.TAIL_BYTES
        file.seek(tail - 1000)
        assert file.read(5000) == ARCHIVE[tail - 1000 :][:5000]
        file.seek(2000)
        assert file.read(100) == ARCHIVE[2000:2100]
        # what is announced comes in one piece, over gaps and as far as the end that is there already, but not over more
        file.announce([(5000, 6000), (7000, 1_000_000), (1_500_000, len(ARCHIVE))])
        for start in (5000, 7000, 900_000, 1_500_000, tail - 10):
            file.seek(start)
            assert file.read(500) == ARCHIVE[start : start + 500]
    assert asked(server) == [
        (1500, 3499),
        (tail - 1000, tail - 1),
        (2000, 2099),
        (5000, 999_999),
        (900_000, 999_999),
        (1_500_000, tail - 1),
        (tail - 10, tail - 1),
    ]
    assert waits == []


def test_a_server_that_gives_no_parts_or_not_the_end_is_told_apart(server):
    wanted = {"name": "set.zip", "source": server.link("set.zip")}
    server.ignores_range = True
    with pytest.raises(faults.NoRanges) as error:
        RangedFile(wanted, print)
    assert error.value.n_bytes == len(ARCHIVE)
    server.ignores_range, server.largest_part = False, 10_000
    with pytest.raises(faults.NoRanges) as error:
        RangedFile(wanted, print)
    assert error.value.n_bytes is None


def test_a_job_has_its_supply_from_card_and_config(server, tmp_path, capsys):
    own = {"source": server.link("set.zip"), "sha256": hashlib.sha256(ARCHIVE).hexdigest()}
    downloads = NO_CHANGES | {"files": {"annotation.zip": own}}
    card = plugins.card("datasets", "guitarset")
    told = sources.origin(card, downloads), sources.own_sums_of(card, downloads)
    splits = {"train": 0.5, "validation": 0.25, "test": 0.25}
    made = supply.Supply.of("guitarset", tmp_path / "set" / "files.parquet", *told, seed=3, splits=splits)
    assert (made.seed, made.splits) == (3, splits)
    with made.zip("annotation.zip") as archive:
        archive.extract({"set/a/1.wav": "1.wav"})
    assert left(tmp_path) == ["set/1.wav"]
    assert "annotation.zip, from http://127.0.0.1" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"did you mean 'annotation\.zip'"):
        made.file("annotations.zip")
