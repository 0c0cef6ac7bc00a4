"""A phantom written as if a scanner had made it: an original MR series, with nobody in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from mediseg import __version__
from mediseg.io.dicom.derived import (
    MANUFACTURER,
    orientation,
    pixel_spacing,
    position,
    save,
    set_file_meta,
    slice_spacing_mm,
)
from mediseg.io.dicom.pixels import stored
from mediseg.io.dicom.repair import ds_text
from mediseg.io.dicom.uids import derived_uid, random_uid
from mediseg.volume import Volume


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    """What stands in a phantom's headers instead of a person. ``seed`` fixes the UIDs; None draws new ones."""

    patient_name: str = "PHANTOM^HEAD"
    patient_id: str = "PHANTOM-HEAD"
    description: str = "mediseg phantom"
    series_description: str = "T1 phantom"
    series_number: int = 1
    date: str = "20260101"
    seed: str | None = "mediseg phantom"
    repetition_time_ms: float = 2300.0
    echo_time_ms: float = 2.98
    inversion_time_ms: float = 900.0
    body_part: str = "HEAD"
    sequence: tuple[str, ...] = ("GR", "IR")
    variant: tuple[str, ...] = ("SP", "MP")
    is_3d: bool = True


def write_mr_study(volume: Volume, folder: Path, study: PhantomStudy | None = None) -> list[Path]:
    """Write a volume as an original MR series, one file a slice along k, and return the files in slice order.

    The volume's i runs along rows and j down columns; ``volume.reorient("PIR")`` beforehand makes a sagittal series,
    ``"LPS"`` an axial one. Whole numbers of 16 bits are stored as they are, others are scaled and carry the rescale
    slope. Raises Refusal for NaN, OutputError.
    """
    about = study or PhantomStudy()
    data, geometry = stored(volume.array), volume.geometry
    shared = _shared(volume, about)
    written = []
    for k in range(geometry.shape[2]):
        made = Dataset()
        made.update(shared)
        made.SOPInstanceUID = _uid(about, f"series {about.series_number} instance {k + 1}")
        made.InstanceNumber = k + 1
        made.ImagePositionPatient = position(geometry, k)
        if not data.is_plain:
            made.RescaleIntercept, made.RescaleSlope, made.RescaleType = data.intercept, data.slope, "US"
        made.WindowCenter, made.WindowWidth = data.window()
        made.PixelData = data.pixels[k].tobytes()
        made["PixelData"].VR = "OW"
        set_file_meta(made)
        written.append(save(made, folder / f"{k + 1:04d}.dcm"))
    return written


def _uid(about: PhantomStudy, kind: str) -> str:
    return random_uid() if about.seed is None else derived_uid(about.seed, kind)


def _shared(volume: Volume, about: PhantomStudy) -> Dataset:
    """Return what all images of the series have in common."""
    geometry = volume.geometry
    made = Dataset()
    made.SOPClassUID = MRImageStorage
    made.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    made.PatientName, made.PatientID = about.patient_name, about.patient_id
    made.PatientBirthDate, made.PatientSex = "", "O"
    made.StudyInstanceUID, made.SeriesInstanceUID = _uid(about, "study"), _uid(about, f"series {about.series_number}")
    made.FrameOfReferenceUID = geometry.frame_of_reference or _uid(about, "frame of reference")
    made.PositionReferenceIndicator = ""
    made.StudyDate = made.SeriesDate = made.AcquisitionDate = made.ContentDate = about.date
    made.StudyTime = made.SeriesTime = made.AcquisitionTime = made.ContentTime = "120000"
    made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = "1", "", ""
    made.StudyDescription, made.SeriesDescription = about.description, about.series_description
    made.SeriesNumber, made.AcquisitionNumber = about.series_number, 1
    made.Modality, made.BodyPartExamined, made.PatientPosition = "MR", about.body_part, "HFS"
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = MANUFACTURER, "phantom", __version__
    made.ScanningSequence, made.SequenceVariant = list(about.sequence), list(about.variant)
    made.ScanOptions, made.MRAcquisitionType = "", "3D" if about.is_3d else "2D"
    made.RepetitionTime, made.EchoTime = ds_text(about.repetition_time_ms), ds_text(about.echo_time_ms)
    made.EchoTrainLength = "1"
    if "IR" in about.sequence:
        made.InversionTime = ds_text(about.inversion_time_ms)
    made.FlipAngle, made.MagneticFieldStrength = "9", "3"
    made.ImageOrientationPatient = orientation(geometry)
    made.PixelSpacing = pixel_spacing(geometry)
    made.SliceThickness = made.SpacingBetweenSlices = ds_text(slice_spacing_mm(geometry))
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Columns, made.Rows, _ = geometry.shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.BurnedInAnnotation = "NO"
    return made
