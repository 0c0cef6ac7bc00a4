"""``task: brain``: both parts of ``brain-unet`` go on together, each judged by its own distance.

``start`` names a run of ``brain-fine`` (or of this task). ``data.folder`` and ``augmentation`` are those of
``brain-coarse``.
"""

from __future__ import annotations

import torch

from mediseg.errors import UsageError
from mediseg.train.brain import JointNet, joint_loss
from mediseg.train.brain_sampling import Sampler
from mediseg.train.config import Run
from mediseg.train.job import Job, Say
from mediseg.train.start import started
from mediseg.train.tasks.brain_coarse import READING, dev_pairs, painted_share, read_heads
from mediseg.train.tasks.brain_fine import bundle

__all__ = ["bundle", "prepare"]


def prepare(run: Run, say: Say) -> Job:
    """Read the heads; take up the network that ``start`` names."""
    share = painted_share(run.stage)
    if not run.stage.start:
        raise UsageError("brain goes on from a whole network: name a run of brain-fine under start")
    # torch's stubs do not know memory_format by itself
    network = started(JointNet, run.stage.start).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    batch = Sampler(read_heads(run, say), run.stage.seed, painted_share=share)
    return Job(network, batch, joint_loss, dev_pairs(batch), READING)
