"""The files of a case: which value each is made from. A recipe may drop some of them, never rename them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mediseg.results import Measurement

#: file -> the value it shows, as ``value.attribute``
FILES = {
    "brain_mask.nii.gz": "brain.mask",
    "bias_field.nii.gz": "bias.field",
    "corrected.nii.gz": "bias.corrected",
    "midsagittal.nii.gz": "midsagittal.image",
    "callosum.nii.gz": "callosum.mask",
    "callosum_probability.nii.gz": "callosum.probability",
    "callosum_parts.nii.gz": "measurements.parts",
    "callosum.fastsurfer.nii.gz": "measurements.fastsurfer_parts",
    "callosum.fastsurfer.json": "measurements",
    "roi.json": "localization",
    "scan_plan.json": "scan_plan",
    "composite.nii.gz": "stitched.filled",
    "weights.nii.gz": "stitched.weights",
    "provenance.nii.gz": "stitched.provenance",
    "gaps.nii.gz": "stitched.gaps",
    "transforms.json": "stitched.transforms",
}
TABLE = "measurements.csv"
NAMES = (*FILES, TABLE, "dicom")


@dataclass(frozen=True, slots=True)
class Written:
    """One file of a case, relative to its folder, and its kind: ``nifti | json | csv | dicom | html``."""

    path: str
    kind: str


_KINDS = {".gz": "nifti", ".json": "json", ".csv": "csv", ".dcm": "dicom", ".html": "html"}


def lookup(values: Mapping[str, object], source: str) -> object | None:
    """Return ``value.attribute``, or None where no step gave the value."""
    root, *attributes = source.split(".")
    found = values.get(root)
    for attribute in attributes:
        found = None if found is None else getattr(found, attribute)
    return found


def kind_of(path: str | Path) -> str:
    """Return what a file is, by its suffix."""
    return _KINDS[Path(path).suffix]


def write_values(values: Mapping[str, object], folder: Path, keep: tuple[str, ...] | None) -> list[Written]:
    """Write every file whose value exists, each atomically. Raises OutputError."""
    from mediseg.io.csvfiles import write_measurements_csv
    from mediseg.io.writing import write

    written = []
    for file, source in FILES.items():
        value = lookup(values, source)
        if value is None or (keep is not None and file not in keep):
            continue
        write(value, folder / file)
        written.append(Written(file, kind_of(file)))
    measured = all_measurements(values)
    if measured and (keep is None or TABLE in keep):
        write_measurements_csv(measured, folder / TABLE)
        written.append(Written(TABLE, kind_of(TABLE)))
    return written


def all_measurements(values: Mapping[str, object]) -> tuple[Measurement, ...]:
    """Return what every result measured, in the order of the steps."""
    return tuple(m for value in values.values() for m in getattr(value, "measurements", ()))
