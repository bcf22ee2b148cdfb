"""The page in a browser: every figure shown, every clip playable, nothing from the network, nothing on the console.

`check_page(path)` checks any report, so also that of a real run: `python tests/test_page.py results/report/index.html`.
"""

import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import synthetic_data
from chromium import Chromium, find
from figure_drawing import FIGURES
from page_building import build_page, demo_page
from synthetic_results import SyntheticResults, write

IMAGES = """[...document.images].map(i => [decodeURI(i.src).split("/").pop(), i.complete ? i.naturalWidth : 0])"""
AUDIO = """Promise.all([...document.querySelectorAll("audio")].map(a => new Promise(done => {
  const answer = () => done([decodeURI(a.src), a.error ? a.error.message : "", a.readyState, a.duration || 0]);
  if (a.readyState >= 1 || a.error) return answer();
  a.addEventListener("loadedmetadata", answer); a.addEventListener("error", answer); setTimeout(answer, 8000);
})))"""
ORIGIN = """document.querySelector("header .origin .badge").textContent"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SORTING = """(() => {
  const head = [...document.querySelectorAll("#grid th")].find(h => h.textContent == "dim"); head.click(); head.click();
  const rows = [...head.closest("table").tBodies[0].rows];
  return rows.map(row => parseFloat(row.cells[head.cellIndex].dataset.value));
})()"""


def check_links(page: Path) -> int:
    """Every relative link and source of the page lies beside it; the number of them."""
    text = page.read_text()
    targets = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', text))
    loaded = [target for target in re.findall(r'src="([^"]*)"', text) if re.match(r"[a-z]+:", target)]
    assert not loaded, f"loaded from elsewhere: {loaded}"
    assert "url(" not in text and "@import" not in text, "the stylesheet loads something"
    local = [target for target in targets if not re.match(r"[a-z]+:", target)] + files_of_player(text)
    missing = [target for target in local if not (page.parent / unquote(target)).is_file()]
    assert not missing, f"the page links to files that are not there: {missing}"
    anchors = set(re.findall(r'href="#([^"]+)"', text)) - set(re.findall(r'id="([^"]+)"', text))
    assert not anchors, f"links to no place: {anchors}"
    return len(local)


def files_of_player(text: str) -> list[str]:
    """What the steering player may load, relative to the page."""
    found = re.findall(r'<script type="application/json" id="steering-data">(.*?)</script>', text, re.DOTALL)
    return [
        f"steering/{player['encoder']}/{player['cell']['name']}/{player['attribute']}/{sound[form]}"
        for player in (json.loads(found[0]) if found else [])
        for sound in player["sounds"].values()
        for form in ("wav", "png")
    ]


def check_page(path: str | Path) -> dict:
    """Open a report in Chromium and check what a reader relies on; returns counts. Raises AssertionError."""
    path = Path(path)
    n_links = check_links(path)
    with Chromium() as browser:
        browser.resize(1280, 900)
        browser.open(path)
        images, audio = browser.evaluate(IMAGES), browser.evaluate(AUDIO)
        overflow = {width: browser.resize(width, 900) or browser.evaluate(OVERFLOW) for width in (1280, 768, 390)}
        dims, origin = browser.evaluate(SORTING), browser.evaluate(ORIGIN)
        requests, complaints = browser.requests(), browser.complaints()
    shown = {name.removesuffix(".png") for name, width in images if width > 0}
    assert shown >= set(FIGURES), f"figures not shown: {sorted(set(FIGURES) - shown)}"
    assert all(width > 0 for _, width in images), f"broken images: {[name for name, width in images if not width]}"
    assert audio, "the page plays nothing"
    silent = [entry for entry in audio if entry[1] or entry[2] < 1 or not entry[3] > 0]
    assert not silent, f"clips that do not load: {silent}"
    foreign = [url for url in requests if not url.startswith(("file:", "data:", "about:"))]
    assert not foreign, f"asked the network for {foreign}"
    assert not complaints, f"console: {complaints}"
    assert all(pixels <= 0 for pixels in overflow.values()), f"wider than the window (px by width): {overflow}"
    assert re.match(r"\d+ (of \d+ )?results", origin.strip()), f"the head says nothing of the results' origin: {origin}"
    assert dims == sorted(dims, reverse=True), "a table does not sort by its column"
    return {"figures": len(images), "clips": len(audio), "links": n_links, "requests": len(requests)}


@pytest.fixture(scope="module")
def built_page(tmp_path_factory):
    """index.html of a report made of synthetic results."""
    return demo_page(tmp_path_factory)


@pytest.mark.skipif(find() is None, reason="no Chromium is installed")
def test_page_in_chromium(built_page):
    counts = check_page(built_page)
    assert counts["clips"] == 2 * 3 * 3 + 2


def test_links_of_the_page_lead_somewhere(built_page):
    assert check_links(built_page) > 30


@pytest.fixture(scope="module")
def data_section(tmp_path_factory) -> str:
    """The section on the data of a page of five datasets."""
    one_cell = {"encoders": ["minivae"], "expansions": [4], "lams": [0.02], "attributes": ["pitch"], "n_clips": 1}
    results = SyntheticResults(tmp_path_factory.mktemp("five"), datasets=synthetic_data.PAPERS_FIVE, **one_cell)
    text = build_page(write(results), with_figures=False).read_text()
    assert "32.52 hours of audio\n(4,242 recordings)" in text
    return text[text.index('<section id="data">') : text.index('<section id="provenance">')]


def cells(row: str) -> list[str]:
    """The text of a row's cells."""
    return [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall("<td[^>]*>(.*?)</td>", row, re.DOTALL)]


def test_the_data_section_has_a_line_per_dataset(data_section):
    rows = re.findall("<tr>(.*?)</tr>", data_section[: data_section.index("<figure")], re.DOTALL)[1:]
    lines = {cells(row)[0]: cells(row)[1:] for row in rows}
    assert list(lines) == [*(dataset.name for dataset in synthetic_data.PAPERS_FIVE), "all"]
    assert lines["groove"] == [
        "7.80", "702", "351", "562", "70", "70", "0", "drums: no pitch", "60", "0", "cc-by-4.0",
    ]  # fmt: skip
    assert lines["maestro"][7].startswith("69.") and lines["maestro"][10] == "cc-by-nc-sa-4.0"
    assert lines["all"][:6] == ["32.52", "4,242", "2,122", "3,398", "423", "421"]
    assert lines["all"][8:10] == ["66", "6"]


def test_thousands_of_recordings_are_linked_not_listed(data_section):
    assert 'href="tables/chosen.csv"' in data_section and "(4,242 rows)" in data_section
    assert data_section.count("<tr>") < 120
    assert "clip_0" not in data_section


def test_many_files_not_used_are_grouped_by_reason(data_section):
    part = data_section[data_section.index("Files not used (72)") :]
    rows = [cells(row) for row in re.findall("<tr>(.*?)</tr>", part[: part.index("</table>")], re.DOTALL)[1:]]
    assert ["groove", "left out", "60", "no audio is released of it", "audio/unused_0.flac"] in rows
    assert ["damp_vsep", "rejected", "6", "too short: 0.0 s", "audio/unused_0.flac"] in rows
    assert len(rows) == 4


if __name__ == "__main__":
    print(check_page(sys.argv[1]))
