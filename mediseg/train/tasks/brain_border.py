"""``task: brain-border``: the brain's border at 1 mm, moved from where a coarser network found it.

``data.folder`` and ``augmentation`` are those of ``brain-coarse``. It needs no coarser network to be trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mediseg.train.brain import distance_loss
from mediseg.train.brain_border import METADATA, RUNTIME, BorderNet, BorderSampler, border_voxels
from mediseg.train.config import Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.start import started
from mediseg.train.tasks.brain_coarse import READING, dev_pairs, painted_share, read_heads


def prepare(run: Run, say: Say) -> Job:
    """Read the heads, choose where crops may lie, build the network."""
    share = painted_share(run.stage)
    heads = read_heads(run, say)
    centres = [border_voxels(head, np.random.default_rng((run.stage.seed, i))) for i, head in enumerate(heads)]
    # torch's stubs do not know memory_format by itself
    network = started(BorderNet, run.stage.start).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    batch = BorderSampler(heads, centres, run.stage.seed, painted_share=share)
    return Job(network, batch, distance_loss, dev_pairs(batch), READING)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network; there are no samples to calibrate with: heads are large and slow to draw."""
    network = started(BorderNet, [str(checkpoint)]).eval()
    return Model(network, {**METADATA, "mediseg": dict(RUNTIME)}, (1, 2, 64, 80, 64), reading=READING)
