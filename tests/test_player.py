"""The steering player: what is rendered for it agrees with itself, and the page plays, draws and says it."""

import itertools
import re
import time
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
import torch

import synthetic_player
from chromium import Chromium, find
from figure_drawing import FIGURES
from page_building import build_page
from sonolens import plugins
from sonolens.encoders import minivae
from sonolens.encoders.contract import decode
from sonolens.encoders.spectrogram_codec import D_LATENT, write_weights
from sonolens.files import read_json
from sonolens.labels.bins import Bins, classify
from sonolens.latents import Scaling
from sonolens.report.page import inlined
from sonolens.sae.model import SparseAutoencoder, rms_norm
from sonolens.steering import player, tracking
from sonolens.steering.cell import Cell, Probe
from sonolens.steering.excerpts import SourceSound
from synthetic_results import SyntheticResults, write

RATE_HZ, N_SAMPLES, F = 16_000, 11_000, 96
ALPHAS = [0.5, 20]
# position 1 is the class of undefined frames
CLASSES = {
    "timbre": [{"index": 1, "name": "bright", "centre": 1750.0}, {"index": 2, "name": "undefined", "centre": None}],
    "amplitude": [{"index": 1, "name": "loud", "centre": -15.0}],
}
BINS = {
    "timbre": Bins("Hz", np.array([500.0, 1500.0, 2000.0]), ["dark", "bright", "undefined"],
                   np.array([1000.0, 1750.0, np.nan]), 2, True),
    "amplitude": Bins("dBFS", np.array([-70.0, -30.0, 0.0]), ["soft", "loud"], np.array([-50.0, -15.0]), -1, True),
}  # fmt: skip


def filled(kind: str, module: str, **changes) -> dict:
    """A card's defaults."""
    properties = plugins.card(kind, module)["options"]["properties"]
    return {name: entry["default"] for name, entry in properties.items() if "default" in entry} | changes


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A real codec, a few steps old."""
    options = filled("encoders", "minivae", steps=4, batch_clips=2, excerpt_seconds=0.2, width=16, n_blocks=1)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    state, _ = minivae.train([*noise], options, seed=0, device="cpu")
    path = tmp_path_factory.mktemp("codec") / "weights.safetensors"
    write_weights(path, state, {"module": "minivae", "options": options})
    return minivae.load([path], options, "cpu")


@pytest.fixture(scope="module")
def cell() -> Cell:
    generator = torch.Generator().manual_seed(5)
    model = SparseAutoencoder(D_LATENT, F)
    model.initialise(generator)
    probes = {
        name: Probe(torch.randn(bins.n_classes, F, generator=generator), torch.zeros(bins.n_classes), bins)
        for name, bins in BINS.items()
    }
    return Cell(model.requires_grad_(False), Scaling(np.zeros(D_LATENT, np.float32), 0.5), probes)


def labellers() -> dict[str, tracking.Labeller]:
    entries = {name: {"module": name, "options": filled("labels", name)} for name in CLASSES}
    return tracking.labellers(entries, "cpu")


IDENTITY = {"encoder": "minivae", "name": "best", "dim": F, "lam": 0.02, "loading": "not the page's concern"}


@pytest.fixture(scope="module")
def excerpt(encoder) -> SourceSound:
    samples = synthetic_player.tune(57, -18, 0.5)[:, 8000 : 8000 + N_SAMPLES]
    latents = encoder.encode(samples)
    return SourceSound("toy/a", "solo", "cello", 1.5, samples, latents, np.zeros((len(latents), 0), np.float32))


@pytest.fixture(scope="module")
def rendered(encoder, cell, excerpt, tmp_path_factory) -> Path:
    """The folder of both attributes."""
    folder = tmp_path_factory.mktemp("rendered")
    paths = [folder / name / "sounds/tracks.json" for name in CLASSES]
    player.render_cell(encoder, cell, IDENTITY, excerpt, CLASSES, ALPHAS, labellers(), paths)
    return folder


def names_of(attribute: str) -> list[str]:
    steered = [f"class~{i}/alpha~{alpha}" for i in range(len(CLASSES[attribute])) for alpha in ("0.5", "20")]
    return ["original", "sae", *steered]


def heard(rendered: Path, attribute: str, name: str) -> np.ndarray:
    """(1, n_samples) out of a WAV."""
    samples, rate = soundfile.read(rendered / attribute / f"sounds/{name}.wav", dtype="float32", always_2d=True)
    assert rate == RATE_HZ
    return samples.T


def measured(rendered: Path, attribute: str, name: str) -> dict[str, np.ndarray]:
    """Tracks of a WAV on the 10 ms grid."""
    return tracking.track_all(heard(rendered, attribute, name)[0], RATE_HZ, "solo", labellers())


@pytest.mark.parametrize("attribute", CLASSES)
def test_the_files_are_those_that_the_rule_lists(rendered, attribute):
    folder = rendered / attribute / "sounds"
    listed = {f"{name}.{form}" for name in names_of(attribute) for form in ("wav", "png")} | {"tracks.json"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == listed
    tracks = read_json(folder / "tracks.json")
    assert set(tracks["sounds"]) == set(names_of(attribute))
    assert {sound[form] for sound in tracks["sounds"].values() for form in ("wav", "png")} == listed - {"tracks.json"}
    assert tracks["cell"] == {"name": "best", "dim": F, "lam": 0.02}
    assert tracks["clip"]["duration_s"] == N_SAMPLES / RATE_HZ
    assert soundfile.info(folder / "sae.wav").subtype == "PCM_16"


def test_sounds_are_the_papers_formula_decoded(rendered, encoder, cell, excerpt):
    f = cell.model.encode(cell.scaled(excerpt.latents)).f
    codes = {"sae": f} | {
        f"class~{i}/alpha~{alpha:g}": rms_norm(f + alpha * cell.probes["timbre"].weight[CLASSES["timbre"][i]["index"]])
        for i, alpha in itertools.product(range(2), ALPHAS)
    }
    found = {}
    for name, code in codes.items():
        by_hand = decode(encoder, cell.latents(cell.model.decode(code)), excerpt.side)[:, :N_SAMPLES]
        found[name] = heard(rendered, "timbre", name)
        assert found[name].shape == excerpt.samples.shape
        assert np.abs(found[name] - np.clip(by_hand, -1, 1)).max() < 1e-4, name
    for one, other in itertools.combinations(found.values(), 2):
        assert np.abs(one - other).max() > 1e-3
    assert np.abs(heard(rendered, "timbre", "original") - excerpt.samples).max() < 1e-4


@pytest.mark.parametrize("name", ["original", "sae", "class~0/alpha~20"])
def test_tracks_are_those_of_the_wav(rendered, name):
    tracks = read_json(rendered / "timbre/sounds/tracks.json")
    again = measured(rendered, "timbre", name)
    assert (tracks["first_time_s"], tracks["time_step_s"]) == (0.005, 0.02)
    for attribute, track in tracks["sounds"][name]["tracks"].items():
        values = np.array(track, float)
        assert len(values) == -(-len(again[attribute]) // 2)
        np.testing.assert_allclose(values, again[attribute][::2], rtol=0.02)


def test_changes_are_counted_against_the_autoencoder_and_its_own_against_the_original(rendered):
    sounds = read_json(rendered / "amplitude/sounds/tracks.json")["sounds"]
    assert "shifts" not in sounds["original"]
    for name, baseline in (("class~0/alpha~20", "sae"), ("sae", "original")):
        before, after = measured(rendered, "amplitude", baseline), measured(rendered, "amplitude", name)
        for attribute in CLASSES:
            change = np.nanmean(after[attribute] - before[attribute])
            assert sounds[name]["shifts"][attribute]["change"] == pytest.approx(change, abs=1e-2, rel=1e-2)
        (hits,) = sounds[name]["hits"]
        is_hit = [int((classify(track["amplitude"], BINS["amplitude"]) == 1).sum()) for track in (before, after)]
        assert (hits["before"], hits["after"], hits["n"]) == (*is_hit, len(before["amplitude"]))


def test_classes_have_the_ends_of_their_bins_and_charts_hold_them(rendered):
    tracks = read_json(rendered / "timbre/sounds/tracks.json")
    assert [(one["low"], one["high"]) for one in tracks["classes"]] == [(1500.0, 2000.0), (None, None)]
    ranges = {one["name"]: (one["low"], one["high"]) for one in tracks["attributes"]}
    assert ranges["timbre"][0] < 1500 and ranges["timbre"][1] > 2000
    values = np.array([value for sound in tracks["sounds"].values() for value in sound["tracks"]["amplitude"]])
    assert ((values >= ranges["amplitude"][0]) & (values <= ranges["amplitude"][1])).mean() > 0.97


def test_an_attribute_that_is_not_measured_on_this_kind_is_said_to_be(tmp_path, encoder, cell, excerpt):
    some = labellers()
    some["timbre"] = some["timbre"]._replace(options=some["timbre"].options | {"leave_out_kinds": ["solo"]})
    player.render(encoder, cell, IDENTITY, excerpt, "timbre", CLASSES["timbre"][:1], [1], some, tmp_path)
    tracks = read_json(tmp_path / "tracks.json")
    steered = tracks["sounds"]["class~0/alpha~1"]
    assert steered["tracks"]["timbre"] == [] and steered["tracks"]["amplitude"]
    assert steered["shifts"]["timbre"] == {"n_frames": 0, "n_defined": 0, "n_lost": 0, "n_gained": 0, "change": None}
    assert tracks["attributes"][0]["low"] < tracks["attributes"][0]["high"]


def test_a_sound_that_is_not_finite_is_refused(tmp_path, encoder, cell, excerpt):
    broken = excerpt._replace(latents=np.full_like(excerpt.latents, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        player.render(encoder, cell, IDENTITY, broken, "timbre", CLASSES["timbre"], ALPHAS, labellers(), tmp_path)


# ---- spectrograms


@pytest.mark.parametrize("hertz", [110.0, 1000.0, 1007.8, 6000.0])
def test_a_sine_stands_in_its_row_with_its_level(hertz):
    samples = 0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE_HZ) / RATE_HZ)
    levels = player.levels_dbfs(samples, RATE_HZ)
    assert levels.shape == (player.N_ROWS, player.N_COLUMNS)
    low, high = player.frequency_range_hz(RATE_HZ)
    assert (low, high) == (50.0, 8000.0)
    row = int((1 - np.log(hertz / low) / np.log(high / low)) * player.N_ROWS)
    column = levels[:, player.N_COLUMNS // 2]
    assert abs(int(column.argmax()) - row) <= 1
    assert column.max() == pytest.approx(-20, abs=0.5)


def test_columns_are_moments():
    samples = np.zeros(RATE_HZ)
    samples[RATE_HZ // 4] = 0.5
    loudest = player.levels_dbfs(samples, RATE_HZ).max(axis=0).argmax()
    assert loudest == pytest.approx(player.N_COLUMNS / 4, abs=2)


def test_images_share_a_scale_and_are_those_of_the_wav(rendered, tmp_path):
    again = heard(rendered, "timbre", "sae")[0]
    for name, gain in (("same", 1.0), ("softer", 0.1)):
        player.write_spectrogram(tmp_path / f"{name}.png", gain * again, RATE_HZ)
    images = {path.stem: matplotlib.image.imread(path) for path in tmp_path.glob("*.png")}
    stored = matplotlib.image.imread(rendered / "timbre/sounds/sae.png")
    assert stored.shape[:2] == (player.N_ROWS, player.N_COLUMNS)
    # the WAV has 16 bits, what was drawn had more
    assert np.abs(stored - images["same"]).mean() < 0.01
    assert images["softer"].mean() < stored.mean() - 0.05


def test_equal_sounds_give_equal_bytes(rendered, tmp_path):
    for attribute in ("timbre", "amplitude"):
        (tmp_path / attribute).write_bytes((rendered / attribute / "sounds/sae.png").read_bytes())
    assert (tmp_path / "timbre").read_bytes() == (tmp_path / "amplitude").read_bytes()
    assert b"atplotlib" not in (tmp_path / "timbre").read_bytes()


def test_silence_is_dark():
    assert (player.levels_dbfs(np.zeros(3000), RATE_HZ) == -200).all()


# ---- the page


def build(root: Path, encoders: list[str], attributes: list[str], with_player: bool = True) -> Path:
    """index.html of a small report, whose figures are a dot."""
    folder = root / "results/report/figures"
    folder.mkdir(parents=True)
    for name in FIGURES:
        matplotlib.image.imsave(folder / f"{name}.png", np.zeros((1, 1)))
        (folder / f"{name}.svg").write_text("")
    small = SyntheticResults(root, encoders, [4], [0.02], attributes, encoders[:1], n_clips=1)
    return build_page(write(small), with_figures=False, with_player=with_player)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("page"), ["minivae", "minirvq"], ["pitch", "amplitude", "timbre"])


def test_data_cannot_leave_its_element():
    text = inlined({"name": "</script><script>alert(1)</script><!--"})
    assert "<" not in text and '"name":"\\u003c/script>' in text


def test_without_a_steered_cell_the_page_is_silent_on_it(tmp_path):
    text = build(tmp_path, ["minivae"], ["pitch"], with_player=False).read_text()
    markup = re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL)
    assert "steering-data" not in markup and 'id="steer"' not in markup and 'href="#steer"' not in markup
    assert 'id="figure-steering"' not in markup and 'href="#steering"' not in markup


def test_the_page_says_without_javascript_what_it_would_show(page):
    text = page.read_text()
    (said,) = re.findall("<noscript>(.*?)</noscript>", text, re.DOTALL)
    assert "With JavaScript" in said and "pitch, amplitude, timbre" in said
    assert 'href="tables/steering.csv"' in text and '<li><a href="#steer">' in text


STATE = """(() => {
  const root = document.getElementById("player"), side = (name) => root.querySelector(`[data-side=${name}]`);
  const audio = side("steered").querySelector("audio"), image = side("steered").querySelector("img");
  const charts = [...root.querySelectorAll(".chart")];
  return {
    wav: audio.getAttribute("src"), png: image.getAttribute("src"), alt: image.alt, label: audio.ariaLabel,
    original: side("original").querySelector("audio").getAttribute("src"),
    title: side("steered").querySelector("h3").textContent.trim(),
    time: audio.currentTime, playing: !audio.paused,
    n_playing: [...root.querySelectorAll("audio")].filter((one) => !one.paused).length,
    times: [...root.querySelectorAll("audio")].map((one) => one.currentTime),
    at: Number(root.style.getPropertyValue("--at")),
    outcome: root.querySelector(".outcome").innerText,
    targets: charts.map((one) => one.querySelectorAll("rect").length),
    lines: charts.map((one) => one.querySelectorAll("path.line").length),
    steered: charts.map((one) => one.querySelector("path.steered")?.getAttribute("d")),
    units: charts.map((one) => one.querySelector("p").textContent), excerpt: root.querySelector(".excerpt").textContent,
    offered: Object.fromEntries([...root.querySelectorAll("fieldset")].map((one) => [one.dataset.choice,
      [...one.querySelectorAll("label")].map((label) => label.textContent)])),
    chosen: Object.fromEntries([...root.querySelectorAll("fieldset")].map((one) => [one.dataset.choice,
      one.querySelector("input:checked").closest("label").textContent])),
  };
})()"""


class Reader:
    """Somebody with a mouse and a keyboard."""

    def __init__(self, browser: Chromium):
        self.browser = browser

    @property
    def sees(self) -> dict:
        return self.browser.evaluate(STATE)

    def click(self, found: str, left_px: float | None = None) -> None:
        """Click the middle of what a script finds, or so many pixels right of its left edge."""
        x, y, width = self.browser.evaluate(
            f"(() => {{ const one = {found}; one.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            "const box = one.getBoundingClientRect(); return [box.left, box.top + box.height / 2, box.width]; })()"
        )
        at = {"x": x + (width / 2 if left_px is None else left_px), "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.call("Input.dispatchMouseEvent", type=kind, **at)

    def choose(self, choice: str, text: str) -> None:
        self.click(
            f"[...document.querySelectorAll('[data-choice={choice}] label')].find(l => l.textContent == '{text}')"
        )

    def play(self, side: str) -> None:
        """Press the button at the left end of the player."""
        self.click(f"document.querySelector('[data-side={side}] audio')", left_px=26)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def wait(self, is_so, seconds: float = 5.0) -> dict:
        """What is seen once `is_so(what is seen)`."""
        deadline = time.monotonic() + seconds
        while not is_so(seen := self.sees):
            assert time.monotonic() < deadline, seen
            time.sleep(0.03)
        return seen


@pytest.fixture(scope="module")
def browser(page):
    if find() is None:
        pytest.skip("no Chromium is installed")
    with Chromium() as browser:
        browser.resize(1280, 900)
        yield browser


@pytest.fixture
def reader(browser, page):
    """At the page as it opens; at the end nothing must stand on the console, and nothing have come from elsewhere."""
    browser.events.clear()
    browser.open(page)
    yield Reader(browser)
    assert not browser.complaints()
    assert not [url for url in browser.requests() if not url.startswith(("file:", "data:"))]


def stored(page: Path, attribute: str, encoder: str = "minivae") -> dict:
    return read_json(page.parents[1] / f"steering/{encoder}/best/{attribute}/sounds/tracks.json")


def test_it_opens_on_the_strongest_effect_of_the_first_attribute(reader, page):
    seen, tracks = reader.sees, stored(page, "pitch")
    assert seen["offered"] == {
        "cell": ["minivae", "minirvq"], "attribute": ["pitch", "amplitude", "timbre"],
        "class": [one["name"] for one in tracks["classes"]], "alpha": ["0", "1", "10.5"],
    }  # fmt: skip
    gains = {
        name: max(one["after"] - one["before"] for one in [sound["hits"][int(name[6])]])
        for name, sound in tracks["sounds"].items()
        if name.startswith("class~")
    }
    name = seen["wav"].removeprefix("steering/minivae/best/pitch/").removesuffix(".wav")
    assert gains[name] == max(gains.values()) > 0 and name.endswith("alpha~10.5")
    assert seen["png"] == seen["wav"].replace(".wav", ".png")
    assert seen["original"] == "steering/minivae/best/pitch/original.wav"
    assert "note" in seen["title"] and seen["label"] == seen["title"] and seen["title"] in seen["alt"]
    assert "chorales/clip_000 (solo, cello), 2.0 s from 2.0 s" in seen["excerpt"] and "−90 to −10" in seen["excerpt"]
    assert seen["targets"] == [1, 0, 0] and seen["lines"] == [3, 3, 3]
    assert seen["units"] == ["pitch semitone (MIDI)", "amplitude dBFS", "timbre Hz"]


def test_words_and_lines_are_those_of_the_file(reader, page):
    reader.choose("attribute", "amplitude")
    reader.choose("class", "-20 to -15 dBFS")
    reader.choose("alpha", "10.5")
    seen, tracks = reader.sees, stored(page, "amplitude")
    sound = tracks["sounds"]["class~1/alpha~10.5"]
    hits = sound["hits"][1]
    assert hits["after"] > 0 and hits != sound["hits"][0]
    before, after = (round(100 * hits[key] / hits["n"]) for key in ("before", "after"))
    assert f"{before}\u00a0% → {after}\u00a0%\nof {hits['n']} frames in the class -20 to -15 dBFS" in seen["outcome"]
    change = sound["shifts"]["amplitude"]["change"]
    assert change > 5 and f"+{change:.1f} dB\nmean shift of amplitude" in seen["outcome"]
    assert re.search(r"[+−±][\d.]+ semitones\nmean shift of pitch", seen["outcome"])
    # the first point of the steered line: its pixel, from the attribute's range
    chart = next(one for one in tracks["attributes"] if one["name"] == "amplitude")
    first = sound["tracks"]["amplitude"][0]
    y = (168 - 10 - 22) * (1 - (first - chart["low"]) / (chart["high"] - chart["low"]))
    assert float(re.match(r"M[\d.]+,([-\d.]+)", seen["steered"][1])[1]) == pytest.approx(y, abs=0.06)
    assert seen["targets"] == [0, 1, 0]


def test_a_rest_is_a_gap_in_the_pitch(reader):
    drawn = reader.sees["steered"][0]
    assert drawn.count("M") >= 1 and "NaN" not in drawn
    at_the_end = float(re.findall(r"[ML]([\d.]+),", drawn)[-1])
    assert 180 < at_the_end < 240, "of 306 px; the last quarter is silent"


def test_alpha_zero_is_the_autoencoder_alone(reader):
    reader.choose("alpha", "0")
    seen = reader.sees
    assert seen["wav"].endswith("/pitch/sae.wav") and seen["png"].endswith("/pitch/sae.png")
    assert seen["title"].startswith("Autoencoder alone") and seen["lines"] == [2, 2, 2]
    assert "the autoencoder with the original" in seen["excerpt"]
    assert "−1.5 dB" in seen["outcome"], "2 dB softer than the original, but in the quarter that is silent in both"


def test_it_plays_and_goes_on_at_the_same_time_in_another_sound(reader):
    reader.play("steered")
    seen = reader.wait(lambda seen: seen["time"] > 0.3)
    assert seen["playing"] and 0.1 < seen["at"] < 0.9
    reader.choose("alpha", "1")
    now = reader.wait(lambda now: now["playing"] and now["wav"].endswith("alpha~1.wav"))
    assert seen["time"] <= now["time"] < seen["time"] + 1 and now["png"].endswith("alpha~1.png")
    reader.choose("cell", "minirvq")
    seen = reader.wait(lambda seen: seen["playing"] and seen["wav"].startswith("steering/minirvq/"))
    assert now["time"] <= seen["time"] and seen["wav"].endswith("alpha~1.wav")
    assert abs(seen["at"] - seen["time"] / 2) < 0.1


def test_two_switches_at_once_lose_nothing(reader):
    reader.play("steered")
    reader.wait(lambda seen: seen["time"] > 0.3)
    reader.browser.evaluate("""(() => {
      const input = (choice, n) => document.querySelectorAll(`[data-choice=${choice}] input`)[n];
      input("attribute", 2).click(); input("alpha", 1).click(); input("alpha", 2).click(); return 0;
    })()""")
    seen = reader.wait(lambda seen: seen["playing"] and "timbre" in seen["wav"])
    assert seen["time"] >= 0.3, seen
    assert seen["wav"].startswith("steering/minivae/best/timbre/") and seen["wav"].endswith("alpha~10.5.wav")


def test_one_takes_over_from_the_other_at_its_time(reader):
    reader.play("original")
    reader.wait(lambda seen: seen["times"][0] > 0.4)
    reader.play("steered")
    seen = reader.wait(lambda seen: seen["playing"] and seen["n_playing"] == 1)
    assert 0.4 <= seen["times"][1] < 1.5
    reader.play("steered")
    seen = reader.wait(lambda seen: not seen["playing"] and abs(seen["times"][0] - seen["times"][1]) < 0.05)
    assert abs(seen["at"] - seen["times"][1] / 2) < 0.03, "both rest at one time, which the line shows"


def test_a_click_on_a_picture_goes_there(reader):
    width = reader.browser.evaluate("document.querySelector('[data-side=steered] .plot').clientWidth")
    reader.click("document.querySelector('[data-side=steered] .plot')", left_px=44 + 0.25 * (width - 54))
    seen = reader.wait(lambda seen: seen["times"][0] > 0 and seen["times"][1] > 0)
    assert seen["times"] == pytest.approx([0.5, 0.5], abs=0.03) and seen["at"] == pytest.approx(0.25, abs=0.02)
    assert not seen["playing"]


def test_the_keyboard_is_enough(reader):
    reader.choose("alpha", "1")
    reader.press("ArrowRight")
    assert reader.sees["chosen"]["alpha"] == "10.5"
    focused = "document.activeElement.closest('fieldset').dataset.choice + document.activeElement.value"
    assert reader.browser.evaluate(focused) == "alpha10.5"
    reader.browser.evaluate("document.querySelector('[data-choice=attribute] input:checked').focus() ?? 0")
    reader.press("ArrowRight")
    seen = reader.sees
    assert seen["chosen"]["attribute"] == "amplitude" and seen["offered"]["class"][0].endswith("dBFS")
    assert reader.browser.evaluate(focused) == "attributeamplitude", "the focus stays where it was"
    names = reader.browser.evaluate("[...document.querySelectorAll('#player legend')].map(one => one.textContent)")
    assert names == ["Cell", "Attribute", "Towards", "Strength α"]


def test_the_class_stays_with_its_attribute(reader):
    other = next(name for name in reader.sees["offered"]["class"] if name != reader.sees["chosen"]["class"])
    reader.choose("class", other)
    reader.choose("attribute", "timbre")
    reader.choose("cell", "minirvq")
    reader.choose("attribute", "pitch")
    assert reader.sees["chosen"] | {"alpha": ""} == {
        "cell": "minirvq", "attribute": "pitch", "class": other, "alpha": ""
    }  # fmt: skip


EVERY_SOUND = """(async () => {
  const inputs = (choice) => [...document.querySelectorAll(`[data-choice=${choice}] input`)];
  const root = document.getElementById("player"), found = [];
  const loaded = (one, name, is) => is() || new Promise((done) => {
    one.addEventListener(name, done, { once: true }); one.addEventListener("error", done, { once: true });
    setTimeout(done, 3000); });
  for (let e = 0; e < inputs("cell").length; e++) { inputs("cell")[e].click();
  for (let a = 0; a < inputs("attribute").length; a++) { inputs("attribute")[a].click();
  for (let c = 0; c < inputs("class").length; c++) { inputs("class")[c].click();
  for (let s = 0; s < inputs("alpha").length; s++) { inputs("alpha")[s].click();
    for (const side of ["original", "steered"]) {
      const [audio, image] = ["audio", "img"].map((tag) => root.querySelector(`[data-side=${side}] ${tag}`));
      await loaded(audio, "loadedmetadata", () => audio.readyState > 0);
      await loaded(image, "load", () => image.complete);
      found.push([audio.getAttribute("src"), audio.error ? 0 : audio.duration, image.naturalWidth]);
    } } } } }
  return found;
})()"""


def test_every_sound_and_picture_is_there_and_none_is_forgotten(reader, page):
    found = reader.browser.evaluate(EVERY_SOUND)
    assert all(duration == 2.0 and width == player.N_COLUMNS for _, duration, width in found), found
    played = {path for path, _, _ in found}
    assert played == {str(path.relative_to(page.parent)) for path in (page.parent / "steering").rglob("*.wav")}


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits(browser, reader, width):
    browser.resize(width, 900)
    try:
        reader.choose("attribute", "timbre")
        wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        boxes = browser.evaluate("""(() => { const right = document.querySelector("main").getBoundingClientRect().right;
          return [...document.querySelectorAll("#player *")].filter((one) => one.getClientRects().length &&
            !one.closest("svg svg") && one.getBoundingClientRect().right > right).map((one) => one.outerHTML); })()""")
        columns = browser.evaluate("getComputedStyle(document.querySelector('.sides')).gridTemplateColumns")
    finally:
        browser.resize(1280, 900)
    assert wide <= 0 and not boxes
    assert len(columns.split()) == (1 if width == 390 else 2)
