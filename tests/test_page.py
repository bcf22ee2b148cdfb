"""The page in a browser: every figure shown, every clip playable, nothing from the network, nothing on the console.

`check_page(path)` checks any report, so also that of a real run: `python tests/test_page.py results/report/index.html`.
"""

import json
import re
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

import synthetic_data
from chromium import Chromium, find
from figure_drawing import FIGURES
from page_building import build_page, demo_page
from sonolens.files import read_json
from synthetic_results import SyntheticResults, write

IMAGES = """[...document.images].map(i => [decodeURI(i.src).split("/").pop(), i.complete ? i.naturalWidth : 0])"""
AUDIO = """Promise.all([...document.querySelectorAll("audio")].map(a => new Promise(done => {
  const answer = () => done([decodeURI(a.src), a.error ? a.error.message : "", a.readyState, a.duration || 0]);
  if (a.readyState >= 1 || a.error) return answer();
  if (a.preload === "none") { a.preload = "metadata"; a.load(); }
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
    assert counts["clips"] == 2 * 3 * 3 + 2 + 2 * 5


def test_links_of_the_page_lead_somewhere(built_page):
    assert check_links(built_page) > 30


@pytest.fixture(scope="module")
def data_page(tmp_path_factory) -> Path:
    """index.html of a report of five datasets, in which nothing is generated."""
    one_cell = {"encoders": ["minivae"], "expansions": [4], "lams": [0.02], "attributes": ["pitch"], "n_clips": 1}
    results = SyntheticResults(tmp_path_factory.mktemp("five"), datasets=synthetic_data.PAPERS_FIVE, **one_cell)
    return build_page(write(results), with_figures=False)


@pytest.fixture(scope="module")
def data_section(data_page) -> str:
    """The section on the data of a page of five datasets."""
    text = data_page.read_text()
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


# ---- the strip of a generation


STRIP = """(() => {
  const strip = document.querySelector(".strip"), cells = [...strip.querySelectorAll(".cell")];
  return {
    heads: [...strip.querySelectorAll("h4")].map((one) => one.textContent),
    steps: cells.map((one) => one.querySelector("p b").textContent),
    wavs: cells.map((one) => one.querySelector("audio").getAttribute("src")),
    pngs: cells.map((one) => one.querySelector("img").getAttribute("src")),
    seen: cells.map((one) => one.querySelector("img").naturalWidth),
    labels: cells.map((one) => one.querySelector("audio").ariaLabel),
    preload: cells.map((one) => one.querySelector("audio").preload),
    autoplay: cells.map((one) => one.querySelector("audio").autoplay),
    classes: cells.map((one) => [...one.querySelectorAll("dl div")].map((row) =>
      [...row.children].map((part) => part.textContent).join(" ").replaceAll("\u00a0", " "))),
    prompt: strip.querySelector(".prompt").textContent, chosen: strip.querySelector("select").selectedIndex,
    options: [...strip.querySelector("select").options].map((one) => one.textContent),
    isOffered: strip.querySelector("select").offsetParent !== null,
    playing: [...document.querySelectorAll("audio")].filter((one) => !one.paused).map((one) => one.getAttribute("src")),
    time: Math.max(...cells.map((one) => one.querySelector("audio").currentTime)),
  };
})()"""


@pytest.fixture(scope="module")
def browser(built_page):
    """The page in Chromium; afterwards nothing may stand on its console."""
    if find() is None:
        pytest.skip("no Chromium is installed")
    with Chromium() as browser:
        browser.resize(1280, 900)
        browser.open(built_page)
        yield browser
        assert not browser.complaints()


@pytest.fixture
def strip(browser):
    """What is seen of the strip, by a function; the first prompt is chosen."""
    browser.evaluate("document.querySelectorAll('audio').forEach((one) => one.pause()) ?? 0")
    choose(browser, 0)
    return lambda: browser.evaluate(STRIP)


def choose(browser: Chromium, index: int) -> None:
    """Choose a prompt."""
    browser.evaluate(f"""(() => {{ const select = document.querySelector(".strip select");
      select.selectedIndex = {index}; select.dispatchEvent(new Event("change")); return 0; }})()""")


def click_play(browser: Chromium, cell: int) -> None:
    """Press the button at the left end of a cell's player."""
    x, y = browser.evaluate(f"""(async () => {{ const one = document.querySelectorAll(".cell audio")[{cell}];
      one.scrollIntoView({{block: "center", behavior: "instant"}}); await new Promise((done) => setTimeout(done, 300));
      const box = one.getBoundingClientRect(); return [box.left + 26, box.top + box.height / 2]; }})()""")
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def wait_for(see, is_so, seconds: float = 8.0) -> dict:
    """What is seen once `is_so(what is seen)`."""
    deadline = time.monotonic() + seconds
    while not is_so(seen := see()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


def test_the_strip_is_of_the_first_prompt_and_says_what_the_probes_read(strip, built_page):
    seen = strip()
    stored = read_json(built_page.parents[1] / "generation/miniflow/strip/strip.json")
    first = stored["prompts"][0]
    by_view = [sound for view in ("x_t", "end_estimate") for sound in first["sounds"] if sound["view"] == view]
    assert seen["steps"] == ["Step 0", "Step 8", "Step 16", "Step 24", "Step 31"] * 2
    assert seen["wavs"] == [f"generation/miniflow/{sound['wav']}" for sound in by_view]
    assert seen["pngs"] == [f"generation/miniflow/{sound['png']}" for sound in by_view]
    assert seen["classes"] == [
        [
            f"{name} {one[name]['name']} {100 * one[name]['probability']:.0f} %"
            for name in ("pitch", "amplitude", "timbre")
        ]
        for one in (sound["classes"] for sound in by_view)
    ]
    assert seen["prompt"] == f"“{first['text']}”" and seen["isOffered"]
    assert (
        len(seen["options"]) == 2
        and seen["options"][0].endswith("...")
        and seen["options"][1] == "a bass & drums, <loud>"
    )
    assert set(seen["preload"]) == {"none"} and not any(seen["autoplay"]) and not seen["playing"]
    assert len(set(seen["labels"])) == 10 and seen["labels"][1] == f"{seen['heads'][0]}, step 8"


def test_another_prompt_has_other_sounds(strip, browser):
    before = strip()
    choose(browser, 1)
    seen = wait_for(strip, lambda seen: all(seen["seen"]))
    assert seen["wavs"] == [path.replace("prompt~0", "prompt~1") for path in before["wavs"]]
    assert seen["pngs"] == [path.replace("prompt~0", "prompt~1") for path in before["pngs"]]
    assert seen["classes"] != before["classes"] and seen["prompt"] == "“a bass & drums, <loud>”"
    choose(browser, 0)
    assert strip()["wavs"] == before["wavs"]


def test_a_step_is_heard_until_another_prompt_is_chosen(strip, browser):
    click_play(browser, 2)
    seen = wait_for(strip, lambda seen: seen["time"] > 0.1)
    assert seen["playing"] == ["generation/miniflow/prompt~0/x_t/step~16.wav"]
    # so that it does not end by itself
    browser.evaluate("document.querySelectorAll('.cell audio')[2].loop = true")
    click_play(browser, 9)
    wait_for(strip, lambda seen: seen["playing"] == ["generation/miniflow/prompt~0/end_estimate/step~31.wav"])
    browser.evaluate("(window.heard = document.querySelectorAll('.cell audio')[9]) && 0")
    choose(browser, 1)
    wait_for(lambda: browser.evaluate("window.heard.paused"), lambda is_paused: is_paused)
    assert not strip()["playing"]


def test_the_keyboard_chooses_a_prompt(strip, browser):
    browser.evaluate("document.querySelector('.strip select').focus() ?? 0")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowDown", code="ArrowDown", windowsVirtualKeyCode=40)
    seen = wait_for(strip, lambda seen: seen["chosen"] == 1)
    assert "prompt~1" in seen["wavs"][0]
    assert browser.evaluate("document.activeElement === document.querySelector('.strip select')")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_strip_fits(strip, browser, width):
    browser.resize(width, 900)
    try:
        boxes = browser.evaluate("""(() => {
          const {left, right} = document.querySelector("main").getBoundingClientRect();
          return [...document.querySelectorAll(".strip *")].filter((one) => one.getClientRects().length &&
            (one.getBoundingClientRect().right > right || one.getBoundingClientRect().left < left))
            .map((one) => one.outerHTML); })()""")
        tops = browser.evaluate(
            "[...document.querySelectorAll('.cell')].map((one) => Math.round(one.getBoundingClientRect().top))"
        )
    finally:
        browser.resize(1280, 900)
    assert not boxes
    # wide: a row per view; narrow: a column per view
    if width == 1280:
        assert len(set(tops[:5])) == 1 < len(set(tops))
    else:
        assert tops[:5] == tops[5:] == sorted(set(tops))


def test_all_sounds_of_the_strip_are_in_the_page(built_page):
    text = built_page.read_text()
    lying = [path for form in ("wav", "png") for path in (built_page.parent / "generation").rglob(f"*.{form}")]
    assert len(lying) == 2 * 2 * 5 * 2
    assert all(f'src="{path.relative_to(built_page.parent)}"' in text for path in lying)


def test_without_javascript_the_first_prompt_is_there(built_page):
    text = built_page.read_text()
    section = text[text.index('<section id="generation">') : text.index('<section id="sound">')]
    shown = re.sub("<template.*?</template>", "", section, flags=re.DOTALL)
    assert "prompt~0/x_t/step~31.wav" in shown and "prompt~1" not in shown and "<label hidden>" in shown
    assert "<noscript>" in shown and "a bass &amp; drums, &lt;loud&gt;" in shown


def test_the_generation_section_has_its_figures_and_tables(built_page):
    text = built_page.read_text()
    section = text[text.index('<section id="generation">') : text.index('<section id="sound">')]
    assert re.findall('id="figure-(.*?)"', section) == [name for name in FIGURES if name.startswith("generation")]
    for name in ("generation", "generation_convergence", "generation_distances"):
        assert f'href="tables/{name}.csv"' in section
    assert text.index('<section id="steering">') < text.index('<section id="generation">')
    assert '<li><a href="#generation">Generation</a></li>' in text


def test_a_run_without_a_generator_has_no_such_section(data_page):
    text = data_page.read_text()
    markup = re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL)
    assert 'id="generation"' not in markup and 'class="strip"' not in markup and "figure-generation" not in markup


if __name__ == "__main__":
    print(check_page(sys.argv[1]))
