"""``task: brain-coarse``: find the brain in a whole head at 4 mm; the first part of ``brain-unet``.

``data.folder`` holds ``labelmaps/`` and ``heads_nichart/``; ``augmentation`` is ``painted_share``.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mediseg.errors import UsageError
from mediseg.train.brain import COARSE_RUNTIME, METADATA, BrainNet, CoarseNet, distance_loss
from mediseg.train.brain_heads import Head, load_heads
from mediseg.train.brain_sampling import COARSE_SIZES, SPACING_MM, Sampler
from mediseg.train.config import Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.layout import laid_out
from mediseg.train.look import Reading
from mediseg.train.loop import Batch
from mediseg.train.settings import take
from mediseg.train.start import started

#: Steps that no training reaches: their heads are posed and painted as no batch's are.
DEV_STEPS = range(1_000_000_000, 1_000_000_008)
READING = Reading(output=lambda mm: torch.sigmoid(-mm), target=lambda mm: torch.sigmoid(-mm))


def prepare(run: Run, say: Say) -> Job:
    """Read the heads, halve them, build the coarse part."""
    heads = [head.halved() for head in read_heads(run, say)]
    batch = Sampler(
        heads, run.stage.seed, 2.0 * SPACING_MM, COARSE_SIZES, count=2, painted_share=painted_share(run.stage)
    )
    # torch's stubs do not know memory_format by itself
    network = laid_out(started(CoarseNet, run.stage.start), torch.channels_last_3d)
    return Job(network, batch, distance_loss, dev_pairs(batch), READING)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the coarse part by itself: the first look at a whole head."""
    return _as_model(started(CoarseNet, [str(checkpoint)]))


def first_look(stage: Stage, checkpoint: Path) -> Model:
    """Return the coarse part of a whole network, as the first look that belongs to it."""
    return _as_model(started(BrainNet, [str(checkpoint)]).coarse)


def _as_model(network: CoarseNet) -> Model:
    return Model(network.eval(), {**METADATA, "mediseg": dict(COARSE_RUNTIME)}, (1, 1, 40, 48, 40), reading=READING)


def read_heads(run: Run, say: Say) -> list[Head]:
    """Return the prepared heads, kept beside the stages' folders for the next time."""
    if run.stage.data.folder is None:
        raise UsageError("the brain is trained on a folder with labelmaps/ and heads_nichart/; give --data DIR")
    heads = load_heads(run.stage.data.folder, run.out.parent / "heads")
    say(f"{len(heads)} heads, {sum(head.painted for head in heads)} of them label maps")
    return heads


def painted_share(stage: Stage) -> float:
    """Return the share of painted heads among the samples, the one thing that can be set here."""
    nothing_else_set(stage)
    return _augmentation(**take(_augmentation, stage.augmentation, "augmentation"))


def nothing_else_set(stage: Stage) -> None:
    """Raise UsageError if the configuration asks for another network or loss."""
    for key in ("network", "loss"):
        if getattr(stage, key) is not None:
            raise UsageError(f"{stage.task} has a {key} of its own; leave {key} out of the configuration")


def _augmentation(*, painted_share: float = 0.7) -> float:
    return painted_share


def dev_pairs(batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a few drawn heads that no step of the training sees."""
    return [batch(step) for step in DEV_STEPS]
