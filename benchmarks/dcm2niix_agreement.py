"""How far mediseg and dcm2niix lie apart on real DICOM studies, voxel by voxel: the table of docs/agreement.md.

python benchmarks/dcm2niix_agreement.py STUDY.zip ...     (needs dcm2niix on the PATH: pip install dcm2niix)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np

from mediseg.geometry import Geometry
from mediseg.io import open_study
from mediseg.io.dicom.read import read_stack
from mediseg.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1, 1, 1])


def converted(archive: Path, folder: Path) -> list[tuple[str, Volume]]:
    """What dcm2niix makes of a study."""
    zipfile.ZipFile(archive).extractall(folder / "in")
    (folder / "out").mkdir()
    command = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s_%d", "-o", str(folder / "out"), str(folder / "in")]
    subprocess.run(command, check=True, capture_output=True)
    found = []
    for path in sorted((folder / "out").glob("*.nii")):
        image = nib.load(path)
        if image.ndim == 3:
            found.append((path.stem, Volume.from_affine(np.asarray(image.dataobj), LPS_FROM_RAS @ image.affine)))
    return found


def apart(ours: Volume, theirs: Volume) -> tuple[float, float, float, float] | None:
    """Largest difference of the affine's entries, of a corner, and of a pixel; and their shape must agree."""
    mine = ours.reorient(theirs.geometry.codes)
    if mine.geometry.shape != theirs.geometry.shape:
        return None
    entries = np.abs(mine.geometry.affine_lps - theirs.geometry.affine_lps).max()
    corner = max_distance(mine.geometry, theirs.geometry)
    pixel = np.abs(mine.array.astype(float) - theirs.array.astype(float)).max()
    return float(entries), corner, float(pixel), float(np.ptp(theirs.array))


def max_distance(one: Geometry, other: Geometry) -> float:
    """Largest distance between centres of corner voxels."""
    ends = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * (np.array(one.shape) - 1)
    return float(np.linalg.norm(one.lps_from_ijk(ends) - other.lps_from_ijk(ends), axis=1).max())


def main(paths: list[str]) -> None:
    print("| study | dcm2niix's volume | shape | affine entry | corner voxel, mm | pixel (of range) |")
    print("|---|---|---|---|---|---|")
    for path in map(Path, paths):
        stacks = [stack for stack in open_study(path).stacks if stack.unfit is None]
        volumes = [read_stack(stack) for stack in stacks]
        with tempfile.TemporaryDirectory() as folder:
            for name, theirs in converted(path, Path(folder)):
                found = [result for volume in volumes if (result := apart(volume, theirs))]
                if not found:
                    print(f"| {path.stem} | {name} | {theirs.geometry.shape} | other shape | | |")
                    continue
                entries, corner, pixel, span = min(found, key=lambda result: (result[2], result[1]))
                shape = " x ".join(map(str, theirs.geometry.shape))
                print(
                    f"| {path.stem} | {name} | {shape} | {entries:.1e} | {corner:.5f} | {pixel:.2g} (of {span:.4g}) |"
                )


if __name__ == "__main__":
    main(sys.argv[1:])
