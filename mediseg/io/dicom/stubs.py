"""Source images as highdicom wants them: only what places and names them, nothing of the patient.

highdicom compares orientations to the letter, logs odd patient names and needs valid values; so it is never given
the source's own header. Patient and study are set afterwards (derived.stamp).
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from mediseg.io.dicom.derived import orientation, pixel_spacing, slice_spacing_mm
from mediseg.io.dicom.origin import Origin, Reference
from mediseg.io.dicom.repair import ds_text


def stubs(origin: Origin, slices: Iterable[int]) -> list[Dataset]:
    """Return the source images of some slices of the grid: one each, or one for all when they are one file's frames.

    In the latter case frame n of the stub is the n-th of ``slices``; ``true_frames`` gives the numbers to write.
    """
    references = [one for k in slices if (one := origin.references[k]) is not None]
    if references and all(one.frame > 0 and one.sop_uid == references[0].sop_uid for one in references):
        return [_multiframe_stub(origin, references)]
    unique = {one.sop_uid: one for one in references}
    return [_stub(origin, one) for one in unique.values()]


_FAMILIAR = frozenset({MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage})
_NAMES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality")
_PLACES = ("Rows", "Columns", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing",
           "SliceThickness", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")  # fmt: skip
_NOBODY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
           "StudyTime", "ReferringPhysicianName")  # fmt: skip


def stub_of(made: Dataset) -> Dataset:
    """Return one of our own derived objects as a source: names and places, nobody's data, no pixels."""
    stub = Dataset()
    for keyword in (*_NAMES, *_PLACES):
        if keyword in made:
            stub.add(made[keyword])
    return _of_nobody(stub)


def _of_nobody(stub: Dataset) -> Dataset:
    for keyword in _NOBODY:
        setattr(stub, keyword, None)
    return stub


def true_frames(origin: Origin, slices: Iterable[int]) -> list[int]:
    """Return the source frame number of each slice (0 where the source is single-frame)."""
    return [one.frame for k in slices if (one := origin.references[k]) is not None]


def name_true_classes(made: Dataset, origin: Origin) -> None:
    """Give references back the SOP classes that highdicom does not know, such as a vendor's private MR class."""
    unfamiliar = {uid: sop_class for sop_class, uid in origin.instances if sop_class not in _FAMILIAR}
    if not unfamiliar:
        return
    found: list[Dataset] = []

    def look(item: Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and str(element.value) in unfamiliar:
            found.append(item)

    made.walk(look)
    for item in found:
        item.ReferencedSOPClassUID = unfamiliar[str(item.ReferencedSOPInstanceUID)]


def _familiar_class(reference: Reference) -> str:
    if reference.sop_class in _FAMILIAR:
        return reference.sop_class
    return str(EnhancedMRImageStorage if reference.frame else MRImageStorage)


def _base(origin: Origin, reference: Reference) -> Dataset:
    columns, rows, _ = origin.grid.shape
    stub = Dataset()
    stub.SOPClassUID, stub.SOPInstanceUID = _familiar_class(reference), reference.sop_uid
    stub.StudyInstanceUID, stub.SeriesInstanceUID = str(origin.common.StudyInstanceUID), origin.series_uid
    stub.FrameOfReferenceUID, stub.Modality = origin.frame_of_reference, "MR"
    stub.Rows, stub.Columns = rows, columns
    _of_nobody(stub)
    if origin.acquisition.get("LossyImageCompression") == "01":
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in origin.acquisition:
                stub.add(origin.acquisition[keyword])
    return stub


def _stub(origin: Origin, reference: Reference) -> Dataset:
    stub = _base(origin, reference)
    stub.ImageOrientationPatient = orientation(origin.grid)
    stub.ImagePositionPatient = [ds_text(v) for v in reference.position_lps_mm]
    stub.PixelSpacing = pixel_spacing(origin.grid)
    stub.SliceThickness = ds_text(slice_spacing_mm(origin.grid))
    return stub


def _multiframe_stub(origin: Origin, references: list[Reference]) -> Dataset:
    stub = _base(origin, references[0])
    stub.NumberOfFrames = len(references)
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing = pixel_spacing(origin.grid)
    measures.SliceThickness = ds_text(slice_spacing_mm(origin.grid))
    plane.ImageOrientationPatient = orientation(origin.grid)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([plane])
    stub.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for one in references:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [ds_text(v) for v in one.position_lps_mm]
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    stub.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return stub
