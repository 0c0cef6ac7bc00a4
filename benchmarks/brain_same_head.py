"""Is it the same brain however the same head comes?  python benchmarks/brain_same_head.py --data DIR

Each head of DIR/heads is given to ``extract_brain`` as it is, cut to 10 mm about its brain, padded by 40 mm of air,
in another axis order, and turned by 30 degrees about each patient axis (the header's affine is turned, so no voxel is
interpolated). Printed: the Dice coefficient of each mask with that of the head as it is, on the head's own voxels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

import mediseg
from mediseg import Geometry, Volume

Mask = npt.NDArray[np.bool_]


def variants(head: Volume, brain: Mask) -> Iterator[tuple[str, Volume]]:
    """Yield the same voxels under other fields of view, orders and poses, each with a name."""
    margin = np.ceil(10 / np.array(head.geometry.spacing_mm)).astype(int)
    where = np.argwhere(brain)
    start = np.maximum(where.min(axis=0) - margin, 0)
    stop = np.minimum(where.max(axis=0) + margin + 1, head.geometry.shape)
    tight = head.geometry.crop([int(n) for n in start], [int(n) for n in stop])
    yield "tight", head.resample(tight)
    air = [int(n) for n in np.ceil(40 / np.array(head.geometry.spacing_mm))]
    yield "padded", head.resample(head.geometry.pad(air, air))
    for codes in ("PIR", "ASL", "SRP"):
        yield codes, head.reorient(codes)
    for axis in "xyz":
        yield f"30 {axis}", turned(head, Rotation.from_euler(axis, 30, degrees=True).as_matrix())


def turned(head: Volume, rotation: npt.NDArray[np.float64]) -> Volume:
    """Return the head turned about its middle: the same voxels elsewhere."""
    affine = head.geometry.affine_lps.copy()
    middle = head.geometry.center_lps_mm
    affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = rotation @ (affine[:3, 3] - middle) + middle
    return Volume(head.array, Geometry(head.geometry.shape, affine, head.geometry.frame_of_reference))


def dice(one: Mask, other: Mask) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def compared(head: Volume) -> dict[str, float]:
    """Return the Dice of each variant with the head as it is; 0 where it is refused."""
    brain = mediseg.extract_brain(head).mask.mask()
    scores = {}
    for name, other in variants(head, brain):
        try:
            found = mediseg.extract_brain(other).mask
        except mediseg.Refusal as refusal:
            print(f"  {name}: {refusal}")
            scores[name] = 0.0
            continue
        # a turned head has the same array: its mask is compared voxel by voxel
        same = found.mask() if name.startswith("30") else found.resample(head.geometry).mask()
        scores[name] = dice(same, brain)
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with heads/NAME/image.nii.gz")
    parser.add_argument("--only", nargs="+", help="names of heads")
    options = parser.parse_args()
    rows = []
    for path in sorted((options.data / "heads").glob("*/image.nii.gz")):
        if options.only and path.parent.name not in options.only:
            continue
        scores = compared(mediseg.load(path))
        rows.append(list(scores.values()))
        if len(rows) == 1:
            print(f"{'head':24s}" + "".join(f"{name:>9s}" for name in scores))
        print(f"{path.parent.name:24s}" + "".join(f"{value:9.4f}" for value in scores.values()), flush=True)
    print(f"{'worst':24s}" + "".join(f"{value:9.4f}" for value in np.min(rows, axis=0)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
