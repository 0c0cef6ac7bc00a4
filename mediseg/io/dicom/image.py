"""Volumes as derived DICOM MR images of the source's study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from mediseg.geometry import Geometry
from mediseg.io.dicom.derived import (
    code_item,
    orientation,
    pixel_spacing,
    position,
    save,
    series_number,
    slice_spacing_mm,
    stamp,
)
from mediseg.io.dicom.origin import Origin, Reference
from mediseg.io.dicom.pixels import Stored, stored
from mediseg.io.dicom.repair import ds_text
from mediseg.volume import CodedConcept, Volume

_PURPOSE = CodedConcept("121322", "DCM", "Source image for image processing operation")
_HEAD = CodedConcept("69536005", "SCT", "Head")
# rows and columns as films show them, by the patient axis nearest to the slice's normal
_FILM_ORDER = {"L": "PIL", "P": "LIP", "S": "LPS"}


@dataclass(frozen=True, slots=True)
class Derivation:
    """How an image came from its source.

    ``kind`` names UIDs, series and files; ``code`` is of CID 7203; ``pixel_contrast`` and ``technique`` are the words
    of Enhanced MR (PS3.3 C.8.16.1.4, C.8.16.2.1.3); ``flavor`` is value 3 of a classic ImageType.
    """

    kind: str
    description: str
    code: CodedConcept | None = None
    flavor: str = "OTHER"
    pixel_contrast: str = "NONE"
    technique: str = "NONE"
    words: tuple[str, ...] = ()  # further values of a classic ImageType
    anatomy: CodedConcept = _HEAD


MIDSAGITTAL = Derivation(
    "midsagittal", "mid-sagittal plane, resampled by mediseg",
    CodedConcept("113072", "DCM", "Multiplanar reformatting"), "MPR", "RESAMPLED", "MPR",
)  # fmt: skip
MIDSAGITTAL_SLICE = Derivation("midsagittal", "mid-sagittal slice as acquired, chosen by mediseg")
CORRECTED = Derivation(
    "corrected", "divided by the bias field that mediseg estimated",
    CodedConcept("113046", "DCM", "Pixel by pixel division"), "OTHER", "DIVISION",
)  # fmt: skip
STITCHED = Derivation(
    "composite", "stations of a spine aligned, matched and blended by mediseg",
    CodedConcept("113090", "DCM", "Image stitching"), "M", "RESAMPLED", "NONE", ("STITCHED",),
    CodedConcept("421060004", "SCT", "Spine"),
)  # fmt: skip
IMAGE = Derivation("image", "processed by mediseg")


@dataclass(frozen=True, eq=False)
class _Job:
    """One volume on its way into DICOM."""

    data: Stored
    geometry: Geometry
    origin: Origin
    derivation: Derivation

    def references(self, k: int) -> list[Reference]:
        """Source images of slice k: its own on the source's grid, else all."""
        if self.on_source_grid:
            one = self.origin.references[k]
            return [] if one is None else [one]
        return [one for one in self.origin.references if one is not None]

    @property
    def on_source_grid(self) -> bool:
        return self.origin.is_stack and self.geometry.same_grid(self.origin.grid)

    @property
    def thickness_mm(self) -> float:
        """The source's slice thickness on its own grid, where it leaves a gap or none; else the slices' distance.

        Headers that state more than the distance are wrong more often than slices overlap.
        """
        spacing, stated = slice_spacing_mm(self.geometry), self.origin.thickness_mm
        return stated if self.on_source_grid and stated is not None and 0 < stated <= spacing else spacing

    @property
    def slices(self) -> list[int]:
        """Slices to write: an interpolated one is not passed off as an image."""
        return list(self.origin.referenced) if self.on_source_grid else list(range(self.geometry.shape[2]))


def film_order(volume: Volume) -> Volume:
    """Return one slice with its voxels in the order that films show (sagittal: anterior left, superior up).

    A stack of several slices stays as it is. No voxel changes its value or its place.
    """
    if 1 not in volume.geometry.shape:
        return volume
    order, _ = volume.geometry.axis_steps("LPS")
    return volume.reorient(_FILM_ORDER["LPS"[order.index(volume.geometry.shape.index(1))]])


def derived_datasets(volume: Volume, origin: Origin, derivation: Derivation) -> list[Dataset]:
    """Return a volume as derived images: one classic MR object a slice, or one multi-frame object for all.

    Classic MR needs the scanning sequence (Type 1) and Enhanced MR the safety standard's agency; what the source does
    not say is not made up. So the first of these is used that its header allows: classic MR, Enhanced MR, Multi-frame
    Grayscale Word Secondary Capture (which asks for neither, and holds the same geometry). Raises Refusal for NaN or
    for another frame of reference.
    """
    if iod_of(origin) != MRImageStorage:
        return [_multiframe(_job(volume, origin, derivation, _multiframe_iod(origin)))]
    job = _job(volume, origin, derivation, iod_of(origin))
    return [_classic(job, k, number) for number, k in enumerate(job.slices, 1)]


def single_dataset(volume: Volume, origin: Origin, derivation: Derivation) -> Dataset:
    """Return a volume as one object: a classic image for one slice where that can be, else a multi-frame one."""
    job = _job(volume, origin, derivation, iod_of(origin))
    if len(job.slices) == 1 and iod_of(origin) == MRImageStorage:
        return _classic(job, job.slices[0], 1)
    return _multiframe(_job(volume, origin, derivation, _multiframe_iod(origin)))


def write_derived_series(volume: Volume, folder: Path, origin: Origin, derivation: Derivation) -> list[Path]:
    """Write a volume as ``KIND_0001.dcm`` and on, or ``KIND.dcm`` where it is one object. Raises OutputError too."""
    made = derived_datasets(volume, origin, derivation)
    if len(made) == 1:
        return [save(made[0], folder / f"{derivation.kind}.dcm")]
    return [save(one, folder / f"{derivation.kind}_{number:04d}.dcm") for number, one in enumerate(made, 1)]


def iod_of(origin: Origin) -> str:
    """Return the SOP class that the source's header allows a derived image to have."""
    if origin.acquisition.get("ScanningSequence") and origin.acquisition.get("SequenceVariant"):
        return str(MRImageStorage)
    return _multiframe_iod(origin)


def _multiframe_iod(origin: Origin) -> str:
    return str(EnhancedMRImageStorage if _is_enhanced(origin) else MultiFrameGrayscaleWordSecondaryCaptureImageStorage)


def _is_enhanced(origin: Origin) -> bool:
    return bool(origin.acquisition.get("ApplicableSafetyStandardAgency"))


def _job(volume: Volume, origin: Origin, derivation: Derivation, iod: str) -> _Job:
    origin.check_space(volume.geometry)
    is_signed = iod != MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    return _Job(stored(volume.array, is_signed=is_signed), volume.geometry, origin, derivation)


def _classic(job: _Job, k: int, number: int) -> Dataset:
    made = Dataset()
    with config.disable_value_validation():
        for part in job.origin.acquisition:
            made.add(part)
        if "IR" not in str(made.get("ScanningSequence", "")):
            made.pop("InversionTime", None)
        made.pop("ApplicableSafetyStandardAgency", None)
        made.SOPClassUID = MRImageStorage
        made.ImageType = ["DERIVED", "SECONDARY", job.derivation.flavor, *job.derivation.words]
        _identify(made, job, number)
        made.ImagePositionPatient = position(job.geometry, k)
        made.ImageOrientationPatient = orientation(job.geometry)
        made.PixelSpacing = pixel_spacing(job.geometry)
        made.SliceThickness = ds_text(job.thickness_mm)
        made.SpacingBetweenSlices = ds_text(slice_spacing_mm(job.geometry))
        _add_pixels(made, job.data.pixels[k].tobytes(), job)
        if not job.data.is_plain:
            made.RescaleIntercept, made.RescaleSlope, made.RescaleType = job.data.intercept, job.data.slope, "US"
        made.WindowCenter, made.WindowWidth = job.data.window()
        made.DerivationDescription = job.derivation.description
        if job.derivation.code is not None:
            made.DerivationCodeSequence = Sequence([code_item(job.derivation.code)])
        made.SourceImageSequence = Sequence(_source_items(job.references(k)))
    stamp(made, job.origin)
    return made


def _identify(made: Dataset, job: _Job, number: int) -> None:
    kind = job.derivation.kind
    made.SOPInstanceUID = job.origin.new_uid(f"{kind}/instance/{number}")
    made.SeriesInstanceUID = job.origin.new_uid(f"{kind}/series")
    made.SeriesNumber = series_number(job.origin, kind)
    made.InstanceNumber = number
    made.Modality = "MR"
    made.SeriesDescription = f"mediseg {kind}"
    made.BodyPartExamined = str(job.origin.acquisition.BodyPartExamined)
    made.PatientPosition = job.origin.acquisition.get("PatientPosition") or None


def _add_pixels(made: Dataset, data: bytes, job: _Job) -> None:
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Columns, made.Rows, _ = job.geometry.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.PixelRepresentation = int(job.data.is_signed)
    made.PixelData = data
    made["PixelData"].VR = "OW"
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
                    "BurnedInAnnotation"):  # fmt: skip
        if keyword in job.origin.acquisition:
            made.add(job.origin.acquisition[keyword])


def _source_items(references: list[Reference]) -> list[Dataset]:
    """Return items that reference each source instance once, with the frames used of a multi-frame one."""
    frames: dict[tuple[str, str], list[int]] = {}
    for one in references:
        frames.setdefault((one.sop_class, one.sop_uid), []).append(one.frame)
    items = []
    for (sop_class, sop_uid), numbers in frames.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        if min(numbers) > 0:
            item.ReferencedFrameNumber = numbers if len(numbers) > 1 else numbers[0]
        item.PurposeOfReferenceCodeSequence = Sequence([code_item(_PURPOSE)])
        items.append(item)
    return items


def _multiframe(job: _Job) -> Dataset:
    made = Dataset()
    with config.disable_value_validation():
        made.SOPClassUID = _multiframe_iod(job.origin)
        _identify(made, job, 1)
        _add_pixels(made, job.data.pixels[job.slices].tobytes(), job)
        made.PresentationLUTShape = "IDENTITY"
        made.NumberOfFrames = len(job.slices)
        made.SharedFunctionalGroupsSequence = Sequence([_shared_groups(job)])
        made.PerFrameFunctionalGroupsSequence = Sequence(
            [_frame_groups(job, k, number) for number, k in enumerate(job.slices, 1)]
        )
        _add_dimensions(made, job)
        if _is_enhanced(job.origin):
            _finish_enhanced(made, job)
        else:
            _finish_capture(made, job)
    stamp(made, job.origin)
    return made


def _finish_enhanced(made: Dataset, job: _Job) -> None:
    _describe(made, job)
    made.AcquisitionContextSequence = Sequence([])
    made.setdefault("LossyImageCompression", "00")
    made.setdefault("BurnedInAnnotation", "NO")
    made.add(job.origin.acquisition["ApplicableSafetyStandardAgency"])
    made.SourceImageEvidenceSequence = Sequence([_evidence(job)])
    frame_type = Dataset()
    _describe(frame_type, job)
    del frame_type.ImageType, frame_type.ContentQualification
    frame_type.FrameType = _image_type(job)
    transformation = Dataset()
    transformation.RescaleIntercept, transformation.RescaleSlope = job.data.intercept, job.data.slope
    transformation.RescaleType = "US"
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.MRImageFrameTypeSequence = Sequence([frame_type])
    shared.PixelValueTransformationSequence = Sequence([transformation])


def _finish_capture(made: Dataset, job: _Job) -> None:
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY", job.derivation.flavor, *job.derivation.words]
    made.setdefault("BurnedInAnnotation", "NO")
    made.PatientOrientation = patient_orientation(job.geometry)
    # this IOD allows no other modality LUT; the true values stand in a real world value mapping
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence([_real_world(job.data)])
    if made.NumberOfFrames > 1:
        made.FrameIncrementPointer = 0x52009230  # PerFrameFunctionalGroupsSequence


def _real_world(data: Stored) -> Dataset:
    """Return the mapping from stored pixels to the values they stand for."""
    mapping = Dataset()
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, 32767
    for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
        mapping[keyword].VR = "US"
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = float(data.intercept), float(data.slope)
    mapping.LUTExplanation, mapping.LUTLabel = "signal as in the source", "SIGNAL"
    mapping.MeasurementUnitsCodeSequence = Sequence([code_item(CodedConcept("1", "UCUM", "no units"))])
    return mapping


def patient_orientation(geometry: Geometry) -> list[str]:
    """Return PatientOrientation of a grid: where columns and rows increase to, such as P and F."""
    letters = {"L": "L", "R": "R", "A": "A", "P": "P", "S": "H", "I": "F"}
    return [letters[code] for code in geometry.codes[:2]]


def _image_type(job: _Job) -> list[str]:
    return ["DERIVED", "PRIMARY", "VOLUME", job.derivation.pixel_contrast]


def _describe(made: Dataset, job: _Job) -> None:
    """Set what the whole image and each frame state alike (Enhanced MR Image, MR Image Frame Type)."""
    made.ImageType = _image_type(job)
    made.PixelPresentation = "MONOCHROME"
    made.VolumetricProperties = "VOLUME"
    made.VolumeBasedCalculationTechnique = job.derivation.technique
    made.ComplexImageComponent = "MAGNITUDE"
    made.AcquisitionContrast = "UNKNOWN"
    made.ContentQualification = "RESEARCH"


def _shared_groups(job: _Job) -> Dataset:
    groups, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = pixel_spacing(job.geometry)
    measures.SliceThickness = ds_text(job.thickness_mm)
    measures.SpacingBetweenSlices = ds_text(slice_spacing_mm(job.geometry))
    plane.ImageOrientationPatient = orientation(job.geometry)
    window, anatomy = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = job.data.window(is_stored=not _is_enhanced(job.origin))
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = Sequence([code_item(job.derivation.anatomy)])
    groups.PixelMeasuresSequence = Sequence([measures])
    groups.PlaneOrientationSequence = Sequence([plane])
    groups.FrameVOILUTSequence = Sequence([window])
    groups.FrameAnatomySequence = Sequence([anatomy])
    return groups


def _frame_groups(job: _Job, k: int, number: int) -> Dataset:
    groups, content, place, derivation = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID = "1"
    content.InStackPositionNumber = number
    content.DimensionIndexValues = [1, number]
    place.ImagePositionPatient = position(job.geometry, k)
    derivation.DerivationDescription = job.derivation.description
    if job.derivation.code is not None:
        derivation.DerivationCodeSequence = Sequence([code_item(job.derivation.code)])
    derivation.SourceImageSequence = Sequence(_source_items(job.references(k)))
    groups.FrameContentSequence = Sequence([content])
    groups.PlanePositionSequence = Sequence([place])
    groups.DerivationImageSequence = Sequence([derivation])
    return groups


def _add_dimensions(made: Dataset, job: _Job) -> None:
    organisation = Dataset()
    organisation.DimensionOrganizationUID = job.origin.new_uid(f"{job.derivation.kind}/dimensions")
    indices = []
    for pointer, label in ((0x00209056, "Stack"), (0x00209057, "Position")):  # StackID, InStackPositionNumber
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = 0x00209111  # FrameContentSequence
        index.DimensionDescriptionLabel = label
        indices.append(index)
    made.DimensionOrganizationSequence = Sequence([organisation])
    made.DimensionIndexSequence = Sequence(indices)


def _evidence(job: _Job) -> Dataset:
    """Return the study, series and instances that all frames were derived from."""
    study, series = Dataset(), Dataset()
    items = []
    for sop_class, sop_uid in job.origin.instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        item.PurposeOfReferenceCodeSequence = Sequence([code_item(_PURPOSE)])
        items.append(item)
    series.SeriesInstanceUID = job.origin.series_uid
    series.ReferencedSOPSequence = Sequence(items)
    study.StudyInstanceUID = str(job.origin.common.StudyInstanceUID)
    study.ReferencedSeriesSequence = Sequence([series])
    return study
