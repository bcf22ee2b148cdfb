"""Where a job computes, and what it says where it should have had a GPU."""

import pytest
import torch

from sonolens.device import torch_device
from sonolens.jobs import life

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_a_gpu_that_the_config_insists_on_is_missed_by_the_keys_name():
    with pytest.raises(RuntimeError, match=r"config key `device` is 'cuda', but this node has no usable GPU; .*auto"):
        torch_device("cuda")


def test_a_job_that_was_given_a_gpu_it_cannot_use_says_so_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    life.becomes(life.Life(tmp_path / "job.jsonl"))
    try:
        assert torch_device("auto").type == "cpu"
        assert life.facts["device"] == "cpu"
    finally:
        life.becomes(None)
    (said,) = life.read(tmp_path / "job.jsonl")
    assert (said["event"], "given GPU 3" in said["detail"]) == ("no_gpu", True)


@pytest.mark.parametrize(("choice", "given"), [("cpu", "3"), ("auto", "")])
def test_one_that_asked_for_none_says_nothing(tmp_path, monkeypatch, choice, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    life.becomes(life.Life(tmp_path / "job.jsonl"))
    try:
        assert torch_device(choice).type == "cpu"
    finally:
        life.becomes(None)
    assert life.read(tmp_path / "job.jsonl") == []
