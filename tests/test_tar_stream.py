"""tar.bz2 archives read as they arrive, from a real server: left early, gone on with, damaged, hostile."""

import bz2
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocochorales_archives import packed
from file_server import FileServer
from slurm_cluster import wait_until
from sonolens.downloads import bzip2_blocks, tar_stream, tries
from sonolens.downloads.faults import DownloadError
from sonolens.downloads.supply import Supply
from workflow_project import ROOT

NAME = "part/1.tar.bz2"
CONTENTS = {f"track{n // 3:02d}/{n % 3}.wav": np.random.default_rng(n).bytes(60_000 + 7 * n) for n in range(60)}


ARCHIVE = packed(CONTENTS)


@pytest.fixture
def server():
    with FileServer() as running:
        running.files[f"/{NAME}"] = ARCHIVE
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    waited = []
    monkeypatch.setattr(tries.time, "sleep", waited.append)
    return waited


def supply(server: FileServer, folder: Path, downloads: dict | None = None) -> Supply:
    card = [{"name": "part/{number}.tar.bz2", "url": server.link("part/{number}.tar.bz2"), "licence": "cc-by-4.0"}]
    told = {"accepted_licences": [], "mirrors": {}, "files": {}} | (downloads or {})
    return Supply(folder, card, told, seed=0, splits={})


def take(source: Supply, n_members: int | None = None, md5: str | None = None) -> tuple[list[str], bool]:
    """Save members until there are so many, marking before each; their names, and whether the archive was whole."""
    names = []
    with source.tar(NAME, md5) as archive:
        known = archive.state or []
        for member in archive:
            archive.mark(known + names)
            if len(names) == n_members:
                return names, archive.is_whole
            member.save(f"audio/{member.name}")
            names.append(member.name)
        archive.mark(known + names)
        return names, archive.is_whole


def saved(folder: Path) -> dict[str, bytes]:
    root = folder / "audio"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def asked_from(server: FileServer) -> list[int]:
    """First bytes of the ranges that were asked for, those of the file's end aside."""
    return [int(asked.removeprefix("bytes=").split("-")[0]) for asked in server.ranges if asked[6] != "-"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_blocks_are_those_of_the_library_from_any_of_them_on(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    sizes = data.draw(st.lists(st.integers(0, 320_000), min_size=1, max_size=3))
    contents = [rng.integers(0, data.draw(st.sampled_from([1, 4, 256])), size, np.uint8).tobytes() for size in sizes]
    compressed = b"".join(bz2.compress(content, data.draw(st.integers(1, 2))) for content in contents)
    found = list(bzip2_blocks.blocks(io.BytesIO(compressed), bzip2_blocks.BEGINNING))
    assert b"".join(block.data for block in found) == bz2.decompress(compressed) == b"".join(contents)
    for number, block in enumerate(found):
        file = io.BytesIO(compressed)
        file.seek(block.place.bit // 8)
        rest = b"".join(later.data for later in bzip2_blocks.blocks(file, block.place))
        assert rest == b"".join(later.data for later in found[number:])


def test_a_beginning_of_a_block_within_a_block_is_none():
    """The 48 bits that a block begins with, met in compressed data by chance: here they are put there."""
    content = np.random.default_rng(0).bytes(250_000)
    compressed = bz2.compress(content, 1)
    first, second, *_ = bzip2_blocks.blocks(io.BytesIO(compressed), bzip2_blocks.BEGINNING)
    assert second.place.bit > first.place.bit
    window = bzip2_blocks._Bits(io.BytesIO(compressed), 0)
    found = iter([second.place.bit - 5000, second.place.bit])
    window.find = lambda bit: next(found)
    data, stop = bzip2_blocks._decoded(window, first.place.bit, 1)
    assert (data, stop) == (first.data, second.place.bit)


def test_all_members_arrive_and_the_sum_is_verified(server, tmp_path):
    names, is_whole = take(supply(server, tmp_path), md5=hashlib.md5(ARCHIVE).hexdigest())
    assert names == list(CONTENTS) and is_whole
    assert saved(tmp_path) == CONTENTS
    assert sorted(path.name for path in tmp_path.iterdir()) == [".marks", "audio"]
    assert take(supply(server, tmp_path), md5=hashlib.md5(ARCHIVE).hexdigest()) == ([], False)


def test_another_sum_at_the_end_is_an_error(server, tmp_path):
    for _ in range(2):  # the second does not go on behind the last mark, and so find nothing wrong
        with pytest.raises(DownloadError, match=r"part/1.tar.bz2 from .* has md5"):
            take(supply(server, tmp_path), md5="0" * 32)


def test_who_has_enough_leaves_and_goes_on_later(server, tmp_path):
    first, is_whole = take(supply(server, tmp_path), 7)
    assert first == list(CONTENTS)[:7] and not is_whole
    before = len(server.requests)
    rest, is_whole = take(supply(server, tmp_path))
    assert first + rest == list(CONTENTS) and not is_whole  # its sum cannot be had: the beginning was another process's
    assert saved(tmp_path) == CONTENTS
    begun = [asked for asked in server.ranges[before:] if asked[6] != "-"]
    position = int(begun[0].removeprefix("bytes=").split("-")[0])
    # the seventh member ends behind 7/60 of the archive, and blocks are 100 kB long
    assert 7 / 60 * len(ARCHIVE) - 150_000 < position < 7.5 / 60 * len(ARCHIVE)


def test_a_broken_connection_is_continued(server, tmp_path):
    server.breaks = [100_000, 700_000, 1_000_000]
    take(supply(server, tmp_path))
    assert saved(tmp_path) == CONTENTS
    starts = asked_from(server)
    assert len(starts) >= 3 and starts == sorted(starts)


def test_a_server_without_ranges_sends_all_of_it_and_nothing_of_it_stays(server, tmp_path):
    server.ignores_range = True
    names, is_whole = take(supply(server, tmp_path))
    assert names == list(CONTENTS) and is_whole
    assert not (tmp_path / ".incoming").exists()


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}, {scripts!r}]
from pathlib import Path
from sonolens.downloads.supply import Supply
import test_tar_stream
card = [{{"name": "part/{{number}}.tar.bz2", "url": {link!r}, "licence": "cc-by-4.0"}}]
source = Supply(Path({folder!r}), card, {{"mirrors": {{}}, "files": {{}}}}, seed=0, splits={{}})
test_tar_stream.take(source)
"""


def test_a_killed_process_is_gone_on_with_where_it_was(server, tmp_path):
    server.stalls_after = 1_500_000
    script = SCRIPT.format(
        tests=str(ROOT / "tests"), scripts=str(ROOT / "workflow_scripts"),
        link=server.link("part/{number}.tar.bz2"), folder=str(tmp_path),
    )  # fmt: skip
    running = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    try:
        wait_until(lambda: len(list(tmp_path.rglob("*.wav"))) > 15, 60, "members")
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
        server.stalls_after = None
    (mark,) = tmp_path.glob(".marks/[!.]*.json")  # it may have been killed while it wrote the next one
    n_dealt_with = len(json.loads(mark.read_text())["state"])
    before = len(server.ranges)
    rest, _ = take(supply(server, tmp_path))
    assert n_dealt_with >= 15 and rest == list(CONTENTS)[n_dealt_with:]
    assert saved(tmp_path) == CONTENTS
    begun = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in server.ranges[before:] if asked[6] != "-"]
    assert begun[0] > n_dealt_with / 60 * len(ARCHIVE) - 150_000
    assert not (tmp_path / ".incoming").exists() and list(tmp_path.glob(".marks/*")) == [mark]


def test_a_mark_of_another_archive_is_not_used(server, tmp_path):
    take(supply(server, tmp_path), 7)
    server.files[f"/{NAME}"] = packed(CONTENTS | {"more": b"1" * 1000})
    names, _ = take(supply(server, tmp_path))
    assert names == [*CONTENTS, "more"]
    (mark,) = tmp_path.glob(".marks/*.json")
    mark.write_text("{")
    assert len(take(supply(server, tmp_path))[0]) == 61


def test_a_file_of_the_same_length_is_told_apart_by_its_server(server, tmp_path):
    """Only the order of two members differs, and they lie before the mark."""
    content = bz2.decompress(ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        starts = [info.offset for info in tar.getmembers()]
    pieces = zip(starts, [*starts[1:], len(content)], strict=True)
    streams = [bz2.compress(content[start:stop], 1) for start, stop in pieces]
    server.files[f"/{NAME}"] = b"".join(streams)
    take(supply(server, tmp_path), 7)
    streams[1:3] = streams[2:0:-1]
    server.files[f"/{NAME}"] = b"".join(streams)
    first, second, third, *others = CONTENTS
    assert take(supply(server, tmp_path))[0] == [first, third, second, *others]


@pytest.mark.parametrize("change", [{"bit": 8}, {"crc": 1}, {"bit": "7"}, {"level": None}])
def test_a_mark_that_leads_to_another_block_is_not_used(server, tmp_path, change):
    server.has_etag = server.has_date = False
    take(supply(server, tmp_path), 7)
    (path,) = tmp_path.glob(".marks/*.json")
    mark = json.loads(path.read_text())
    for key, value in change.items():
        mark[key] = mark[key] + value if isinstance(value, int) else value
    path.write_text(json.dumps(mark))
    assert take(supply(server, tmp_path))[0] == list(CONTENTS)


def test_a_mark_before_the_first_member_leads_to_it(server, tmp_path):
    with supply(server, tmp_path).tar(NAME) as archive:
        archive.mark(["nothing yet"])
    with supply(server, tmp_path).tar(NAME) as archive:
        assert archive.state == ["nothing yet"]
        assert [member.name for member in archive] == list(CONTENTS)


def test_what_a_kill_left_of_a_mark_is_removed(server, tmp_path):
    take(supply(server, tmp_path), 7)
    (mark,) = tmp_path.glob(".marks/*.json")
    (left := mark.with_name(f".{mark.stem}.0123abcd.tmp.json")).write_text("{")
    take(supply(server, tmp_path))
    assert mark.exists() and not left.exists()


def test_a_mirror_goes_on_where_the_link_was_left(server, tmp_path):
    take(supply(server, tmp_path), 7)
    (tmp_path / "mirror/part").mkdir(parents=True)
    (tmp_path / "mirror" / NAME).write_bytes(ARCHIVE)
    n_asked = len(server.requests)
    names, _ = take(supply(server, tmp_path, {"mirrors": {server.link(""): f"{tmp_path}/mirror/"}}))
    assert names == list(CONTENTS)[7:] and len(server.requests) == n_asked


def test_a_mirror_on_another_server_is_known_by_a_block(server, tmp_path):
    take(supply(server, tmp_path), 7)
    with FileServer() as mirror:
        mirror.files[f"/{NAME}"], mirror.has_etag = ARCHIVE, False  # what it says of the version is of no use
        names, _ = take(supply(server, tmp_path, {"mirrors": {server.link(""): mirror.link("")}}))
        (known_by, *_) = [asked for asked in mirror.ranges if asked[6] != "-"]
    assert names == list(CONTENTS)[7:]
    first, last = map(int, known_by.removeprefix("bytes=").split("-"))
    assert last - first < 11


def test_the_folder_that_it_was_unpacked_to_stands_in(server, tmp_path):
    folder = tmp_path / "mirror/part/1"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with supply(server, tmp_path / "new", {"mirrors": {server.link(""): f"{tmp_path}/mirror/"}}).tar(NAME) as archive:
        members = [(member.name, member.read(), member.save("audio/x")) for member in archive]
    assert members == [(name, CONTENTS[name], folder / name) for name in sorted(CONTENTS)]
    assert not server.requests and not (tmp_path / "new").exists()


@pytest.mark.parametrize("position", [200_000, len(ARCHIVE) - 12, len(ARCHIVE) - 3])
def test_damage_is_told_and_nothing_of_the_member_is_kept(server, tmp_path, position):
    damaged = bytearray(ARCHIVE)
    damaged[position] ^= 4
    server.files[f"/{NAME}"] = bytes(damaged)
    with pytest.raises(DownloadError, match=r"part/1.tar.bz2 from .* cannot be read as an archive"):
        take(supply(server, tmp_path))
    assert all(CONTENTS[name] == content for name, content in saved(tmp_path).items())


@pytest.mark.parametrize("content", [b"", b"no archive", ARCHIVE[: len(ARCHIVE) // 2]])
def test_what_is_no_archive_or_cut_off_is_an_error(server, tmp_path, content):
    server.files[f"/{NAME}"] = content
    with pytest.raises(DownloadError):
        take(supply(server, tmp_path))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("../out", {}, "climbs out"),
        ("/etc/passwd", {}, "absolute"),
        ("a\\b", {}, "backslash"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link"),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "good"}, "is a link"),
        ("device", {"type": tarfile.CHRTYPE}, "is a link, a device"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "is a link, a device"),
    ],
)
def test_a_hostile_member_is_refused(server, tmp_path, name, change, reason):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:bz2") as tar:
        good, bad = tarfile.TarInfo("good"), tarfile.TarInfo(name)
        for key, value in change.items():
            setattr(bad, key, value)
        tar.addfile(good)
        tar.addfile(bad)
    server.files[f"/{NAME}"] = content.getvalue()
    with pytest.raises(DownloadError, match=f"part/1.tar.bz2 .*{reason}"):
        take(supply(server, tmp_path / "in" / "here"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"] == ["good"]


def plain(*members: tuple[str, bytes]) -> bytes:
    """A tar archive that is not compressed."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("damage", ["header", "no end", "cut header"])
def test_a_tar_that_is_damaged_under_right_checksums_does_not_just_end(server, tmp_path, damage):
    """tarfile takes a header that it cannot read for the end of the archive."""
    content = bytearray(plain(("a", b"1" * 600), ("b", b"2")))
    second = 512 + 1024
    content[second + 150] ^= 0xFF
    changed = {"header": content, "no end": content[:second], "cut header": content[: second + 100]}[damage]
    server.files[f"/{NAME}"] = bz2.compress(changed)
    with pytest.raises(DownloadError, match="damaged or cut off at byte 1536"):
        take(supply(server, tmp_path))
    assert saved(tmp_path) == {"a": b"1" * 600}


def test_a_header_damaged_between_two_streams_does_not_just_end_it(server, tmp_path):
    content = plain(("a", b"1" * 600), ("b", b"2"))
    streams = bz2.compress(content[:1536]), bz2.compress(content[1536:])
    server.files[f"/{NAME}"] = streams[0] + b"X" + streams[1][1:]
    with pytest.raises(DownloadError, match="damaged or cut off at byte 1536"):
        take(supply(server, tmp_path))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "b", "a"], "is there twice"),
        (["A.wav", "a.wav"], "is there twice"),
        (["a/b", "a/./b"], "is there twice"),
        (["a", "a/b"], "file and a folder"),
        (["a/b", "a"], "file and a folder"),
    ],
)
def test_members_that_would_lie_over_each_other_are_refused(server, tmp_path, names, reason):
    server.files[f"/{NAME}"] = bz2.compress(plain(*((name, name.encode()) for name in names)))
    with pytest.raises(DownloadError, match=f"{names[-1]}.*{reason}"):
        take(supply(server, tmp_path))


@pytest.mark.parametrize(
    ("n_headers", "n_bytes", "reason"), [(1, 2 << 20, "said to have 2 MB"), (3000, 2, "recursion")]
)
def test_headers_without_end_are_refused(server, tmp_path, n_headers, n_bytes, reason):
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, n_bytes
    header = long_name.tobuf() + b"a".ljust(-(-n_bytes // 512) * 512, b"\0")
    server.files[f"/{NAME}"] = bz2.compress(header * n_headers + plain(("a", b"1")))
    with pytest.raises(DownloadError, match=reason):
        take(supply(server, tmp_path))
    assert not (tmp_path / "audio").exists()


def test_a_bomb_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tar_stream, "RATIO_COUNTS_FROM_BYTES", 1 << 20)
    server.files[f"/{NAME}"] = packed({"zeros": bytes(20 << 20)}, level=9)
    with pytest.raises(DownloadError, match="times as large as it is packed"):
        take(supply(server, tmp_path))
    assert not (tmp_path / "audio").exists()


def test_a_target_outside_of_the_folder_is_refused(server, tmp_path):
    with supply(server, tmp_path).tar(NAME) as archive, pytest.raises(ValueError, match="climbs out"):
        next(iter(archive)).save("../out.wav")


def test_long_names_begin_at_their_own_header(server, tmp_path):
    contents = {f"{'long' * 40}/{number}.wav": bytes([number]) * 150_000 for number in range(4)}
    server.files[f"/{NAME}"] = packed(contents)
    first, _ = take(supply(server, tmp_path), 2)
    rest, _ = take(supply(server, tmp_path))
    assert first + rest == list(contents) and saved(tmp_path) == contents
