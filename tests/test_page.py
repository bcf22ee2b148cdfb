"""The page in a browser: every figure shown, every clip playable, nothing from the network, nothing on the console.

`check_page(path)` checks any report, so also that of a real run: `python tests/test_page.py results/report/index.html`.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from chromium import Chromium, find
from figure_drawing import FIGURES
from page_building import demo_page

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
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    missing = [target for target in local if not (page.parent / unquote(target)).is_file()]
    assert not missing, f"the page links to files that are not there: {missing}"
    anchors = set(re.findall(r'href="#([^"]+)"', text)) - set(re.findall(r'id="([^"]+)"', text))
    assert not anchors, f"links to no place: {anchors}"
    return len(local)


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
    assert counts["clips"] == 2 * 3 * 3


def test_links_of_the_page_lead_somewhere(built_page):
    assert check_links(built_page) > 30


if __name__ == "__main__":
    print(check_page(sys.argv[1]))
