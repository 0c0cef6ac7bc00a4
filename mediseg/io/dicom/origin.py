"""The study that derived objects belong to: its header, repaired, and which image each slice of the grid was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import UID, EnhancedMRImageStorage, MRImageStorage

from mediseg.errors import InputError, Refusal, UsageError, Warn
from mediseg.geometry import Array, Geometry
from mediseg.io.dicom.find import Files
from mediseg.io.dicom.repair import (
    EQUIPMENT,
    FRAME_OF_REFERENCE,
    GEOMETRY,
    MR_ACQUISITION,
    PATIENT_AND_STUDY,
    character_set,
    copied,
    repair_warning,
    text_values,
)
from mediseg.io.dicom.uids import DicomOptions, derived_uid, uid_maker
from mediseg.volume import Source

_GONE = "source images are missing: the files were moved or changed while mediseg ran; run again"
_POSITION_TOLERANCE = 0.1  # of the slice spacing: an image nearer than that is the one of a slice of the grid


@dataclass(frozen=True, slots=True)
class Reference:
    """One source image: an instance, for a multi-frame one the 1-based frame, and the centre of its first voxel."""

    sop_class: str
    sop_uid: str
    frame: int
    position_lps_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Origin:
    """What derived objects take from their source.

    ``common``: patient, study and frame of reference, repaired. ``equipment`` and ``acquisition``: of the scanner.
    ``references[k]``: the image of slice k of ``grid``, None where there is none. ``is_stack``: the images lie as the
    grid says, so that positions may be referenced image by image (false for a mosaic). ``thickness_mm``: of a slice, as
    the source states it.
    """

    common: Dataset
    equipment: Dataset
    acquisition: Dataset
    series_uid: str
    series_number: int
    grid: Geometry
    references: tuple[Reference | None, ...]
    is_stack: bool
    thickness_mm: float | None
    options: DicomOptions
    new_uid: Callable[[str], str]
    warnings: tuple[Warn, ...] = field(default=())

    @property
    def frame_of_reference(self) -> str:
        """The frame of reference that everything derived lies in."""
        return str(self.common.FrameOfReferenceUID)

    @property
    def referenced(self) -> tuple[int, ...]:
        """Slices of the grid that have an image."""
        return tuple(k for k, one in enumerate(self.references) if one is not None)

    @property
    def instances(self) -> tuple[tuple[str, str], ...]:
        """(SOP class, SOP instance) of every source image, each once."""
        return tuple(dict.fromkeys((one.sop_class, one.sop_uid) for one in self.references if one is not None))

    def check_space(self, geometry: Geometry) -> None:
        """Raise Refusal when a grid lies in another frame of reference than the source."""
        known = self.grid.frame_of_reference
        if geometry.frame_of_reference is not None and known is not None and geometry.frame_of_reference != known:
            raise Refusal(
                "the result and the DICOM source have different frames of reference, so the derived DICOM would lie at"
                " a wrong place; register them first"
            )


def read_origin(source: Source | None, options: DicomOptions) -> Origin:
    """Read the headers of a volume's source files again, for writing objects that belong to its study.

    Raises UsageError when the source is not DICOM, InputError when its files are gone or changed.
    """
    if source is None or source.kind != "dicom" or source.grid is None or not source.files:
        raise UsageError("DICOM can only be derived from a DICOM source: give source=, or write NIfTI (.nii.gz)")
    headers = _headers(source)
    first = headers[next(uid for uid in source.sop_uids if uid)]
    notes: list[str] = []
    parts: list[Dataset] = []
    for keywords in ({**PATIENT_AND_STUDY, **FRAME_OF_REFERENCE}, EQUIPMENT, MR_ACQUISITION, GEOMETRY):
        part, repaired = copied(first, keywords)
        parts.append(part)
        notes += repaired
    common, equipment, acquisition, _geometry = parts
    series_uid = source.series_uid or derived_uid(str(common.get("StudyInstanceUID") or ""), "SeriesInstanceUID")
    if not source.series_uid:
        notes.append("SeriesInstanceUID: missing")
    notes += _complete(common, acquisition, series_uid, first)
    references, is_stack = _references(source, source.grid, headers)
    number = text_values(first, "SeriesNumber")
    return Origin(
        common=common,
        equipment=equipment,
        acquisition=acquisition,
        series_uid=series_uid,
        series_number=int(number[0]) if number and number[0].isdigit() else 0,
        grid=source.grid,
        references=references,
        is_stack=is_stack,
        thickness_mm=float(stated)
        if isinstance(stated := source.facts.get("slice_thickness_mm"), int | float)
        else None,
        options=options,
        new_uid=uid_maker(options, series_uid),
        warnings=repair_warning(notes),
    )


def _headers(source: Source) -> dict[str, Dataset]:
    """Return the headers of the files that the slices came from, by SOP Instance UID."""
    wanted = {uid for uid in source.sop_uids if uid}
    found: dict[str, Dataset] = {}
    with config.disable_value_validation(), Files() as files:
        for path in source.files:
            try:
                with files.open(path) as stream:
                    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            except OSError as error:
                raise InputError(_GONE) from error
            uid = "".join(text_values(header, "SOPInstanceUID"))
            if uid in wanted and uid not in found:
                found[uid] = header
    if wanted - found.keys() or not wanted:
        raise InputError(_GONE)
    return found


def _complete(common: Dataset, acquisition: Dataset, series_uid: str, header: Dataset) -> list[str]:
    """Fill in what must stand in a derived object and the source does not say (see MADE_UP)."""
    notes: list[str] = []
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not common.get(keyword):
            setattr(common, keyword, derived_uid(series_uid, keyword))
            notes.append(f"{keyword}: missing")
    if common.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in common:
        common.DeidentificationMethod = "not stated by the source"
    if "BodyPartExamined" not in acquisition:
        acquisition.BodyPartExamined = "HEAD"
    if acquisition.get("LossyImageCompression") == "01" and not (
        acquisition.get("LossyImageCompressionRatio") and acquisition.get("LossyImageCompressionMethod")
    ):
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            acquisition.pop(keyword, None)
    terms, repaired = character_set(header, (common, acquisition))
    if terms:
        common.SpecificCharacterSet = terms
    return [*notes, *repaired]


def _references(
    source: Source, grid: Geometry, headers: dict[str, Dataset]
) -> tuple[tuple[Reference | None, ...], bool]:
    """Return each slice's image, with its place on the grid, and whether the images lie there by their own headers."""
    count = grid.shape[2]
    uids = source.sop_uids if len(source.sop_uids) == count else source.sop_uids[:1] * count
    expected = grid.lps_from_ijk(np.stack([np.zeros(count), np.zeros(count), np.arange(count)], axis=1))
    stated = [_position(headers, uid, _frame(source, k)) for k, uid in enumerate(uids)]
    allowed = _POSITION_TOLERANCE * grid.spacing_mm[2]
    distances = [
        np.inf if point is None else float(np.abs(point - expected[k]).max())
        for k, point in enumerate(stated)
        if uids[k]
    ]
    is_stack = bool(distances) and max(distances) <= allowed and _same_matrix(headers, uids, grid)
    references: list[Reference | None] = []
    for k, uid in enumerate(uids):
        if uid is None:
            references.append(None)
            continue
        # the grid's own place, not the header's, which may be rounded unevenly: results were made on the grid, and
        # readers of 3-D objects want equal steps
        x, y, z = (float(v) for v in expected[k])
        frame = _frame(source, k)
        named = "".join(text_values(headers[uid], "SOPClassUID")) or str(source.sop_class)
        usual = EnhancedMRImageStorage if frame else MRImageStorage
        sop_class = named if UID(named).is_valid else str(usual)
        references.append(Reference(sop_class, uid, frame, (x, y, z)))
    return tuple(references), is_stack


def _frame(source: Source, k: int) -> int:
    return source.frames[k] if k < len(source.frames) else 0


def _same_matrix(headers: dict[str, Dataset], uids: tuple[str | None, ...], grid: Geometry) -> bool:
    columns, rows, _ = grid.shape
    return all(
        (int(headers[uid].get("Columns", 0)), int(headers[uid].get("Rows", 0))) == (columns, rows)
        for uid in dict.fromkeys(uids)
        if uid
    )


def _position(headers: dict[str, Dataset], uid: str | None, frame: int) -> Array | None:
    """Return the position that an image or a frame states, None where there is none."""
    if uid is None:
        return None
    header = headers[uid]
    place = _frame_place(header, frame) if frame and "PerFrameFunctionalGroupsSequence" in header else header
    values = text_values(place, "ImagePositionPatient") if place is not None else []
    try:
        point = np.array([float(value) for value in values])
    except ValueError:
        return None
    return point if point.shape == (3,) else None


def _frame_place(header: Dataset, frame: int) -> Dataset | None:
    groups = header.PerFrameFunctionalGroupsSequence
    if not 1 <= frame <= len(groups):
        return None
    for group in (groups[frame - 1], header.get("SharedFunctionalGroupsSequence", [Dataset()])[0]):
        if group.get("PlanePositionSequence"):
            place: Dataset = group.PlanePositionSequence[0]
            return place
    return None
