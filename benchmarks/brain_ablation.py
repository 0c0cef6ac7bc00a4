"""Real heads, painted maps, or both?  python benchmarks/brain_ablation.py RUN... --data DIR

Judges coarse parts of ``brain-unet`` (``task: brain-coarse``, trained for equally many steps with another
``painted_share``) on heads that none was trained on: the held-out elders' T1 and FLAIR, and the held-out label maps,
painted; 24 samples of each, turned, cut and degraded as in training. Printed: the mean Dice at 4 mm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mediseg.train.brain import CoarseNet
from mediseg.train.brain_heads import HELD_OUT_ELDERS, HELD_OUT_MAPS, Head, head_of_map, head_of_scan
from mediseg.train.brain_sampling import COARSE_SIZES, SPACING_MM, Sampler
from mediseg.train.look import dice
from mediseg.train.start import started

STEPS = range(12)
SEED = 77


def held_out(data: Path) -> dict[str, list[Head]]:
    """Return the heads that were never trained on, at 2 mm."""
    folder = data / "heads_nichart"
    masks = {"t1": "dlmuse", "flair": "flair_brain"}
    heads = {
        kind: [
            head_of_scan(folder / f"{one}_{kind}.nii.gz", folder / f"{one}_{mask}.nii.gz") for one in HELD_OUT_ELDERS
        ]
        for kind, mask in masks.items()
    }
    heads["painted"] = [head_of_map(data / "labelmaps" / f"{name}.nii.gz") for name in HELD_OUT_MAPS]
    return {kind: [head.halved() for head in some] for kind, some in heads.items()}


def scores(network: CoarseNet, heads: list[Head]) -> list[float]:
    """Return the Dice of each sample, with soft edges as in training."""
    sampler = Sampler(heads, SEED, 2 * SPACING_MM, COARSE_SIZES, count=2)
    found = []
    for step in STEPS:
        image, distance = sampler(step)
        with torch.no_grad():
            said = network(image)
        pairs = zip(torch.sigmoid(-said).numpy(), torch.sigmoid(-distance).numpy(), strict=True)
        found += [dice(one[0], other[0]) for one, other in pairs]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of trained runs")
    parser.add_argument("--data", type=Path, required=True, help="folder with heads_nichart/ and labelmaps/")
    options = parser.parse_args()
    heads = held_out(options.data)
    print(f"{'run':24s}" + "".join(f"{kind:>18s}" for kind in heads))
    for run in options.runs:
        network = started(CoarseNet, [str(run / "checkpoint.pt")]).eval()
        found = [scores(network, some) for some in heads.values()]
        cells = "".join(f"{np.mean(some):12.4f} {min(some):.2f}" for some in found)
        print(f"{run.name:24s}{cells}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
