"""Probes: they find the optimum, measure what they say, and contributions add up."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sonolens import probe_cell, probe_metrics, probes, tables
from sonolens.files import read_json, write_json
from sonolens.latents import LatentStore, ScaledFrames, Scaling, measure_scaling
from sonolens.sae import blocks, weights
from sonolens.sae.model import SparseAutoencoder

SETTINGS = probes.Settings(max_epochs=60, patience=2, batch_frames=128, learning_rate=0.05, seed=0)


def labelled(latent_files, data, classes, model=None, n_classes=4):
    files = latent_files(data)
    store = LatentStore(files["latents"])
    scaling = Scaling(np.zeros(data.shape[1], np.float32), 1.0)
    inputs = probes.Inputs(ScaledFrames(store, np.arange(len(data)), scaling), model, torch.device("cpu"))
    return inputs, probes.Labelled.of(classes[files["order"]], n_classes)


def planted(n_frames=3000, d_latent=6, n_classes=4, seed=0):
    """Classes that follow from noisy planted directions."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((n_classes, d_latent))
    x = rng.standard_normal((n_frames, d_latent))
    logits = 2 * x @ directions.T + rng.gumbel(size=(n_frames, n_classes))
    return x, logits.argmax(axis=1), directions


def test_a_probe_reaches_the_optimum_of_a_reference_solver(latent_files):
    x, classes, directions = planted()
    inputs, classes_of = labelled(latent_files, x, classes)
    (fitted,) = probes.fit(inputs, inputs, [(classes_of, classes_of)], SETTINGS)
    reference = LogisticRegression(C=1e6, max_iter=2000).fit(x, classes)
    loss = -np.log(reference.predict_proba(x)[np.arange(len(x)), classes]).mean()
    assert fitted.validation_loss == pytest.approx(loss, abs=2e-3)
    found = (fitted.weight - fitted.weight.mean(dim=0)).numpy()
    planted_directions = directions - directions.mean(axis=0)
    cosine = (found * planted_directions).sum() / np.linalg.norm(found) / np.linalg.norm(planted_directions)
    assert cosine > 0.99


@pytest.mark.parametrize(("n_classes", "bias"), [(4, 0.0), (21, 0.0), (21, -6.0)])
def test_the_gradient_on_codes_is_autograds(latent_files, monkeypatch, n_classes, bias):
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", 1)  # several blocks
    x, classes, _ = planted(200, n_classes=n_classes)
    x[::2] *= 7  # frames of different norm, so that r differs
    model = SparseAutoencoder(6, 24)
    model.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.constant_(model.b_enc, bias)
    classes[::5] = -1  # left out
    inputs, data = labelled(latent_files, x, classes, model, n_classes)
    probe = probes._Probe(data, data, inputs, 0.1)
    batch = np.random.default_rng(0).permutation(200)[:77]
    frames = torch.from_numpy(inputs.frames[batch])
    with torch.no_grad():
        probe.weight.copy_(torch.randn(n_classes, 24))
        probe.bias.copy_(torch.randn(n_classes))
        probe.weight.grad.fill_(1)  # of the step before
        f = model.encode(frames).f
        assert probe.begin(batch)
        for block, codes in inputs.blocks_of(frames):
            probe.add_gradient(block, codes)
            assert codes.are_listed == (bias < 0)  # where few are above 0 only these are multiplied
    leaf, leaf_bias = probe.weight.clone().requires_grad_(), probe.bias.clone().requires_grad_()
    target = torch.from_numpy(data.classes[batch])
    logits = 24**-0.5 * f @ leaf.T + leaf_bias
    torch.nn.functional.cross_entropy(logits, target, ignore_index=-1).backward()
    torch.testing.assert_close(probe.weight.grad, leaf.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(probe.bias.grad, leaf_bias.grad, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert not probe.begin(np.flatnonzero(data.classes < 0))  # no frame of such a batch has a class


def test_a_probe_is_the_same_alone_and_in_company(latent_files):
    """Of the same frames in the same order, stopped by its own validation loss: whatever else is on the pass."""
    x, classes, _ = planted(1500)
    model = SparseAutoencoder(6, 24)
    model.initialise(torch.Generator().manual_seed(0))
    inputs, pitch = labelled(latent_files, x, classes, model)
    rng = np.random.default_rng(1)
    noise = probes.Labelled.of(rng.integers(0, 3, 1500), 3)  # nothing to be learned: it stops at once
    sparse = probes.Labelled.of(np.where(rng.random(1500) < 0.3, pitch.classes, -1), 4)
    pairs = [(one, one) for one in (noise, pitch, sparse)]
    together = probes.fit(inputs, inputs, pairs, SETTINGS)
    for pair, in_company in zip(pairs, together, strict=True):
        (alone,) = probes.fit(inputs, inputs, [pair], SETTINGS)
        assert torch.equal(alone.weight, in_company.weight) and torch.equal(alone.bias, in_company.bias)
        assert alone[2:] == in_company[2:]
    assert together[0].n_epochs < together[1].n_epochs  # none waits for another


def test_a_fit_ends_when_the_rate_would_drop_for_the_third_time(latent_files, monkeypatch):
    x, classes, _ = planted(200)
    inputs, data = labelled(latent_files, x, classes)
    monkeypatch.setattr(probes, "_cross_entropies", lambda running, _: [1.0] * len(running))  # no epoch is a better one
    (fitted,) = probes.fit(inputs, inputs, [(data, data)], SETTINGS)
    assert (fitted.best_epoch, fitted.n_epochs, fitted.validation_loss) == (1, 1 + 3 * SETTINGS.patience, 1.0)


def test_frames_without_a_class_are_left_out(latent_files):
    x, classes, _ = planted(200)
    classes[::2] = -1
    _, data = labelled(latent_files, x, classes)
    assert len(data.positions) == 100
    assert (data.classes[data.positions] >= 0).all()
    with pytest.raises(ValueError, match="no frame of this split has a class"):
        probes.Labelled.of(np.full(200, -1), 4)


def test_codes_are_the_same_whatever_the_block(latent_files, monkeypatch):
    x, classes, _ = planted(500)
    model = SparseAutoencoder(6, 24)
    model.initialise(torch.Generator().manual_seed(0))
    inputs, data = labelled(latent_files, x, classes, model)
    weight, bias = torch.randn(4, 24), torch.randn(4)
    whole = probes.predict_logits(weight, bias, inputs, data.positions)
    means = probes.class_mean_inputs(inputs, data)
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", 1)  # blocks of 32 frames
    small = probes.Inputs(inputs.frames, model, torch.device("cpu"))
    assert (inputs.block_frames, small.block_frames) == (21824, 32)
    np.testing.assert_allclose(probes.predict_logits(weight, bias, small, data.positions), whole, atol=1e-5)
    torch.testing.assert_close(probes.class_mean_inputs(small, data), means)
    # contributions of all features and the bias make up the mean logit of the class
    contribution = probes.contributions(weight, means)
    for k in range(4):
        mean_logit = whole[data.classes == k][:, k].mean()
        assert contribution[k].sum().item() + bias[k].item() == pytest.approx(mean_logit, abs=1e-4)


def test_figures_by_hand():
    # classes 0..12 are semitones, 13 is unvoiced
    classes = np.array([0, 0, 5, 12, 13, 13])
    predicted = np.array([0, 12, 6, 12, 13, 0])
    logits = np.eye(14)[predicted]
    kinds = np.array(["solo"] * 4 + ["mix"] * 2)
    figures = probe_metrics.measure(logits, classes, np.array([13, 13, 0]), np.arange(6), kinds, 13, 0)
    assert figures["accuracy"] == pytest.approx(3 / 6)
    assert figures["majority_share"] == pytest.approx(2 / 6)
    assert figures["within_one_accuracy"] == pytest.approx(4 / 6)
    assert figures["octave_error_share"] == pytest.approx(1 / 4)  # 0 answered as 12
    assert figures["voiced_accuracy"] == pytest.approx(2 / 4)
    assert figures["voiced_majority_share"] == pytest.approx(2 / 4)
    # F1: class 0: 2·1/(2+2), 5: 0, 6: 0, 12: 2·1/(1+2), 13: 2·1/(2+1)
    assert figures["macro_f1"] == pytest.approx((0.5 + 0 + 0 + 2 / 3 + 2 / 3) / 5)
    assert figures["subsets"]["solo"]["accuracy"] == pytest.approx(0.5)
    assert figures["subsets"]["mix"]["n_frames"] == 2
    assert "voiced_accuracy" not in figures["subsets"]["mix"]


def test_the_interval_draws_clips_not_frames():
    """Two clips of a thousand equal frames each are two observations."""
    hits = np.repeat([True, False], 1000)
    assert probe_metrics.accuracy_interval(hits, np.repeat([0, 1], 1000), 0) == (0.0, 1.0)


def test_contribution_table_both_ways():
    contribution = np.array([[3.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [5.0, -1.0, 0.5, 0.0]])
    table = probe_cell.contribution_table(contribution, np.array([0, 2]), 1)
    rows = {(row.class_index, row.feature): (row.rank_in_class, row.rank_in_feature) for row in table.itertuples()}
    assert rows == {(0, 0): (1, 0), (0, 1): (0, 1), (0, 3): (0, 1), (2, 0): (1, 1), (2, 2): (0, 1)}


def test_a_probe_of_a_cell_from_files_to_files(latent_files, tmp_path):
    x, classes, _ = planted(3000)
    files = latent_files(x, classes=classes)
    files["scaling"] = str(tmp_path / "scaling.json")
    measure_scaling(files["latents"], files["frames"], files["manifests"], files["scaling"])
    model = SparseAutoencoder(6, 24)
    model.initialise(torch.Generator().manual_seed(0))
    files["model"], files["bins"] = str(tmp_path / "model.safetensors"), str(tmp_path / "bins.json")
    weights.save(model, Scaling.read(files["scaling"]), files["model"])
    write_json(files["bins"], {"n_classes": 4, "class_names": list("abcd"), "unit": "none", "edges": []})
    names = ("probe.safetensors", "metrics.json", "confusion.npy", "contributions.parquet")
    outputs = {name.split(".")[0]: str(tmp_path / "probe" / name) for name in names}
    listed = {name: [path] for name, path in outputs.items()}
    of_one = files | {"labels": [files["labels"]], "bins": [files["bins"]]}
    cell = {"encoder": "toy", "dim": 24, "lam": 0.1}
    probe_cell.fit_probes(of_one, listed, ["letter"], cell, SETTINGS, 3, "cpu")
    metrics = read_json(outputs["metrics"])
    assert metrics["attribute"] == "letter" and metrics["dim"] == 24
    confusion = np.load(outputs["confusion"])
    assert confusion.sum() == metrics["n_test_frames"] == 600
    assert np.trace(confusion) / 600 == pytest.approx(metrics["accuracy"])
    assert metrics["accuracy"] > metrics["majority_share"] + 0.2
    assert metrics["accuracy_low"] <= metrics["accuracy"] <= metrics["accuracy_high"]
    table = tables.read(outputs["contributions"], tables.CONTRIBUTIONS)
    assert (table.groupby("class_index")["rank_in_class"].max() <= 3).all()
    # labels of other latents are noticed
    shuffled = tables.read(files["labels"], tables.ALIGNED_LABELS).iloc[::-1].reset_index(drop=True)
    tables.write(shuffled, files["labels"], tables.ALIGNED_LABELS)
    with pytest.raises(ValueError, match=r"labels\.parquet does not have the rows of the latents"):
        probe_cell.fit_probes(of_one, listed, ["letter"], {}, SETTINGS, 3, "cpu")
