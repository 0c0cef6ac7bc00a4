"""The main job on real scans: outcome, outputs, brain volume, midline, callosum, time and memory, as a table.

    python benchmarks/main_job.py --data DIR --out DIR [--only NAME ...]

DIR holds ``dicom/*.zip``, ``heads/*/image.nii.gz`` and ``heads_nichart/*_t1.nii.gz`` with their tables. References:
brain ml from heads.csv and index.csv (their masks), midline offsets from the data's README. Every figure comes from
the case's own report.json, but for the midline, which is measured from the plane's image.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

import mediseg
from mediseg import MedisegError
from mediseg.outputs import FILES, TABLE

DICOM = (
    "siemens_sag_t1_child10",
    "axial_t1_novendor",
    "siemens_t1_gap_plus_asl",
    "siemens_sag_thick_HFS",
    "siemens_sag_thick_HFDR",
    "siemens_xa30_enhanced_t1",
)
HEADS = ("t1_fullhead_nichart_s1", "t1_colin27", "t1_ms_p20", "t1_neck_1p6")
MIDLINE_MM = {"siemens_sag_t1_child10": 4.7, "siemens_xa30_enhanced_t1": 7.0}
HEAD_FILES = tuple(file for file, source in FILES.items() if not source.startswith("stitched."))
DICOM_FILES = ("brain_seg.dcm", "callosum_seg.dcm", "measurements_sr.dcm", "midsagittal.dcm")


def scans(data: Path) -> list[tuple[str, Path]]:
    found = [(name, data / "dicom" / f"{name}.zip") for name in DICOM]
    found += [(name, data / "heads" / name / "image.nii.gz") for name in HEADS]
    found += [(p.name.removesuffix(".nii.gz"), p) for p in sorted((data / "heads_nichart").glob("*_t1.nii.gz"))]
    return found


def references(data: Path) -> dict[str, float]:
    """Return brain volumes in ml by scan."""
    known = {}
    with (data / "heads" / "heads.csv").open() as file:
        for row in csv.DictReader(file):
            text = row["mask_ml"] or row["mindgrab_ml"]
            if text:
                known[row["name"]] = float(text)
    with (data / "heads_nichart" / "index.csv").open() as file:
        for row in csv.DictReader(file):
            known[f"{row['id']}_t1"] = float(row["brain_ml"])
    return known


def midline_mm(case: mediseg.Case) -> float | None:
    """Distance of the plane from the middle slice, at the middle of the brain (the plane may be tilted)."""
    plane, brain = case.values.get("midsagittal"), case.values.get("brain")
    if plane is None or brain is None:
        return None
    head = case.values["head"].geometry
    middle = brain.mask.geometry.lps_from_ijk(np.argwhere(brain.mask.mask()).mean(axis=0))
    at = middle - plane.plane.distance_mm(middle) * plane.plane.normal_lps
    axis = int(np.abs(head.axes_lps[0]).argmax())
    index = head.ijk_from_lps(at)[axis]
    return float(abs(index - (head.shape[axis] - 1) / 2) * head.spacing_mm[axis])


def missing_outputs(case: mediseg.Case, is_dicom: bool) -> list[str]:
    wanted = [*HEAD_FILES, TABLE, "report.html", "report.json"]
    wanted += [f"dicom/{name}" for name in DICOM_FILES] if is_dicom else []
    return [name for name in wanted if not (case.folder / name).is_file()]


def row(name: str, path: Path, out: Path, known: dict[str, float]) -> list[str]:
    try:
        case = mediseg.run("corpus-callosum", path, out / name)
    except MedisegError as error:
        return [name, f"{type(error).__name__}: {error}"]
    report = json.loads((case.folder / "report.json").read_text())
    measured = {m["name"]: m["value"] for m in report["measurements"]}
    brain, reference = measured.get("brain_volume"), known.get(name)
    off, expected = midline_mm(case), MIDLINE_MM.get(name)
    seconds = sum(step["seconds"] for step in report["steps"])
    peak = max(step["peak_mb"] for step in report["steps"])
    missing = missing_outputs(case, path.suffix == ".zip")
    return [
        name,
        f"{case.status} ({case.exit_code})",
        "all" if not missing else f"without {len(missing)}",
        "" if brain is None else f"{brain:.0f}",
        "" if brain is None or reference is None else f"{(brain / reference - 1) * 100:+.1f}",
        "" if off is None else f"{off:.1f}" + (f" ({expected:g})" if expected else ""),
        f"{measured['area']:.0f}" if "area" in measured else "",
        f"{report['roi']['angle_deg']:.1f}" if report["roi"] else "",
        f"{report['roi']['confidence']:.2f}" if report["roi"] else "",
        f"{seconds:.1f}",
        f"{peak:.0f}",
        " ".join(sorted({w["code"] for w in report["warnings"]})),
    ]


def check_affine(out: Path) -> None:
    """Read one output back with nibabel: the corrected head lies where the source lies."""
    for path in out.glob("*/*/corrected.nii.gz"):
        image = nib.load(path)
        assert image.get_qform(coded=True)[1] > 0, path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    chosen = parser.parse_args()
    known = references(chosen.data)
    columns = [
        "scan",
        "status",
        "outputs",
        "brain ml",
        "off %",
        "midline mm",
        "CC mm2",
        "angle",
        "confidence",
        "s",
        "MB",
        "warnings",
    ]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for name, path in scans(chosen.data):
        if chosen.only and name not in chosen.only:
            continue
        print("| " + " | ".join(row(name, path, chosen.out, known)) + " |", flush=True)
    check_affine(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
