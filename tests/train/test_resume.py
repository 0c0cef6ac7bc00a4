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

def slow(at):
    print(at.step, flush=True)
    time.sleep(float(sys.argv[2]))

from mediseg.train.loop import Watch
torch.manual_seed(0)
schedule = Schedule(steps=14, learning_rate=1e-2, warmup=3, checkpoint_every=5, log_every=4, prefetch=2, bf16=True)
fit(SmallUNet((16, 16, 16, 16)), batch, bce_dice(), schedule, Path(sys.argv[1]), Watch(progress=slow))
"""


def child(out, pause):
    command = [sys.executable, "-c", CHILD, str(out), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def weights(out):
    return load_average(SmallUNet((16, 16, 16, 16)), out / "checkpoint.pt").state_dict()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    whole = child(tmp_path / "whole", 0)
    cut = child(tmp_path / "cut", 0.2)
    for line in cut.stdout:
        if int(line) == 8:  # a checkpoint at 5, and three steps more, which are lost
            cut.send_signal(signal.SIGKILL)
            break
    assert cut.wait(20) == -signal.SIGKILL
    assert torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)["step"] == 5
    resumed = child(tmp_path / "cut", 0)
    steps = [int(line) for line in resumed.stdout]
    assert steps == list(range(6, 15))
    assert [resumed.wait(20), whole.communicate(timeout=20) and whole.wait(20)] == [0, 0]
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)
