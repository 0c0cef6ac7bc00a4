"""A DICOM header as plain data: one Image record a slice, classic or one frame of an enhanced multi-frame file."""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import pydicom
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from mediseg.io.dicom.attributes import first_text, items, number, numbers, tag_of, text, texts, value, whole
from mediseg.io.dicom.deflated import check_unpacked_size
from mediseg.io.dicom.elements import wanted_elements
from mediseg.io.identity import Identity, readings
from mediseg.io.study import Fact, SeriesInfo, Slice

DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_GE_COMPONENT = Tag(0x0043, 0x102F)  # GEMS_PARM_01: 0 magnitude, 1 phase, 2 real, 3 imaginary
_PHILIPS_SCALE_SLOPE = Tag(0x2005, 0x100E)
_SIEMENS_FRAME_GROUP, _SIEMENS_IMAGE_TYPE = Tag(0x0021, 0x11FE), Tag(0x0021, 0x1175)  # XA: ImageType with NORM in it
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_LABEL = 64  # of a Long String (PS3.5, 6.2)
_COMPONENTS = {"M": "M", "MAGNITUDE": "M", "P": "P", "PHASE": "P", "R": "R", "REAL": "R", "I": "I", "IMAGINARY": "I"}

_IDENTITY = (
    "PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "OtherPatientNames", "PatientBirthName",
)  # fmt: skip
_KEYWORDS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer",
    "ManufacturerModelName", "SeriesDescription", "BodyPartExamined", "ScanningSequence", "MRAcquisitionType",
    "SequenceName", "PulseSequenceName", "SliceThickness", "RepetitionTime", "EchoTime", "EffectiveEchoTime",
    "InversionTime",
    "EchoNumbers", "MagneticFieldStrength", "SpacingBetweenSlices", "FlipAngle", "PatientPosition",
    "TriggerTime", "ProtocolName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID",
    "TemporalPositionIdentifier", "AcquisitionTime", "ContentTime", "Rows", "Columns", "PixelSpacing",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BurnedInAnnotation",
    "ComplexImageComponent", "DiffusionBValue", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PixelPaddingValue", "RescaleSlope",
)  # fmt: skip
TAGS = [
    *map(Tag, (*_IDENTITY, *_KEYWORDS)),
    Tag(0x0043, 0x0010),
    _GE_COMPONENT,
    Tag(0x2005, 0x0010),
    _PHILIPS_SCALE_SLOPE,
]
_WANTED = {int(tag): tag for tag in TAGS}

# What may tell repetitions of one position apart, strongest first
REPETITION_KEYS = (
    "temporal",
    "acquisition",
    "b_value",
    "inversion",
    "repetition",
    "flip",
    "trigger",
    "time",
    "content",
)


@dataclass(frozen=True, slots=True)
class Image:
    """One slice as its header describes it; None where the header does not say or cannot be parsed."""

    slice: Slice
    info: SeriesInfo
    rows: int
    columns: int
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, float] | None  # (between rows, between columns), as PixelSpacing
    image_type: tuple[str, ...]
    component: str
    echo: tuple[float | None, str]  # time in ms, number
    repetition: tuple[str, ...]  # values of REPETITION_KEYS
    thickness_mm: float | None
    between_slices_mm: float | None
    frame_of_reference: str | None
    burned_in: bool
    colors: int
    is_inverted: bool  # small values are to be shown white
    frames: int  # in a file that gives no position for each: then more than one has no place
    facts: Mapping[str, Fact]
    problem: str | None = None  # why it has no place, as found when the file was read
    patient: bytes = field(default=b"", repr=False)  # a digest, to keep people apart whose images share a UID

    @property
    def is_mosaic(self) -> bool:
        """True for a Siemens mosaic that is not cut apart."""
        return "MOSAIC" in self.image_type and not self.slice.tile and not self.slice.frame


@contextmanager
def tolerant() -> Iterator[None]:
    """Read what a header says although it breaks a rule; pydicom's warnings would name files and values."""
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        yield


def read_header(stream: BinaryIO) -> Dataset:
    """Parse a header up to the pixels, only the attributes that are needed. Raises ValueError for a deflated bomb."""
    quick = wanted_elements(stream, _WANTED)
    if quick is not None:
        return quick
    check_unpacked_size(stream)
    return pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=TAGS)


def identity_of(dataset: Dataset) -> Identity:
    """Return the words of the patient's names, IDs and birth date, for recognition only.

    A name counts as it is decoded by SpecificCharacterSet, and in case that is missing or wrong, as it may be meant.
    """
    found = [one for keyword in _IDENTITY if (one := dataset.get_item(tag_of(keyword))) is not None]
    raw: list[RawDataElement] = []
    for one in found:
        if not isinstance(one, RawDataElement):
            return _identity(dataset)
        raw.append(one._replace(value_tell=0))  # where it stood in the file is no part of what it says
    encodings = dataset.original_character_set or "iso8859"
    return _identity_in(tuple(raw), (encodings,) if isinstance(encodings, str) else tuple(encodings))


@lru_cache(maxsize=64)  # all files of a study say the same
def _identity_in(elements: tuple[RawDataElement, ...], encodings: tuple[str, ...]) -> Identity:
    dataset = Dataset({one.tag: one for one in elements})
    dataset.set_original_encoding(None, None, list(encodings))
    return _identity(dataset)


def _identity(dataset: Dataset) -> Identity:
    values: list[str] = []
    for keyword in _IDENTITY:
        for one in _several(value(dataset, tag_of(keyword))):
            values.append(str(one))
            if isinstance(one, PersonName):
                values += readings(one.original_string or b"")
    return Identity.of(values)


@cache
def _safe(identity: Identity, text: str) -> str:
    return _label(identity.safe(text))


def _label(text: str) -> str:
    """Return as much of a text as is one: a wrong length swallows the attributes that follow, names among them."""
    return _CONTROL.split(text, maxsplit=1)[0][:_LONGEST_LABEL].strip()


def _several(content: object) -> list[object]:
    if content is None:
        return []
    return list(content) if isinstance(content, MultiValue | list | tuple) else [content]


def images_of(dataset: Dataset, file: Path, identity: Identity) -> list[Image]:
    """Return the images that a header describes: one, or one a frame."""
    info = _info(dataset, identity)
    if items(dataset, "PerFrameFunctionalGroupsSequence"):
        return list(_frames(dataset, file, info))
    return [_image([dataset], dataset, _slice([dataset], dataset, file, 0), info, _facts([dataset], info))]


def _frames(dataset: Dataset, file: Path, info: SeriesInfo) -> Iterator[Image]:
    shared = [part for item in items(dataset, "SharedFunctionalGroupsSequence")[:1] for part in _inner(item)]
    known: dict[object, Mapping[str, Fact]] = {}
    for frame, item in enumerate(items(dataset, "PerFrameFunctionalGroupsSequence"), start=1):
        levels = [*_inner(item), *shared, dataset]
        key = (_echo_ms(levels), *_repetition(levels)[3:6])
        if key not in known:
            known[key] = _facts(levels, info)
        yield _image(levels, dataset, _slice(levels, dataset, file, frame), info, known[key])


def _inner(item: Dataset) -> list[Dataset]:
    """The first item of every functional group of a frame, so that one look-up finds an attribute in any."""
    found = [value(item, tag) for tag in list(item.keys())]
    return [one[0] for one in found if isinstance(one, Sequence) and one]


def _info(dataset: Dataset, identity: Identity) -> SeriesInfo:
    sequence = text(dataset, "PulseSequenceName") or text(dataset, "SequenceName")
    return SeriesInfo(
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        number=whole(dataset, "SeriesNumber"),
        description=_safe(identity, text(dataset, "SeriesDescription") or text(dataset, "ProtocolName")),
        modality=text(dataset, "Modality").upper(),
        sop_class=text(dataset, "SOPClassUID"),
        manufacturer=_safe(identity, text(dataset, "Manufacturer")),
        sequence=_safe(identity, sequence or "\\".join(texts(dataset, "ScanningSequence"))),
        body_part=_safe(identity, text(dataset, "BodyPartExamined").upper()),
    )


def _slice(levels: list[Dataset], dataset: Dataset, file: Path, frame: int) -> Slice:
    position = numbers(levels, "ImagePositionPatient", 3)
    instance = frame if frame else (whole(dataset, "InstanceNumber") or 0)
    where = (position[0], position[1], position[2]) if position else None
    return Slice(file, text(dataset, "SOPInstanceUID"), frame, instance, where)


def _image(levels: list[Dataset], dataset: Dataset, one: Slice, info: SeriesInfo, facts: Mapping[str, Fact]) -> Image:
    spacing = numbers(levels, "PixelSpacing", 2)
    image_type = _image_type(levels, dataset)
    return Image(
        slice=one,
        info=info,
        rows=whole(dataset, "Rows") or 0,
        columns=whole(dataset, "Columns") or 0,
        orientation=numbers(levels, "ImageOrientationPatient", 6),
        spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        image_type=image_type,
        component=_component(levels, dataset, image_type),
        echo=(_echo_ms(levels), first_text(levels, "EchoNumbers")),
        repetition=_repetition(levels),
        thickness_mm=number(levels, "SliceThickness"),
        between_slices_mm=number(levels, "SpacingBetweenSlices"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID") or None,
        burned_in=text(dataset, "BurnedInAnnotation").upper() == "YES",
        colors=3 if "PALETTE" in text(dataset, "PhotometricInterpretation") else whole(dataset, "SamplesPerPixel") or 1,
        is_inverted=_is_inverted(dataset),
        frames=1 if one.frame else whole(dataset, "NumberOfFrames") or 1,
        facts=facts,
        patient=_patient(dataset),
    )


def _patient(dataset: Dataset) -> bytes:
    """Return a digest of the patient's ID, or of the name where there is none."""
    said = text(dataset, "PatientID") or text(dataset, "PatientName")
    return hashlib.sha256(said.casefold().encode("utf-8", "surrogatepass")).digest()


def _image_type(levels: list[Dataset], dataset: Dataset) -> tuple[str, ...]:
    """ImageType or FrameType; Siemens XA keeps NORM and DIS2D in a private copy, whose extra words are appended."""
    kinds = next((found for level in levels if (found := texts(level, "FrameType"))), texts(dataset, "ImageType"))
    for level in levels:
        if _SIEMENS_IMAGE_TYPE in level:
            words = [str(word) for word in _several(value(level, _SIEMENS_IMAGE_TYPE))]
            return (*kinds, *(word for word in words if word not in kinds))
    return kinds


def _component(levels: list[Dataset], dataset: Dataset, image_type: tuple[str, ...]) -> str:
    coded = value(dataset, _GE_COMPONENT)
    if isinstance(coded, int) and 0 <= coded <= 3:
        return "MPRI"[coded]
    stated = first_text(levels, "ComplexImageComponent").upper()
    if stated in _COMPONENTS:
        return _COMPONENTS[stated]
    # The third and later values: ORIGINAL\PRIMARY\P\ND (Siemens), ORIGINAL\PRIMARY\PHASE MAP\P\FFE (Philips)
    return next((_COMPONENTS[word] for word in image_type[2:] if word in _COMPONENTS), "M")


def _echo_ms(levels: list[Dataset]) -> float | None:
    time = number(levels, "EffectiveEchoTime")
    time = number(levels, "EchoTime") if time is None else time
    return None if time is None else round(time, 2)


def _repetition(levels: list[Dataset]) -> tuple[str, ...]:
    return (
        first_text(levels, "TemporalPositionIndex") or first_text(levels, "TemporalPositionIdentifier"),
        first_text(levels, "FrameAcquisitionNumber") or first_text(levels, "AcquisitionNumber"),
        first_text(levels, "DiffusionBValue"),
        first_text(levels, "InversionTimes") or first_text(levels, "InversionTime"),
        first_text(levels, "RepetitionTime"),
        first_text(levels, "FlipAngle"),
        first_text(levels, "NominalCardiacTriggerDelayTime") or first_text(levels, "TriggerTime"),
        first_text(levels, "AcquisitionTime"),
        first_text(levels, "ContentTime"),
    )


def _facts(levels: list[Dataset], info: SeriesInfo) -> Mapping[str, Fact]:
    """Sequence facts for the report; none of them identifies a person."""
    quantities = {
        "echo_time_ms": _echo_ms(levels),
        "repetition_time_ms": number(levels, "RepetitionTime"),
        "inversion_time_ms": number(levels, "InversionTimes") or number(levels, "InversionTime"),
        "flip_angle_deg": number(levels, "FlipAngle"),
        "field_strength_t": number(levels, "MagneticFieldStrength"),
        "slice_thickness_mm": number(levels, "SliceThickness"),
        "spacing_between_slices_mm": number(levels, "SpacingBetweenSlices"),
        "series_number": info.number,
        **_philips_scaling(levels),
        "pixel_padding_value": number(levels, "PixelPaddingValue") or None,
    }
    words = {
        "patient_position": _label(first_text(levels, "PatientPosition")),
        "acquisition": _label(first_text(levels, "MRAcquisitionType")),
        "shown_inverted": "yes" if _is_inverted(levels[-1]) else "",
        "model": _label(first_text(levels, "ManufacturerModelName")),
        "series_description": info.description,
        "body_part": info.body_part,
    }
    facts: dict[str, Fact] = {name: value for name, value in quantities.items() if value is not None}
    facts.update({name: text for name, text in words.items() if text})
    return MappingProxyType(facts)


def _is_inverted(dataset: Dataset) -> bool:
    return text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"


def _philips_scaling(levels: list[Dataset]) -> dict[str, float | None]:
    """What turns the values of a Philips image into its "precise" ones: value / (rescale slope * scale slope)."""
    found = [value(level, _PHILIPS_SCALE_SLOPE) for level in levels if _PHILIPS_SCALE_SLOPE in level]
    if not found or not isinstance(found[0], int | float) or not math.isfinite(found[0]):
        return {}
    return {"philips_scale_slope": float(found[0]), "rescale_slope": number(levels, "RescaleSlope")}
