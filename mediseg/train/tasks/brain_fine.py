"""``task: brain-fine``: the brain's border at 2 mm, from a trained coarse part; together they are ``brain-unet``.

``start`` names the coarse part's run. ``data.folder`` and ``augmentation`` are those of ``brain-coarse``.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mediseg.errors import UsageError
from mediseg.train.brain import METADATA, RUNTIME, BrainNet, CoarseNet, distance_loss, graft
from mediseg.train.brain_sampling import Sampler
from mediseg.train.config import Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.layout import laid_out
from mediseg.train.start import started
from mediseg.train.tasks.brain_coarse import READING, dev_pairs, painted_share, read_heads


def prepare(run: Run, say: Say) -> Job:
    """Read the heads; put the coarse part into a new network, and into the checkpoint of one begun before."""
    share = painted_share(run.stage)
    if not run.stage.start:
        raise UsageError("brain-fine starts from a coarse part: name its run under start")
    coarse = started(CoarseNet, run.stage.start)
    graft(run.out / "checkpoint.pt", coarse)
    # torch's stubs do not know memory_format by itself
    network = laid_out(BrainNet(coarse), torch.channels_last_3d)
    batch = Sampler(read_heads(run, say), run.stage.seed, painted_share=share)
    return Job(network, batch, distance_loss, dev_pairs(batch), READING)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network; there are no samples to calibrate with: heads are large and slow to draw."""
    network = started(BrainNet, [str(checkpoint)]).eval()
    return Model(network, {**METADATA, "mediseg": dict(RUNTIME)}, (1, 1, 64, 80, 64), reading=READING)
