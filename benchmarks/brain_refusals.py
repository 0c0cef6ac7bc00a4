"""Does a scan without a whole brain pass for one?  python benchmarks/brain_refusals.py --data DIR

Given to ``extract_brain``: every scan of DIR/spine, noise of several kinds, a ball and a bottle (phantoms), and every
head of DIR/heads cut to its left half, its upper half, its lower half and its front. Printed: refused, warned (with the
codes) or silent, and the confidence; then the whole heads, which must not be refused. Silent is wrong.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

import mediseg
from mediseg import Geometry, Volume

#: How much of each axis (left to right, posterior to anterior, inferior to superior) of the brain's box is kept.
CUTS = {
    "left half": ((0.0, 0.5), None, None),
    "upper half": (None, None, (0.5, 1.0)),
    "lower half": (None, None, (0.0, 0.5)),
    "front": (None, (0.5, 1.0), None),
}


def spines(data: Path) -> Iterator[tuple[str, Volume]]:
    """Yield the scans of DIR/spine."""
    for path in sorted((data / "spine").glob("*.nii.gz")):
        yield f"spine {path.name.removesuffix('.nii.gz')}", mediseg.load(path)


def made_up() -> Iterator[tuple[str, Volume]]:
    """Yield noise and phantoms on a grid of 2 mm."""
    grid = Geometry.from_axes((110, 120, 110), np.eye(3), (2, 2, 2), center_lps_mm=(0, 0, 0))
    rng = np.random.default_rng(0)
    white = rng.rayleigh(1.0, grid.shape).astype(np.float32)
    yield "white noise", Volume(white, grid)
    for mm in (6, 20, 50):
        yield f"noise of {mm} mm", Volume(ndimage.gaussian_filter(rng.normal(size=grid.shape), mm / 2), grid)
    steps = np.indices(grid.shape) - (np.array(grid.shape).reshape(3, 1, 1, 1) - 1) / 2
    faint = 0.02 * white
    ball = (2 * np.linalg.norm(steps, axis=0) < 85).astype(np.float32)
    yield "ball phantom", Volume(ball + faint, grid)
    bottle = (2 * np.hypot(steps[0], steps[1]) < 70) & (2 * abs(steps[2]) < 95)
    yield "bottle phantom", Volume(bottle + faint, grid)
    yield "nothing", Volume(faint, grid)


def cut_heads(data: Path, model: str) -> Iterator[tuple[str, Volume]]:
    """Yield the heads of DIR/heads with half of the brain beyond the image."""
    for path in sorted((data / "heads").glob("*/image.nii.gz")):
        head = mediseg.load(path).reorient("RAS")
        where = np.argwhere(mediseg.extract_brain(head, model=model).mask.mask())
        low, size = where.min(axis=0), np.ptp(where, axis=0)
        for name, cut in CUTS.items():
            start, stop = [0, 0, 0], list(head.geometry.shape)
            for axis, kept in enumerate(cut):
                if kept is not None and kept[0] > 0:
                    start[axis] = int(low[axis] + kept[0] * size[axis])
                elif kept is not None:
                    stop[axis] = int(low[axis] + kept[1] * size[axis])
            yield f"{name} of {path.parent.name}", head.resample(head.geometry.crop(start, stop))


def whole_heads(data: Path) -> Iterator[tuple[str, Volume]]:
    """Yield the heads of DIR/heads as they are."""
    for path in sorted((data / "heads").glob("*/image.nii.gz")):
        yield f"whole {path.parent.name}", mediseg.load(path)


def outcome(volume: Volume, model: str) -> tuple[str, str]:
    """Return what a user is told of a scan: refused, warned or silent, and the details."""
    try:
        brain = mediseg.extract_brain(volume, model=model)
    except mediseg.Refusal as refusal:
        return "refused", str(refusal)
    ml = int(np.count_nonzero(brain.mask.mask())) * volume.geometry.voxel_mm3 / 1000
    codes = sorted(warning.code.value for warning in brain.warnings)
    told = f"{ml:.0f} ml, confidence {brain.confidence:.2f} {' '.join(codes)}"
    return ("warned" if codes else "silent"), told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with heads/ and spine/")
    parser.add_argument("--model", default="brain-unet", help="name or folder of a brain bundle")
    options = parser.parse_args()
    groups: dict[str, Iterator[tuple[str, Volume]]] = {
        "spines": spines(options.data),
        "made up": made_up(),
        "cut heads": cut_heads(options.data, options.model),
        "whole heads": whole_heads(options.data),
    }
    counts: dict[str, Counter[str]] = {}
    for group, cases in groups.items():
        counts[group] = Counter()
        for name, volume in cases:
            said, told = outcome(volume, options.model)
            counts[group][said] += 1
            print(f"{name:40s} {said:8s} {told}", flush=True)
    for group, count in counts.items():
        print(f"{group}: {count['refused']} refused, {count['warned']} warned, {count['silent']} silent")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
