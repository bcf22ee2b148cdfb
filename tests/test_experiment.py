"""The config is refused, with the key's name and what is allowed, wherever it cannot be run."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from sonolens import experiment

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "rules" / "config.schema.yaml"


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def refusal(config: dict) -> str:
    with pytest.raises(experiment.ConfigError) as caught:
        experiment.resolve(config, SCHEMA)
    return str(caught.value)


def test_the_paper_grid_is_what_config_yaml_says(config):
    resolved = experiment.resolve(config, SCHEMA)
    assert experiment.dims(resolved, "minivae") == [64 * expansion for expansion in (4, 8, 16, 32, 64, 128, 256)]
    assert resolved["sae"]["lams"] == [0.005, 0.01, 0.02, 0.05, 0.1, 0.15]


def test_defaults_come_from_schema_and_cards(config):
    del config["splits"], config["seed"]
    resolved = experiment.resolve(config, SCHEMA)
    assert resolved["splits"] == {"train": 0.8, "validation": 0.1, "test": 0.1}
    assert resolved["seed"] == 0
    assert resolved["encoders"][0]["options"]["latent"] == "mean"  # from encoders/minivae.yaml


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
        (("objective", "encoders"), ["encodec"], ["objective.encoders", "encodec"]),
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
