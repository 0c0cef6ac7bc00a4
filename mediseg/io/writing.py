"""``write(value, path)``: the one way out to a file, by what the value is and what the path ends in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediseg.errors import OutputError, UsageError
from mediseg.results import (
    BiasCorrection,
    Brain,
    Callosum,
    Localization,
    Measurements,
    Midsagittal,
    ScanPlan,
    StationWeights,
    Stitched,
    Transforms,
)
from mediseg.volume import RotatedROI, Segmentation, Source, Volume

NIFTI, JSON, CSV, DICOM, FOLDER = (".nii", ".nii.gz"), (".json",), (".csv",), (".dcm",), ("",)
_SUFFIXES = (*NIFTI, *JSON, *CSV, *DICOM)
Writer = Callable[[Any, Path, Source | None], Path]


def write(value: object, path: str | Path, source: Volume | Source | None = None) -> Path:
    """Write a volume or a result to a file and return its path.

    | value | NIfTI ``.nii``, ``.nii.gz`` | ``.json`` | ``.csv`` | DICOM ``.dcm``, or a folder |
    |---|---|---|---|---|
    | Volume (BiasCorrection: corrected; Midsagittal: image) | yes | | | derived MR, in a folder one file a slice |
    | Segmentation (Brain, Callosum: mask) | yes | | | SEG |
    | Measurements | | FastSurfer-CC's names | yes | SR, TID 1500 |
    | RotatedROI, Localization | | yes | | |
    | ScanPlan, Transforms | | yes | | |
    | Stitched: composite, 0 in gaps | yes | | | derived MR, in a folder one file a slice |
    | StationWeights | yes, 4-D | | | |

    ``source``: the DICOM volume that the value was made from (a Volume knows its own); needed for DICOM. Files are
    complete or not there. Raises UsageError for a value that the suffix cannot hold (it lists those that can), Refusal
    for another frame of reference, OutputError when the system refuses.
    """
    plain, where = _plain(value), Path(path)
    writers = _WRITERS.get(type(plain))
    if writers is None:
        raise UsageError(f"a {type(value).__name__} cannot be written; give a volume, a segmentation or a result")
    suffix = _suffix(where)
    if suffix not in writers:
        known = ", ".join(name or "a folder" for name in writers)
        raise UsageError(f'a {type(value).__name__} cannot be written as "{where.name}"; use one of: {known}')
    origin = source.source if isinstance(source, Volume) else source
    if origin is None and isinstance(plain, Volume):
        origin = plain.source
    return writers[suffix](plain, where, origin)


def _plain(value: object) -> object:
    """Return the volume or label map that a step's result is about, other values as they are."""
    if isinstance(value, BiasCorrection):
        return value.corrected
    if isinstance(value, Midsagittal):
        return value.image
    if isinstance(value, Stitched):
        return value.filled
    return value.mask if isinstance(value, Brain | Callosum) else value


def _suffix(path: Path) -> str:
    """Return the suffix that decides, "" for a folder (there already, or a name without one)."""
    if path.is_dir():
        return ""
    name = path.name.lower()
    known = [suffix for suffix in _SUFFIXES if name.endswith(suffix)]
    return max(known, key=len) if known else path.suffix.lower()


def _nifti(value: Volume | Segmentation, path: Path, source: Source | None) -> Path:
    from mediseg.io.nifti_write import write_nifti

    return write_nifti(value, path, source)


def _roi(value: RotatedROI | Localization, path: Path, _: Source | None) -> Path:
    from mediseg.io.jsonfiles import write_roi

    return write_roi(value, path)


def _scan_plan(value: ScanPlan, path: Path, _: Source | None) -> Path:
    from mediseg.io.jsonfiles import write_scan_plan

    return write_scan_plan(value, path)


def _weights(value: StationWeights, path: Path, _: Source | None) -> Path:
    from mediseg.io.nifti_write import write_nifti_series

    return write_nifti_series(value.maps, path)


def _transforms(value: Transforms, path: Path, _: Source | None) -> Path:
    from mediseg.io.stitchfile import write_transforms

    return write_transforms(value, path)


def _fastsurfer(value: Measurements, path: Path, _: Source | None) -> Path:
    from mediseg.io.fastsurfer import write_fastsurfer

    return write_fastsurfer(value, path)


def _csv(value: Measurements, path: Path, _: Source | None) -> Path:
    from mediseg.io.csvfiles import write_measurements_csv

    return write_measurements_csv(value.values, path)


def _seg(value: Segmentation, path: Path, source: Source | None) -> Path:
    from mediseg.io.dicom.origin import read_origin
    from mediseg.io.dicom.seg import write_segmentation
    from mediseg.io.dicom.uids import DicomOptions

    return write_segmentation(value, path, read_origin(source, DicomOptions()))


def _seg_folder(value: Segmentation, path: Path, source: Source | None) -> Path:
    return _seg(value, _folder(path) / "segmentation.dcm", source)


def _sr(value: Measurements, path: Path, source: Source | None) -> Path:
    from mediseg.io.dicom.origin import read_origin
    from mediseg.io.dicom.sr import write_measurements_sr
    from mediseg.io.dicom.uids import DicomOptions

    return write_measurements_sr(value, path, read_origin(source, DicomOptions()))


def _sr_folder(value: Measurements, path: Path, source: Source | None) -> Path:
    return _sr(value, _folder(path) / "measurements_sr.dcm", source)


def _mr(value: Volume, path: Path, source: Source | None) -> Path:
    from mediseg.io.dicom.derived import save
    from mediseg.io.dicom.image import IMAGE, single_dataset
    from mediseg.io.dicom.origin import read_origin
    from mediseg.io.dicom.uids import DicomOptions

    return save(single_dataset(value, read_origin(source, DicomOptions()), IMAGE), path)


def _mr_folder(value: Volume, path: Path, source: Source | None) -> Path:
    from mediseg.io.dicom.image import IMAGE, write_derived_series
    from mediseg.io.dicom.origin import read_origin
    from mediseg.io.dicom.uids import DicomOptions

    origin = read_origin(source, DicomOptions())
    write_derived_series(value, _folder(path), origin, IMAGE)
    return path


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot write {path}: a file of that name is in the way; choose another folder")
    return path


def _all(suffixes: tuple[str, ...], writer: Writer) -> dict[str, Writer]:
    return dict.fromkeys(suffixes, writer)


_WRITERS: dict[type, dict[str, Writer]] = {
    Volume: {**_all(NIFTI, _nifti), **_all(DICOM, _mr), **_all(FOLDER, _mr_folder)},
    Segmentation: {**_all(NIFTI, _nifti), **_all(DICOM, _seg), **_all(FOLDER, _seg_folder)},
    Measurements: {**_all(JSON, _fastsurfer), **_all(CSV, _csv), **_all(DICOM, _sr), **_all(FOLDER, _sr_folder)},
    RotatedROI: _all(JSON, _roi),
    Localization: _all(JSON, _roi),
    ScanPlan: _all(JSON, _scan_plan),
    StationWeights: _all(NIFTI, _weights),
    Transforms: _all(JSON, _transforms),
}
