"""How far mediseg and dcm2niix lie apart on real DICOM studies, voxel by voxel: the table of docs/agreement.md.

python benchmarks/dcm2niix_agreement.py STUDY.zip ...     (needs dcm2niix on the PATH: pip install dcm2niix)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from mediseg.geometry import Geometry
from mediseg.io import open_study
from mediseg.io.dicom.read import read_stack
from mediseg.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1, 1, 1])


@dataclass(frozen=True)
class Row:
    """One volume of dcm2niix beside mediseg's: shapes, and how far apart they are (None where shapes differ)."""

    study: str
    name: str
    shape: str
    difference: tuple[float, float, float, float] | None

    def line(self) -> str:
        """Return the row of the table."""
        if self.difference is None:
            return f"| {self.study} | {self.name} | {self.shape} | other shape | | |"
        entries, corner, pixel, span = self.difference
        return (
            f"| {self.study} | {self.name} | {self.shape} | {entries:.1e} | {corner:.1e} | {pixel:.2g} of {span:.5g} |"
        )


def converted(archive: Path, folder: Path) -> list[tuple[str, Volume]]:
    """What dcm2niix makes of a study; the names begin with the series number."""
    zipfile.ZipFile(archive).extractall(folder / "in")
    (folder / "out").mkdir()
    command = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s_%d", "-o", str(folder / "out"), str(folder / "in")]
    # it ends with 8 when it refuses a file and converts the rest
    subprocess.run(command, check=False, capture_output=True)
    found = []
    for path in sorted((folder / "out").glob("*.nii")):
        image = nib.load(path)
        pixels = np.asarray(image.dataobj)
        for n in range(pixels.shape[3] if pixels.ndim == 4 else 1):
            volume = pixels[..., n] if pixels.ndim == 4 else pixels
            found.append((path.stem, Volume.from_affine(volume, LPS_FROM_RAS @ image.affine)))
    return found


def rows_of(archive: Path) -> tuple[list[Row], tuple[int, int]]:
    """Compare every volume of dcm2niix with the nearest of mediseg's of that series; and how many each makes."""
    stacks = [stack for stack in open_study(archive).stacks if stack.unfit is None]
    volumes = [(str(stack.info.number), read_stack(stack)) for stack in stacks]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = converted(archive, Path(folder))
    for name, volume in theirs:
        number = name.split("_", maxsplit=1)[0]
        results = [result for mine, one in volumes if mine == number and (result := apart(one, volume))]
        best = min(results, key=lambda result: (result[2], result[1])) if results else None
        rows.append(Row(archive.stem, name, " x ".join(map(str, volume.geometry.shape)), best))
    return rows, (len(theirs), len(stacks))


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
    counts = {}
    print("| study | dcm2niix's volume | shape | affine entry, mm | corner voxel, mm | voxel value |")
    print("|---|---|---|---|---|---|")
    for path in map(Path, paths):
        rows, counts[path.stem] = rows_of(path)
        for row in rows:
            print(row.line(), flush=True)
    print("\n| study | volumes of dcm2niix | of mediseg |\n|---|---|---|")
    for study, (theirs, ours) in counts.items():
        print(f"| {study} | {theirs} | {ours} |")


if __name__ == "__main__":
    main(sys.argv[1:])
