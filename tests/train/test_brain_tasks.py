"""The brain's tasks: the coarse part is trained, the fine one is built on it, both go on; the whole is exported."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mediseg.errors import UsageError
from mediseg.train.config import BundlePart, DataPart, Run, Stage

torch = pytest.importorskip("torch")

from mediseg.train import brain_heads
from mediseg.train.brain import BrainNet
from mediseg.train.bundling import export_run
from mediseg.train.tasks import brain_coarse, brain_fine, brain_whole

pytestmark = pytest.mark.train


def silent(line):
    """Say nothing."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that makes a run on one small head, with one dev pair."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[8:32, 8:32, 8:32] = 3
    distance = brain_heads.signed_distance((labels > 0).astype(np.float32))
    head = brain_heads.Head("cube", True, labels, distance, (19.5, 19.5, 19.5))
    monkeypatch.setattr(brain_coarse, "load_heads", lambda data, cache: [head])
    monkeypatch.setattr(brain_coarse, "DEV_STEPS", range(7, 8))

    def made(**settings):
        return Run(Stage(data=DataPart(folder=tmp_path), **settings), tmp_path / settings["task"])

    return made


def test_the_fine_part_stands_on_the_trained_coarse_one(run, tmp_path):
    coarse = brain_coarse.prepare(run(task="brain-coarse"), silent)
    image, distance = coarse.batch(0)
    assert torch.isfinite(coarse.loss(coarse.network(image), distance))
    assert len(coarse.dev) == 1
    first = tmp_path / "coarse.pt"
    torch.save({"ema": coarse.network.state_dict()}, first)
    fine = brain_fine.prepare(run(task="brain-fine", start=(str(first),)), silent)
    for name, value in coarse.network.state_dict().items():
        assert torch.equal(fine.network.state_dict()[f"coarse.{name}"], value)
    second = tmp_path / "fine.pt"
    torch.save({"ema": fine.network.state_dict()}, second)
    model = brain_fine.bundle(Stage(task="brain-fine"), second)
    assert model.metadata["mediseg"]["name"] == "brain-unet"
    assert not model.network.training


def test_the_fine_part_alone_is_refused(run):
    with pytest.raises(UsageError, match="brain-fine starts from a coarse part: name its run under start"):
        brain_fine.prepare(run(task="brain-fine"), silent)


@pytest.mark.parametrize("part", ["network", "loss"])
def test_what_the_brain_has_of_its_own_cannot_be_set(run, part):
    with pytest.raises(UsageError, match=f"brain-coarse has a {part} of its own; leave {part} out"):
        brain_coarse.painted_share(run(task="brain-coarse", **{part: "unet"}).stage)


def test_the_coarse_part_is_the_first_look_of_its_own_run_and_of_the_whole_one(tmp_path):
    whole = BrainNet()
    parts = {"own.pt": whole.coarse.state_dict(), "whole.pt": whole.state_dict()}
    for name, weights in parts.items():
        torch.save({"ema": weights}, tmp_path / name)
    image = torch.randn(1, 1, 16, 16, 24)
    wanted = whole.coarse.eval()(image)
    own = brain_coarse.bundle(Stage(task="brain-coarse"), tmp_path / "own.pt")
    part = brain_whole.PARTS["coarse"](Stage(task="brain"), tmp_path / "whole.pt")
    for model in (own, part):
        assert torch.equal(model.network(image), wanted)
        assert model.metadata["mediseg"]["kind"] == "brain-coarse"
        assert model.metadata["mediseg"]["input"]["spacing_mm"] == 4.0


def test_a_part_is_exported_as_a_bundle_of_its_own(tmp_path):
    torch.save({"ema": BrainNet().state_dict()}, tmp_path / "checkpoint.pt")
    said = BundlePart(name="brainy", companions={"brain-coarse": "brainy-coarse"})
    stage = Stage(task="brain", bundle=said)
    path = export_run(stage, tmp_path, tmp_path / "out", weights="float16", part="coarse")
    metadata = json.loads((tmp_path / "out" / "configs" / "metadata.json").read_text())
    assert metadata["mediseg"]["name"] == "brainy-coarse"
    assert "companions" not in metadata["mediseg"]
    assert path.stat().st_size < 2_200_000
    with pytest.raises(UsageError, match=r'the task brain has no part "coars" \(did you mean "coarse"\?\)'):
        export_run(stage, tmp_path, tmp_path / "out", part="coars")
    with pytest.raises(UsageError, match='has no part "coarse": it is exported as a whole'):
        export_run(Stage(task="acpc"), tmp_path, tmp_path / "out", part="coarse")


def test_both_parts_go_on_together_and_both_learn(run, tmp_path):
    first = tmp_path / "whole.pt"
    torch.save({"ema": BrainNet().state_dict()}, first)
    job = brain_whole.prepare(run(task="brain", start=(str(first),)), silent)
    image, distance = job.batch(0)
    found = job.network.train()(image)
    assert found.shape == (1, 2, *image.shape[2:])
    torch.nn.init.normal_(job.network.head.weight, std=0.01)
    job.loss(job.network(image), distance).backward()
    assert all(p.grad is not None for p in job.network.parameters())
    assert set(job.network.state_dict()) == set(BrainNet().state_dict())
    assert job.network.eval()(image).shape == image.shape


def test_going_on_needs_a_whole_network(run):
    with pytest.raises(UsageError, match="brain goes on from a whole network: name a run of brain-fine under start"):
        brain_whole.prepare(run(task="brain"), silent)
