"""Small DICOM studies for tests: a classic or enhanced MR series on any grid, and every way it can be spoilt.

``write_series(folder, array, geometry, ...)`` writes one file a slice of ``array`` (columns, rows, slices) and returns
their paths in slice order; ``change(k, dataset)`` may edit each before it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from mediseg.geometry import Geometry

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PHOTO = "1.2.840.10008.5.1.4.1.1.77.1.4"
ROOT = "1.2.826.0.1.3680043.10.543.7"
STUDY, SERIES, FRAME = f"{ROOT}.1", f"{ROOT}.2.1", f"{ROOT}.3"
Change = Callable[[int, Dataset], None]


def turned(axes: np.ndarray[Any, Any], degrees: float) -> np.ndarray[Any, Any]:
    """Axes turned about the long axis of the body, and by half as much about the left-right axis."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(about_z @ about_x @ axes)


_SAGITTAL = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
#: columns: along a row, down a column, the slices' normal
AXES = {
    "axial": np.eye(3),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "sagittal": _SAGITTAL,
    "oblique": turned(_SAGITTAL, 25),
    # the column cosine [0, -1, 0] is where writers that assume [0, 1, 0] mirror front and back
    "column cosine 0 -1 0": np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]], float),
    "rows to the right": np.array([[-1, 0, 0], [0, 1, 0], [0, 0, -1]], float),
}


def sagittal(shape: tuple[int, int, int] = (16, 20, 24), spacing: tuple[float, float, float] = (1, 1, 1)) -> Geometry:
    """A right-handed sagittal grid as scanners write it: i to posterior, j to inferior, k to the right."""
    axes = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
    return Geometry.from_axes(shape, axes, spacing, center_lps_mm=(3, -5, 7), frame_of_reference=FRAME)


def ramp(shape: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """An image in which every voxel has its own value (up to 32,000 voxels)."""
    return np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)


def header(
    *,
    sop_class: str = MR,
    modality: str = "MR",
    study: str = STUDY,
    series: str = SERIES,
    number: int = 1,
    description: str = "T1 sag",
    name: str = "Nobody^Nemo",
) -> FileDataset:
    """What all images of a series share."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.Modality = sop_class, modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SeriesNumber, dataset.SeriesDescription = number, description
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = name, "ZX81-77421", "19470612"
    dataset.Manufacturer, dataset.FrameOfReferenceUID = "Phantom Works", FRAME
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.EchoTime, dataset.RepetitionTime, dataset.FlipAngle, dataset.EchoNumbers = 2.5, 1800, 9, 1
    dataset.MagneticFieldStrength, dataset.SliceThickness, dataset.PatientPosition = 3, 99, "HFS"
    return dataset


def set_pixels(dataset: Dataset, pixels: np.ndarray[Any, Any]) -> None:
    """Store a (rows, columns) or (frames, rows, columns) integer image."""
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = np.ascontiguousarray(pixels).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)


def _text(values: Any) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]


def place(dataset: Dataset, geometry: Geometry, k: int) -> None:
    """Set position, orientation and pixel spacing of slice k."""
    axes, (across, down, _) = geometry.axes_lps, geometry.spacing_mm
    dataset.ImageOrientationPatient = _text([*axes[:, 0], *axes[:, 1]])
    dataset.ImagePositionPatient = _text(geometry.lps_from_ijk((0, 0, k)))
    dataset.PixelSpacing = _text([down, across])


def save(dataset: FileDataset, path: Path, uid: str) -> Path:
    """Write a dataset as a DICOM file with a SOP Instance UID."""
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    array: np.ndarray[Any, Any],
    geometry: Geometry,
    *,
    change: Change | None = None,
    skip: tuple[int, ...] = (),
    uid: str | None = None,
    shuffle: bool = True,
    **shared: Any,
) -> list[Path]:
    """Write a classic series, one file a slice; names and instance numbers run against the slice order."""
    count = array.shape[2]
    paths = []
    for k in range(count):
        if k in skip:
            continue
        dataset = header(**shared)
        place(dataset, geometry, k)
        set_pixels(dataset, array[:, :, k].T)
        turn = (k * 7) % count if shuffle and count % 7 else count - 1 - k
        dataset.InstanceNumber = turn + 1
        if change is not None:
            change(k, dataset)
        base = uid or f"{shared.get('series', SERIES)}.{shared.get('number', 1)}"
        paths.append(save(dataset, folder / f"im{turn:04d}", f"{base}.{k + 1}"))
    return paths


def write_enhanced(
    path: Path, array: np.ndarray[Any, Any], geometry: Geometry, *, order: list[int] | None = None, **shared: Any
) -> Path:
    """Write an enhanced multi-frame MR; ``order`` gives the slice that each frame holds."""
    order = list(range(array.shape[2])) if order is None else order
    dataset = header(sop_class=ENHANCED_MR, **shared)
    for keyword in ("EchoTime", "RepetitionTime", "FlipAngle", "EchoNumbers", "SliceThickness"):
        delattr(dataset, keyword)
    set_pixels(dataset, np.stack([array[:, :, k].T for k in order]))
    dataset.NumberOfFrames = len(order)
    common, measures, orientation, echo = Dataset(), Dataset(), Dataset(), Dataset()
    flat = Dataset()
    place(flat, geometry, 0)
    measures.PixelSpacing, measures.SliceThickness = flat.PixelSpacing, 99
    orientation.ImageOrientationPatient = flat.ImageOrientationPatient
    echo.EffectiveEchoTime = 2.5
    common.PixelMeasuresSequence = Sequence([measures])
    common.PlaneOrientationSequence = Sequence([orientation])
    common.MREchoSequence = Sequence([echo])
    dataset.SharedFunctionalGroupsSequence = Sequence([common])
    frames = []
    for k in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = _text(geometry.lps_from_ijk((0, 0, k)))
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return save(dataset, path, f"{shared.get('series', SERIES)}.900")
