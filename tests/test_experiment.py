"""The config is refused, with the key's name and what is allowed, wherever it cannot be run."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from sonolens import experiment

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "rules" / "config.schema.yaml"


OWN_ENCODER = """
class Mine:
    sample_rate_hz = 16000
    n_channels = 1
    d_latent = 4
    hop_samples = 4

    def __init__(self, device, weights, gain: float = 1.0): ...
    def encode(self, audio): ...
    def decode(self, latents): ...
"""


@pytest.fixture
def config() -> dict:
    """The paper's experiment, as someone runs it who has accepted the licences."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["downloads"]["accepted_licences"] = ["stability-ai-community", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"]
    return config


def refusal(config: dict) -> str:
    with pytest.raises(experiment.ConfigError) as caught:
        experiment.resolve(config, SCHEMA)
    return str(caught.value)


def test_the_paper_grid_is_what_config_yaml_says(config):
    resolved = experiment.resolve(config, SCHEMA)
    d_latents = {"diffrhythm_vae": 64, "encodec": 128, "wavtokenizer": 512}
    assert experiment.names(resolved, "encoders") == list(d_latents)
    for encoder, d_latent in d_latents.items():
        expected = [d_latent * expansion for expansion in (4, 8, 16, 32, 64, 128, 256)]
        assert experiment.dims(resolved, encoder) == expected
    assert resolved["sae"]["lams"] == [0.005, 0.01, 0.02, 0.05, 0.1, 0.15]


def test_licences_that_restrict_use_have_to_be_accepted(config):
    config["downloads"]["accepted_licences"] = ["cc-by-nc-4.0"]
    message = refusal(config)
    for part in ("diffrhythm_vae", "vae_model.pt", "Stability AI Community License", "https://stability.ai/"):
        assert part in message
    assert "accepted_licences: [cc-by-nc-4.0, cc-by-nc-sa-4.0, stability-ai-community]" in message
    assert "encodec" not in message
    config["downloads"]["accepted_licences"] = ["cc-by-nc"]
    assert "did you mean 'cc-by-nc-4.0'" in refusal(config)


def test_a_variant_brings_its_constants(config):
    config["encoders"] = [{"name": "encodec"}, {"name": "stereo", "module": "encodec", "model": "48khz"}]
    config["generators"] = []
    config["objective"]["encoders"] = []
    mono, stereo = (entry["card"] for entry in experiment.resolve(config, SCHEMA)["encoders"])
    assert (mono["n_channels"], stereo["n_channels"]) == (1, 2)
    assert "segment_samples" not in mono and stereo["segment_samples"] == 48_000
    assert [file["name"][:13] for file in stereo["files"]] == ["encodec_48khz"]
    assert set(stereo["encode_only"]) == {"model", "latent", "bandwidth_kbps", "precision"}


def test_an_encoder_of_the_users_own_is_an_entry_like_others(config, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_ENCODER)
    entry = {"name": "mine", "module": f"{tmp_path}/mine.py:Mine", "gain": 0.5, "weights": ["w.npy"]}
    config["encoders"] = [entry | {"frame_offset_frames": 0.25}]
    config["generators"] = []
    config["objective"]["encoders"] = []
    (mine,) = experiment.resolve(config, SCHEMA)["encoders"]
    assert mine["options"] == {"gain": 0.5} and mine["weights"] == ["w.npy"]
    assert mine["card"]["d_latent"] == 4 and mine["card"]["frame_offset_frames"] == 0.25
    config["encoders"] = [entry | {"gane": 1}]
    assert "did you mean 'gain'" in refusal(config)
    config["encoders"] = [entry | {"module": f"{tmp_path}/mine.py:Yours"}]
    assert "defines no class Yours" in refusal(config)


def test_defaults_come_from_schema_and_cards(config):
    del config["splits"], config["seed"]
    resolved = experiment.resolve(config, SCHEMA)
    assert resolved["splits"] == {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert resolved["seed"] == 0
    assert resolved["encoders"][0]["options"]["latent"] == "mean"  # from encoders/diffrhythm_vae.yaml
    assert resolved["downloads"]["mirrors"] == {}


def test_the_given_config_is_left_as_it_was(config):
    before = yaml.safe_dump(config)
    experiment.resolve(config, SCHEMA)
    assert yaml.safe_dump(config) == before


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("sae", "lamz"), [0.1], ["sae", "'lamz'", "did you mean 'lams'"]),
        (("seeed",), 1, ["'seeed'", "did you mean 'seed'"]),
        (("sae", "lams"), [-0.1], ["sae.lams[0]", "-0.1", "minimum"]),
        (("sae", "lams"), ["1e-3"], ["sae.lams[0]", "1.0e-3"]),
        (("sae", "lams"), [0.1, 0.1], ["sae.lams", "non-unique"]),
        (("sae", "expansions"), [4.5], ["sae.expansions[0]", "4.5", "integer", "d_latent"]),
        (("sae", "expansions"), [], ["sae.expansions"]),
        (("sae", "l1_on"), "both", ["sae.l1_on", "normalised", "hidden"]),
        (("sae", "steps"), 0, ["sae.steps"]),
        (("encoders",), [], ["encoders"]),
        (("encoders",), [{"name": "minivea"}], ["encoders[0].module", "minivea", "minivae"]),
        (("encoders",), [{"name": "minivae", "stepz": 3}], ["encoders[0] (minivae)", "'stepz'", "steps"]),
        (("encoders",), [{"name": "minivae"}, {"name": "minivae"}], ["encoders", "twice"]),
        (("attributes",), [{"name": "pitch", "model": "huge"}], ["attributes[0] (pitch).model", "huge", "tiny"]),
        (("splits", "train"), 0.5, ["splits", "0.7", "1"]),
        (("objective", "encoders"), ["minivae"], ["objective.encoders", "minivae"]),
        (("encoders",), [{"name": "encodec", "weights": ["x.th"]}], ["encodec", "weights", "downloads.files"]),
        (("encoders",), [{"name": "encodec", "model": "48khz", "bandwidth_kbps": 1.5}], ["bandwidth_kbps", "1.5"]),
        (("encoders",), [{"name": "mine", "module": "nowhere.py:Mine"}], ["encoders[0].module", "no file nowhere.py"]),
        (("downloads", "files"), {"vae_model.tp": "x"}, ["downloads.files", "did you mean 'vae_model.pt'"]),
        (("downloads", "files"), {"vae_model.pt": {"source": "x"}}, ["downloads.files"]),
        (("device",), "gpu", ["device", "auto"]),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(config, path, value, named):
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    message = refusal(config)
    assert all(part in message for part in named), message


def test_all_faults_are_listed_at_once(config):
    config["seeed"] = 1
    config["sae"]["steps"] = 0
    message = refusal(config)
    assert "seeed" in message
    assert "sae.steps" in message


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment.refuse_unwritable(["results"])  # not there yet
    Path("results").touch()
    with pytest.raises(experiment.ConfigError, match="'results' is not a folder"):
        experiment.refuse_unwritable(["results"])


def test_a_file_system_that_is_read_only_is_named(tmp_path):
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=100k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a read-only file system needs root, for whom permissions do not count")
    try:
        with pytest.raises(experiment.ConfigError, match="cannot be written"):
            experiment.refuse_unwritable([str(tmp_path)])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_every_key_of_the_schema_is_described():
    def described(schema: dict) -> bool:
        below = schema["properties"].values() if "properties" in schema else []
        return "description" in schema and all(described(subschema) for subschema in below)

    assert described(yaml.safe_load(SCHEMA.read_text()))


@pytest.mark.parametrize("folder", ["datasets", "encoders", "labels"])
def test_every_card_is_closed_and_described(folder):
    from sonolens import plugins

    assert plugins.available(folder)
    for module in plugins.available(folder):
        options = plugins.card(folder, module)["options"]
        assert options["additionalProperties"] is False, module
        assert all("description" in option for option in options["properties"].values()), module


def test_what_is_steered_is_filled_in(config):
    config["steering"] = {"cells": [{"name": "best"}, {"name": "wide", "expansion": 64, "lam": 0.01}]}
    best, wide = experiment.resolve(config, SCHEMA)["steering"]["cells"]
    assert best["criterion"] == "validation_accuracy" and best["attribute"] == "pitch"
    assert best["encoders"] == ["diffrhythm_vae", "encodec", "wavtokenizer"]
    assert (wide["expansion"], wide["lam"]) == (64, 0.01)


@pytest.mark.parametrize(
    ("steering", "says"),
    [
        (
            {"cells": [{"name": "best"}, {"name": "best"}]},
            "steering.cells: the names ['best', 'best'] are not all diff",
        ),
        ({"cells": [{"name": "a", "attribute": "tempo"}]}, "steering.cells (a).attribute: tempo is none of pitch, amp"),
        ({"cells": [{"name": "a", "encoders": ["rave"]}]}, "steering.cells (a).encoders: rave is none of diffrhythm_v"),
        ({"cells": [{"name": "a", "lam": 0.01}]}, "`expansion` and `lam` name a cell together"),
        ({"cells": [{"name": "a", "expansion": 5, "lam": 0.01}]}, "(a).expansion: 5 is none of 4, 8, 16"),
        ({"cells": [{"name": "a", "expansion": 4, "lam": 0.3}]}, "(a).lam: 0.3 is none of 0.005, 0.01"),
        ({"classes": {"tempo": [1]}}, "steering.classes: tempo is none of pitch, amplitude, timbre"),
        ({"alphas": [0]}, "steering.alphas[0]"),
        ({"alpha": [1]}, "did you mean 'alphas'"),
    ],
)
def test_what_cannot_be_steered_is_named(config, steering, says):
    config["steering"] = steering
    assert says in refusal(config)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"generators": [{"name": "a", "module": "diffrhythm"}]}, "generators[0]: 'encoder' is a required property"),
        ({"generators": [{"name": "diffrhythm", "encoder": "mimi"}]}, "(diffrhythm).encoder: mimi is none of"),
        (
            {"generators": [{"name": "diffrhythm", "encoder": "encodec"}]},
            "generates 64 numbers a frame, and encodec has 128",
        ),
        (
            {"generators": [{"name": "diffrhythm", "encoder": "diffrhythm_vae", "cell": "wide"}]},
            "wide is none of steering.cells that are of diffrhythm_vae (best)",
        ),
        ({"generators": [{"name": "tune", "encoder": "encodec"}]}, "there is no generators module 'tune'"),
        ({"prompts": None}, "diffrhythm is told what to generate by `prompts`, and there are none"),
        ({"encoders": [{"name": "encodec"}], "objective": {"encoders": []}}, "`generators: []` generates nothing"),
        ({"generation": {"steps": 8}}, "generation.strip_steps: [8, 16, 24, 31] lie beyond the last step, which is 7"),
        ({"generation": {"steering": {"steps": [32]}}}, "generation.steering.steps: [32] lie beyond the last step"),
    ],
)
def test_what_cannot_be_generated_is_named(config, changes, says):
    assert says in refusal(config | changes)


def test_prompts_that_are_given_as_vectors_need_no_model_that_embeds_them(config):
    (generator,) = experiment.resolve(config, SCHEMA)["generators"]
    names = [file["name"] for file in generator["card"]["files"]]
    assert "muq_mulan_large.bin" in names and generator["cell"] == "best"
    config["generators"][0]["styles"] = "styles.npz"
    (given,) = experiment.resolve(config, SCHEMA)["generators"]
    assert [file["name"] for file in given["card"]["files"]] == names[:2]
    assert given["card"]["prompt_files"] == []


def test_weights_of_an_embedding_are_given_where_it_needs_them(config):
    config["embeddings"] = [{"name": "crepe"}, {"name": "vggish"}]
    assert "embeddings (vggish).weights: vggish needs the paths of files that you have" in refusal(config)
    config["embeddings"] = [{"name": "crepe", "weights": ["mine.pth"]}]
    assert "embeddings (crepe).weights: crepe comes with its weights and takes none" in refusal(config)
