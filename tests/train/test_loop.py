"""The loop: resumes to the step, stops by steps or by time, follows its schedule."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from mediseg.train import loop
from mediseg.train.journal import Journal
from mediseg.train.loop import Schedule, Watch, fit, load_average, progress

pytestmark = pytest.mark.train

SHORT = Schedule(steps=12, learning_rate=1e-2, warmup=3, checkpoint_every=5, log_every=2)


def small_network():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 1, 3))


def batch(step):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.rand(2, 1, 12, 12, generator=generator)
    return inputs, inputs[..., 2:-2, 2:-2] * 2


def mean_square(outputs, targets):
    return ((outputs - targets) ** 2).mean()


class Cut(Exception):
    """The power goes."""


def batch_until(last):
    def cut(step):
        if step == last:
            raise Cut
        return batch(step)

    return cut


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_run_that_was_cut_ends_with_the_same_weights(tmp_path):
    whole = fit(small_network(), batch, mean_square, SHORT, tmp_path / "whole")
    with pytest.raises(Cut):
        fit(small_network(), batch_until(8), mean_square, SHORT, tmp_path / "cut")
    resumed = fit(small_network(), batch, mean_square, SHORT, tmp_path / "cut")
    assert same(whole, resumed)


def test_the_log_of_a_resumed_run_has_every_step_once(tmp_path):
    with pytest.raises(Cut):
        fit(small_network(), batch_until(8), mean_square, SHORT, tmp_path)
    fit(small_network(), batch, mean_square, SHORT, tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12


def test_training_lowers_the_loss_and_returns_the_average_in_eval_mode(tmp_path):
    schedule = Schedule(steps=60, learning_rate=2e-2, warmup=5, ema=0.9, log_every=10)
    trained = fit(small_network(), batch, mean_square, schedule, tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert losses[-1] < 0.5 * losses[0]
    assert not trained.training
    assert same(trained, load_average(small_network(), tmp_path / "checkpoint.pt"))


def test_a_finished_run_goes_on_when_given_more_steps(tmp_path):
    fit(small_network(), batch, mean_square, SHORT, tmp_path)
    longer = Schedule(steps=16, learning_rate=1e-2, warmup=3, log_every=2)
    fit(small_network(), batch, mean_square, longer, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 16


def test_time_ends_the_schedule_as_steps_do(tmp_path, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks) * 0.001))
    timed = Schedule(steps=1_000_000, learning_rate=1e-2, minutes=0.005, warmup=1, log_every=1)
    assert progress(10, 0.15, timed) == pytest.approx(0.5)
    fit(small_network(), batch, mean_square, timed, tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        rates = [float(row["lr"]) for row in csv.DictReader(stream)]
    assert rates[-1] < 0.1 * max(rates)


def test_bfloat16_keeps_float32_weights(tmp_path):
    schedule = Schedule(steps=3, learning_rate=1e-2, bf16=True)
    trained = fit(small_network(), batch, mean_square, schedule, tmp_path)
    assert {p.dtype for p in trained.parameters()} == {torch.float32}


def test_float16_scales_the_loss_and_a_resumed_run_knows_the_scale(tmp_path):
    def network():
        torch.manual_seed(3)
        return torch.nn.Linear(8, 8)

    def rows(step):
        inputs = torch.rand(4, 8, generator=torch.Generator().manual_seed(step))
        return inputs, inputs * 2

    def cut(step):
        if step == 8:
            raise Cut
        return rows(step)

    schedule = Schedule(steps=12, learning_rate=1e-2, warmup=3, checkpoint_every=5, log_every=2, fp16=True)
    whole = fit(network(), rows, mean_square, schedule, tmp_path / "whole")
    with pytest.raises(Cut):
        fit(network(), cut, mean_square, schedule, tmp_path / "cut")
    resumed = fit(network(), rows, mean_square, schedule, tmp_path / "cut")
    assert same(whole, resumed)
    assert {p.dtype for p in resumed.parameters()} == {torch.float32}
    states = [torch.load(tmp_path / part / "checkpoint.pt", weights_only=True)["scaler"] for part in ("whole", "cut")]
    assert states[0] == states[1]
    assert states[0]["scale"] > 1.0


def test_scores_stand_in_the_log_every_so_often_and_at_the_end(tmp_path):
    judged = []

    def validate(network, step):
        judged.append((step, network.training))
        return {"score": step / 100, "other": 1.0}

    watch = Watch(validate=validate, every=5)
    fit(small_network(), batch, mean_square, SHORT, tmp_path, watch)
    assert judged == [(5, False), (10, False), (12, False)]
    with (tmp_path / "log.csv").open() as stream:
        rows = {int(row["step"]): row["score"] for row in csv.DictReader(stream)}
    assert rows == {2: "", 4: "", 5: "0.05000", 6: "", 8: "", 10: "0.10000", 12: "0.12000"}


def test_a_log_without_scores_is_gone_on_with(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,lr,seconds\n2,0.5,1e-3,1.0\n14,0.4,1e-3,2.0\n")
    with Journal(tmp_path, 2) as journal:
        journal.row(4, 0.25, 1e-3, 3.0, {"score": 0.5})
    assert (tmp_path / "log.csv").read_text().split() == [
        "step,loss,lr,seconds,score", "2,0.5,1e-3,1.0,", "4,0.250000,1.000e-03,3.0,0.50000",
    ]  # fmt: skip


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="loss is nan at step 0"):
        fit(small_network(), batch, lambda outputs, targets: outputs.mean() * float("nan"), SHORT, tmp_path)


def test_a_missing_checkpoint_says_to_train_first(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="train first"):
        load_average(small_network(), tmp_path / "checkpoint.pt")


def test_frozen_statistics_stay_and_are_what_is_trained_with(tmp_path):
    from dataclasses import replace

    network = small_network()
    network[1].running_mean.fill_(0.25)
    before = {name: value.clone() for name, value in network[1].state_dict().items()}
    trained = fit(network, batch, mean_square, replace(SHORT, frozen_norm=True), tmp_path)
    after = trained[1].state_dict()
    assert torch.equal(after["running_mean"], before["running_mean"])
    assert torch.equal(after["running_var"], before["running_var"])
    assert not torch.equal(after["weight"], before["weight"]), "the scales still learn"
    moved = fit(small_network(), batch, mean_square, SHORT, tmp_path / "batch")[1].running_mean
    assert not torch.equal(moved, torch.zeros(4)), "without it they follow the batches"
