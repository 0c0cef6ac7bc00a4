"""There and back: what is written for a study, and how far off each outside reader finds it, in mm."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from mediseg.geometry import Geometry
from mediseg.io import load
from mediseg.io.dicom.outputs import write_dicom_outputs
from mediseg.io.dicom.uids import DicomOptions
from mediseg.volume import Segmentation, Volume
from tests.io.dicom_factory import AXES, FRAME, ramp, write_enhanced, write_series
from tests.io.orthanc import Orthanc, orthanc_points
from tests.io.outside import (
    dcmqi_points,
    dcmtk_points,
    highdicom_points,
    itk_lps_from_ijk,
    itk_series,
    largest_distance_mm,
)
from tests.io.results_factory import bias, case

SHAPE = (14, 18, 9)
SEGMENTATIONS = {"brain_seg": "brain", "callosum_seg": "callosum"}


def grid(axes: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Geometry:
    """A grid with three different spacings, off the origin."""
    return Geometry.from_axes(shape, axes, (0.9, 1.1, 2.5), center_lps_mm=(4, -11, 23), frame_of_reference=FRAME)


def _scanner(k: int, dataset: Dataset) -> None:
    dataset.ScanningSequence, dataset.SequenceVariant = ["GR", "IR"], ["SP", "MP"]


def _reversed(k: int, dataset: Dataset) -> None:
    _scanner(k, dataset)
    dataset.InstanceNumber = SHAPE[2] - k


def _classic(axes: np.ndarray, shape: tuple[int, int, int] = SHAPE, change: Any = _scanner) -> Callable[[Path], Volume]:
    def make(folder: Path) -> Volume:
        write_series(folder, ramp(shape), grid(axes, shape), change=change, shuffle=change is _scanner)
        return load(folder)

    return make


def _enhanced(folder: Path) -> Volume:
    folder.mkdir(parents=True, exist_ok=True)
    order = [4, 0, 8, 2, 6, 1, 7, 3, 5]
    return load(write_enhanced(folder / "in.dcm", ramp(SHAPE), grid(AXES["oblique"]), order=order))


CASES: Mapping[str, Callable[[Path], Volume]] = {
    **{name: _classic(axes) for name, axes in AXES.items()},
    "axial, reversed order": _classic(AXES["axial"], change=_reversed),
    "sagittal, reversed order": _classic(AXES["sagittal"], change=_reversed),
    "one sagittal slice": _classic(AXES["sagittal"], (14, 18, 1)),
    "one oblique slice": _classic(AXES["oblique"], (14, 18, 1)),
    "multi-frame, oblique, frames out of order": _enhanced,
}


def written(head: Volume, folder: Path, seg_type: str = "binary") -> tuple[dict[str, object], list[Path]]:
    """Write every kind of object for a head; the results are made up (lopsided masks)."""
    values: dict[str, object] = {**case(head), "bias": bias(head)}
    paths, _ = write_dicom_outputs(values, head, folder, DicomOptions(seg_type, corrected=True))
    return values, paths


def acquired_points(mask: Segmentation, head: Volume) -> np.ndarray:
    """Where a mask is set, less the slices that no image was acquired for."""
    index = np.argwhere(mask.labels > 0)
    if mask.geometry.same_grid(head.geometry) and head.source is not None:
        missing = [k for k, uid in enumerate(head.source.sop_uids) if uid is None]
        index = index[~np.isin(index[:, 2], missing)]
    return mask.geometry.lps_from_ijk(index)


def readers(scratch: Path, archive: Orthanc | None) -> dict[str, Callable[[Path], np.ndarray]]:
    """Who reads a SEG back. Orthanc gives the bits of BINARY only."""
    found: dict[str, Callable[[Path], np.ndarray]] = {
        "highdicom": highdicom_points,
        "DCMTK": lambda path: dcmtk_points(path, _fresh(scratch / f"dcmtk_{path.stem}")),
        "dcmqi": lambda path: dcmqi_points(path, _fresh(scratch / f"dcmqi_{path.stem}")),
    }
    if archive is not None:
        found["Orthanc"] = lambda path: orthanc_points(archive, archive.store(path))
    return found


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def segmentation_distance_mm(path: Path, mask: Segmentation, head: Volume, read: Callable[[Path], np.ndarray]) -> float:
    """The largest distance between a set voxel and its partner as a reader sees it."""
    return largest_distance_mm(read(path), acquired_points(mask, head))


def image_distance_mm(paths: list[Path], truth: Volume) -> float:
    """How far voxels lie from where they were, by SimpleITK; infinite where one holds another value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = itk_series(paths)
    import SimpleITK as sitk  # noqa: N813 - its own convention

    array = sitk.GetArrayFromImage(image)
    kji = np.argwhere(np.ones(array.shape, bool))[:: max(1, array.size // 50_000)]
    points = itk_lps_from_ijk(image, kji[:, ::-1])
    ijk = np.rint(truth.geometry.ijk_from_lps(points)).astype(int)
    if array.size != truth.array.size or (ijk < 0).any() or (ijk >= truth.geometry.shape).any():
        return float("inf")
    values = _true_values(array[tuple(kji.T)], paths[0])
    if np.abs(values - truth.array[tuple(ijk.T)].astype(float)).max() > _step(truth):
        return float("inf")
    return float(np.linalg.norm(points - truth.geometry.lps_from_ijk(ijk), axis=1).max())


def _step(truth: Volume) -> float:
    """How much a value may change by being stored in 15 bits from zero (or what lies below) up."""
    return (float(truth.array.max()) - min(float(truth.array.min()), 0.0)) / 32767


def _true_values(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Apply the real world value mapping of a Secondary Capture, which ITK leaves to its user."""
    shared = pydicom.dcmread(path, stop_before_pixels=True).get("SharedFunctionalGroupsSequence", [{}])[0]
    if "RealWorldValueMappingSequence" not in shared:
        return pixels.astype(float)
    mapping = shared.RealWorldValueMappingSequence[0]
    return pixels * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
