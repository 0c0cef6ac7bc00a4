"""``task: brain``: both parts of ``brain-unet`` go on together, each judged by its own distance.

``start`` names a run of ``brain-fine`` (or of this task). ``data.folder`` is that of ``brain-coarse``;
``augmentation`` is ``painted_share``, and ``level_share``: the share of samples that are level boxes about the brain.
"""

from __future__ import annotations

import torch

from mediseg.errors import UsageError
from mediseg.train.brain import JointNet, joint_loss
from mediseg.train.brain_level import LevelSampler
from mediseg.train.brain_sampling import Sampler
from mediseg.train.config import Run
from mediseg.train.job import Job, Say
from mediseg.train.layout import laid_out
from mediseg.train.settings import take
from mediseg.train.start import started
from mediseg.train.tasks.brain_coarse import READING, dev_pairs, first_look, nothing_else_set, read_heads
from mediseg.train.tasks.brain_fine import bundle

__all__ = ["PARTS", "bundle", "prepare"]

#: What else of a run can be exported: ``--part coarse`` gives the first look, a companion of the whole.
PARTS = {"coarse": first_look}


def prepare(run: Run, say: Say) -> Job:
    """Read the heads; take up the network that ``start`` names."""
    nothing_else_set(run.stage)
    painted_share, level_share = _augmentation(**take(_augmentation, run.stage.augmentation, "augmentation"))
    if not run.stage.start:
        raise UsageError("brain goes on from a whole network: name a run of brain-fine under start")
    # torch's stubs do not know memory_format by itself
    network = laid_out(started(JointNet, run.stage.start), torch.channels_last_3d)
    whole = Sampler(read_heads(run, say), run.stage.seed, painted_share=painted_share)
    batch = LevelSampler.over(whole, level_share)
    return Job(network, batch, joint_loss, dev_pairs(batch), READING)


def _augmentation(*, painted_share: float = 0.7, level_share: float = 0.7) -> tuple[float, float]:
    return painted_share, level_share
