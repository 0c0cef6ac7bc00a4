"""What every derived object has in common: whose it is, who made it and when, and how it reaches the disk."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from mediseg import __version__
from mediseg.geometry import Geometry
from mediseg.io.atomic import write_bytes_atomically
from mediseg.io.dicom.origin import Origin
from mediseg.io.dicom.repair import FRAME_OF_REFERENCE, ds_text
from mediseg.io.dicom.uids import IMPLEMENTATION_CLASS_UID
from mediseg.volume import CodedConcept

MANUFACTURER = "mediseg"
MODEL = "mediseg"
# kinds of derived objects and their place in the study: series number = 100 * the source's + this
SERIES_OFFSETS = {"brain_seg": 1, "callosum_seg": 2, "parts_seg": 3, "measurements_sr": 4, "midsagittal": 5,
                  "corrected": 6, "segmentation": 7, "image": 8, "report": 9, "composite": 10,
                  "report_pdf": 11}  # fmt: skip
_LARGEST_SERIES = 20_000_000


def code_item(concept: CodedConcept) -> Dataset:
    """Return a code sequence item."""
    item = Dataset()
    item.CodeValue = concept.value
    item.CodingSchemeDesignator = concept.scheme
    item.CodeMeaning = concept.meaning[:64]
    return item


def series_number(origin: Origin, kind: str) -> int:
    """Return the series number of a kind of object, near the source's own."""
    base = origin.series_number if 0 < origin.series_number < _LARGEST_SERIES else 0
    return 100 * base + SERIES_OFFSETS.get(kind, 10)


def stamp(dataset: Dataset, origin: Origin, *, is_image: bool = True) -> None:
    """Set patient, study, frame of reference (of an image), equipment and times of a derived object."""
    with config.disable_value_validation():
        dataset.pop("SpecificCharacterSet", None)
        for part in origin.common:
            if is_image or part.keyword not in FRAME_OF_REFERENCE:
                dataset.add(part)
        dataset.Manufacturer = MANUFACTURER
        dataset.ManufacturerModelName = MODEL
        dataset.SoftwareVersions = __version__
        dataset.DeviceSerialNumber = __version__
        dataset.pop("ContributingEquipmentSequence", None)
        if origin.equipment.get("Manufacturer"):
            scanner = Dataset()
            for part in origin.equipment:
                scanner.add(part)
            scanner.PurposeOfReferenceCodeSequence = Sequence(
                [code_item(CodedConcept("109101", "DCM", "Acquisition Equipment"))]
            )
            dataset.ContributingEquipmentSequence = Sequence([scanner])
        _set_times(dataset, origin)
    set_file_meta(dataset)


def _set_times(dataset: Dataset, origin: Origin) -> None:
    """Set when the object was made: now, or (for reproducible files) the study's own date and time."""
    if origin.options.deterministic_uids:
        date, time = str(origin.common.get("StudyDate") or "19700101"), str(origin.common.get("StudyTime") or "000000")
    else:
        now = datetime.now(UTC).astimezone()
        date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
        dataset.TimezoneOffsetFromUTC = now.strftime("%z")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.ContentDate, dataset.ContentTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time


def set_file_meta(dataset: Dataset) -> None:
    """Set the file's header: Explicit VR Little Endian, unless the pixels are compressed already."""
    old = getattr(dataset, "file_meta", None)
    packed = old is not None and old.TransferSyntaxUID.is_compressed
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(str(dataset.SOPClassUID))
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.SOPInstanceUID))
    meta.TransferSyntaxUID = old.TransferSyntaxUID if old is not None and packed else ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"MEDISEG_{__version__}"[:16]
    dataset.file_meta = meta


def save(dataset: Dataset, path: Path) -> Path:
    """Write an object as a DICOM file, atomically. Raises OutputError."""
    buffer = io.BytesIO()
    with config.disable_value_validation():
        dataset.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=True)
    write_bytes_atomically(path, buffer.getvalue())
    return path


def orientation(geometry: Geometry) -> list[str]:
    """Return ImageOrientationPatient of a grid: the direction of i (along a row), then of j (down a column)."""
    axes = geometry.axes_lps
    return [ds_text(float(v)) for v in [*axes[:, 0], *axes[:, 1]]]


def pixel_spacing(geometry: Geometry) -> list[str]:
    """Return PixelSpacing of a grid: between rows (along j), then between columns (along i)."""
    i, j, _ = geometry.spacing_mm
    return [ds_text(j), ds_text(i)]


def slice_spacing_mm(geometry: Geometry) -> float:
    """Return the distance between neighbouring slices along their normal (less than along k under a tilt)."""
    normal = np.cross(geometry.axes_lps[:, 0], geometry.axes_lps[:, 1])
    return abs(float(normal @ geometry.affine_lps[:3, 2])) / float(np.linalg.norm(normal))


def position(geometry: Geometry, k: int) -> list[str]:
    """Return ImagePositionPatient of slice k: the centre of its first voxel."""
    return [ds_text(float(v)) for v in geometry.lps_from_ijk((0, 0, k))]
