"""Pages of a report as DICOM Secondary Capture images: a series that every archive and viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage

from mediseg.io.dicom.derived import save, series_number, set_file_meta, stamp
from mediseg.io.dicom.origin import Origin

KIND = "report"


def capture_datasets(pages: Sequence[npt.NDArray[np.uint8]], origin: Origin, note: str = "") -> list[Dataset]:
    """Return one Secondary Capture image a page (rows, columns, red green blue), RLE compressed.

    ``note`` stands in the header of each (ImageComments). The pages lie nowhere in the patient, so they get no frame of
    reference; no pixel may name the patient, which is what BurnedInAnnotation NO promises.
    """
    return [_capture(page, n, origin, note) for n, page in enumerate(pages, 1)]


def write_captures(pages: Sequence[npt.NDArray[np.uint8]], folder: Path, origin: Origin, note: str = "") -> list[Path]:
    """Write the pages as ``report_01.dcm`` and on. Raises OutputError."""
    made = capture_datasets(pages, origin, note)
    return [save(one, folder / f"{KIND}_{number:02d}.dcm") for number, one in enumerate(made, 1)]


def _capture(page: npt.NDArray[np.uint8], number: int, origin: Origin, note: str) -> Dataset:
    made = Dataset()
    with config.disable_value_validation():
        made.SOPClassUID = SecondaryCaptureImageStorage
        made.SOPInstanceUID = origin.new_uid(f"{KIND}/instance/{number}")
        made.SeriesInstanceUID = origin.new_uid(f"{KIND}/series")
        made.SeriesNumber = series_number(origin, KIND)
        made.InstanceNumber = number
        made.Modality, made.ConversionType = "OT", "WSD"
        made.ImageType = ["DERIVED", "SECONDARY"]
        made.SeriesDescription = "mediseg report"
        made.BodyPartExamined = str(origin.acquisition.BodyPartExamined)
        made.PatientOrientation = None
        made.BurnedInAnnotation = "NO"
        if note:
            made.ImageComments = note
        made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
        made.Rows, made.Columns, _ = page.shape
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
        made.PixelData = page.tobytes()
        made["PixelData"].VR = "OW"
        set_file_meta(made)
        made.compress(RLELossless, generate_instance_uid=False)
    stamp(made, origin, is_image=False)
    return made
