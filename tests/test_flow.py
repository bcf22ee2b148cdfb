"""The path of a flow, and the small generator that the workflow trains on latents."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sonolens import experiment, plugins, tables
from sonolens.files import write_json
from sonolens.generators import flow, miniflow
from sonolens.jobs.interruption import Interrupted
from sonolens.latents import Scaling, measure_scaling
from sonolens.tracing import prompts
from sonolens.tracing.schemas import FLOW_HISTORY, PROMPT_VECTORS
from test_resume import stop_at

D, N = 6, 12


class Pull:
    """Velocity c − x: the path is known, x_{k+1} = x_k + Δt (c − x_k)."""

    name, d_latent, n_frames, d_condition = "pull", D, N, D

    def velocity(self, x, t, condition):
        return condition[:, None] - x

    def latents(self, x):
        return x.cpu().numpy() * 2 + 1


def test_a_path_is_eulers_with_one_step_less_than_points():
    x, condition = flow.noise([1, 2], N, D), torch.full((2, D), 3.0)
    points = list(flow.walk(Pull(), x, condition, 5))
    assert [point.step for point in points] == [0, 1, 2, 3, 4]
    assert [point.t for point in points] == [0, 0.25, 0.5, 0.75, 1]
    assert torch.equal(points[0].x, x)
    for before, after in itertools.pairwise(points):
        torch.testing.assert_close(after.x, before.x + 0.25 * (3 - before.x))
        torch.testing.assert_close(before.end_estimate, before.x + (1 - before.t) * (3 - before.x))
    assert torch.equal(points[-1].end_estimate, points[-1].x)
    assert torch.equal(flow.end(Pull(), x, condition, 5), points[-1].x)


def test_noise_follows_from_its_own_seed():
    together = flow.noise([7, 8], N, D)
    assert torch.equal(together[1], flow.noise([8], N, D)[0])
    assert not torch.equal(together[0], together[1])
    assert abs(float(flow.noise(range(200), N, D).std()) - 1) < 0.02


def test_a_change_is_made_before_the_path_goes_on():
    seen = []

    def change(step, x):
        seen.append(step)
        return x + 1 if step in (1, 3) else x

    x, condition = torch.zeros(1, N, D), torch.zeros(1, D)
    points = list(flow.walk(Pull(), x, condition, 4, change))
    assert seen == [0, 1, 2, 3]
    # 1 after the step to 1/3, then by a third less each step, and 1 more at the end, where nothing follows
    expected = [0, 1, 2 / 3, 4 / 9 + 1]
    torch.testing.assert_close(torch.stack([point.x[0, 0, 0] for point in points]), torch.tensor(expected))


def test_a_state_that_is_not_finite_is_an_error_that_names_the_step():
    class Broken(Pull):
        def velocity(self, x, t, condition):
            return x * (float("nan") if t > 0.4 else 1)

    with pytest.raises(ArithmeticError, match="step 3 of 4"):
        list(flow.walk(Broken(), torch.ones(1, N, D), torch.zeros(1, D), 5))


OPTIONS = {"steps": 12, "n_frames": N, "batch_excerpts": 4, "d_model": 32, "depth": 2}


def options(**changes) -> dict:
    filled = OPTIONS | changes
    experiment.check(filled, plugins.card("generators", "miniflow")["options"])
    return filled


@pytest.fixture
def inputs(latent_files, tmp_path) -> dict:
    """Latents of ten clips: those of even number are of a flute and lie around 2, the others of a horn around −2."""
    rng = np.random.default_rng(0)
    centre = np.repeat(np.where(np.arange(10) % 2, -2.0, 2.0), 30)[:, None]
    files = latent_files((centre + 0.3 * rng.standard_normal((300, D))).astype(np.float32))
    (manifest_path,) = files["manifests"]
    manifest = tables.read(manifest_path, tables.MANIFEST)
    manifest["kind"] = "solo"
    manifest["instrument"] = ["flute", "horn"] * 5
    tables.write(manifest, manifest_path, tables.MANIFEST)
    scaling = str(tmp_path / "scaling.json")
    measure_scaling(files["latents"], files["frames"], files["manifests"], scaling)
    return {key: files[key] for key in ("latents", "frames", "manifests")} | {"scaling": scaling}


def trained(inputs, folder, resumption=None, **changes) -> dict:
    outputs = {"weights": str(folder / "weights.safetensors"), "history": str(folder / "history.parquet")}
    miniflow.train(inputs, outputs, options(**changes), 0, "cpu", resumption)
    return outputs


def test_excerpts_lie_within_a_clip_of_the_split_and_know_what_plays(inputs):
    excerpts = miniflow.Excerpts(inputs["latents"], inputs["frames"], inputs["manifests"], "train", N)
    latents, conditions = excerpts.draw(200, np.random.default_rng(0))
    assert latents.shape == (200, N, D)
    assert set(conditions) == {"flute", "horn"}
    for one, condition in zip(latents, conditions, strict=True):
        assert (one.mean(axis=1) > 0).all() == (condition == "flute"), "an excerpt would reach into the next clip"
    starts = {float(one[0, 0]) for one in latents}
    assert len(starts) > 60, "every start within a clip is possible"


def test_a_clip_too_short_for_an_excerpt_is_left_out_and_none_long_enough_is_an_error(inputs):
    excerpts = miniflow.Excerpts(inputs["latents"], inputs["frames"], inputs["manifests"], "train", 30)
    assert (excerpts.lengths == 30).all()
    excerpts.draw(3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="n_frames"):
        miniflow.Excerpts(inputs["latents"], inputs["frames"], inputs["manifests"], "train", 31)


def test_what_is_trained_generates_what_it_is_asked_for(inputs, tmp_path):
    outputs = trained(inputs, tmp_path, steps=250, batch_excerpts=16)
    loss = tables.read(outputs["history"], FLOW_HISTORY)["loss"].to_numpy()
    assert loss[-1] < 0.5 * loss[0]
    generator = miniflow.load([outputs["weights"]], options(guidance=0.5), "cpu")
    assert (generator.n_frames, generator.d_latent) == (N, D)
    table = str(tmp_path / "prompts.parquet")
    miniflow.write_prompts(None, [outputs["weights"]], options(prompts=5), table, "cpu")
    asked = prompts.read(table)
    assert [prompt.clip_id for prompt in asked] == ["flute 1", "horn 1", "flute 2", "horn 2", "flute 3"]
    noise, condition = prompts.start(generator, asked, torch.device("cpu"))
    latents = generator.latents(flow.end(generator, noise, condition, 32))
    assert np.sign(latents.mean(axis=(1, 2))).tolist() == [1, -1, 1, -1, 1]
    assert np.abs(latents).mean() == pytest.approx(2, abs=0.4), "in the encoder's own scale"


def test_guidance_goes_on_from_the_null_velocity_through_the_conditional_one(inputs, tmp_path):
    weights = [trained(inputs, tmp_path)["weights"]]
    x, condition = flow.noise([1], N, D), torch.from_numpy(miniflow.indicators(["flute", "horn"], ["horn"]))
    plain, null = (
        miniflow.load(weights, options(guidance=0), "cpu").velocity(x, 0.3, vector)
        for vector in (condition, torch.zeros_like(condition))
    )
    guided = miniflow.load(weights, options(guidance=2), "cpu").velocity(x, 0.3, condition)
    torch.testing.assert_close(guided, plain + 2 * (plain - null), rtol=1e-2, atol=2e-2)
    assert not torch.allclose(plain, null, atol=1e-4)


def test_a_training_that_was_stopped_ends_with_the_same_bits(inputs, tmp_path, resumption):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trained(inputs, tmp_path / "a")
    stopped = resumption(folder=tmp_path / "saved")
    stop_at(stopped, 5)
    with pytest.raises(Interrupted):
        trained(inputs, tmp_path / "b", stopped)
    resumed = resumption(folder=tmp_path / "saved")
    parts = trained(inputs, tmp_path / "b", resumed)
    assert ("resumed", "at step 5 of 12") in resumed.told
    for name in ("weights", "history"):
        assert Path(whole[name]).read_bytes() == Path(parts[name]).read_bytes(), name


def test_data_is_what_is_there_at_time_one():
    now, seen = miniflow._Training(miniflow.FlowTransformer(miniflow.sizes_of(options(), D)), 0), []
    now.net.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[3])))
    miniflow._step(now, torch.full((50, N, D), 1000.0), torch.zeros(50, miniflow.D_CONDITION), "cpu")
    ((x, t),) = seen
    torch.testing.assert_close(x.float().mean(dim=(1, 2)), 1000 * t, rtol=0.02, atol=2)
    assert 0.35 < float(t.median()) < 0.65 and t.min() < 0.2 and t.max() > 0.8


def test_the_average_follows_the_weights(inputs, tmp_path):
    first = miniflow.read_weights(trained(inputs, tmp_path, steps=1)["weights"])[0]
    net = miniflow.FlowTransformer(miniflow.sizes_of(options(), D))
    now = miniflow._Training(net, 0)
    now.done = 1
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(5.0)
    now.follow()
    assert all(bool((weight == 5).all()) for weight in now.average.values()), "after one step it is that step's"
    now.done = 4
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(9.0)
    now.follow()
    assert all(torch.allclose(weight, torch.tensor(6.0)) for weight in now.average.values())
    assert set(first) == set(now.average)


def test_a_file_of_other_weights_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"weights\.safetensors holds no trained generator"):
        miniflow.load([str(path)], options(), "cpu")


def test_prompts_for_another_generator_are_an_error(tmp_path):
    rows = pd.DataFrame({"prompt_id": ["a"], "text": ["a"], "seed": [1], "vector": [np.zeros(3, np.float32)]})
    tables.write(rows, tmp_path / "prompts.parquet", PROMPT_VECTORS)
    with pytest.raises(ValueError, match="prompts of 3 numbers were given to pull, which takes 6"):
        prompts.start(Pull(), prompts.read(tmp_path / "prompts.parquet"), torch.device("cpu"))


def test_too_many_instruments_are_an_error(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(miniflow, "D_CONDITION", 1)
    with pytest.raises(ValueError, match="2 instruments are more than the 1"):
        trained(inputs, tmp_path)


def test_scaling_is_part_of_the_weights(inputs, tmp_path):
    weights = trained(inputs, tmp_path)["weights"]
    scaling = Scaling.read(inputs["scaling"])
    generator = miniflow.load([weights], options(), "cpu")
    x = torch.randn(2, 3, D)
    np.testing.assert_array_equal(generator.latents(x), scaling.invert(x.numpy()))
    write_json(inputs["scaling"], {"mean": [0.0] * D, "scale": 1.0, "n_frames": 1})
    np.testing.assert_array_equal(miniflow.load([weights], options(), "cpu").latents(x), scaling.invert(x.numpy()))
