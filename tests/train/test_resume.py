"""A training process that is killed with SIGKILL, and started again, ends with the weights of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from mediseg.train.loop import load_average
from mediseg.train.unet_small import SmallUNet

pytestmark = pytest.mark.train

CHILD = """
import sys, time
from pathlib import Path
import torch
from mediseg.train.loop import Schedule, fit
from mediseg.train.losses import bce_dice
from mediseg.train.unet_small import SmallUNet

def batch(step):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.rand(2, 1, 32, 32, generator=generator)
    return inputs, (inputs > 0.5).float()

def told(at):
    print(at.step, flush=True)
    if at.step == int(sys.argv[2]):
        time.sleep(3600)  # to be killed here, however long that takes

from mediseg.train.loop import Watch
torch.manual_seed(0)
schedule = Schedule(steps=14, learning_rate=1e-2, warmup=3, checkpoint_every=5, log_every=4, prefetch=2, bf16=True)
fit(SmallUNet((16, 16, 16, 16)), batch, bce_dice(), schedule, Path(sys.argv[1]), Watch(progress=told))
"""


def child(out, stays_at=0):
    command = [sys.executable, "-c", CHILD, str(out), str(stays_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def weights(out):
    return load_average(SmallUNet((16, 16, 16, 16)), out / "checkpoint.pt").state_dict()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    whole = child(tmp_path / "whole")
    cut = child(tmp_path / "cut", 8)  # a checkpoint at 5, and three steps more, which are lost
    assert [int(cut.stdout.readline()) for _ in range(8)] == list(range(1, 9))
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL
    cut.stdout.close()
    assert torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"] == 5
    resumed = child(tmp_path / "cut")
    steps = [int(line) for line in resumed.stdout]
    assert steps == list(range(6, 15))
    whole.communicate()
    assert [resumed.wait(), whole.wait()] == [0, 0]
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)
