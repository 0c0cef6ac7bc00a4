"""Segmentations as DICOM SEG, on the source's own grid or, for one slice of another plane, on its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation as SegObject
from highdicom.seg import SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from mediseg import __version__
from mediseg.errors import UsageError
from mediseg.geometry import Geometry
from mediseg.io.dicom.derived import (
    MANUFACTURER,
    MODEL,
    orientation,
    pixel_spacing,
    position,
    save,
    series_number,
    slice_spacing_mm,
    stamp,
)
from mediseg.io.dicom.origin import Origin
from mediseg.io.dicom.repair import ds_text
from mediseg.io.dicom.stubs import name_true_classes, stub_of, stubs, true_frames
from mediseg.volume import CodedConcept, Segment, Segmentation

KNOWN_CODES = {
    "brain": CodedConcept("12738006", "SCT", "Brain"),
    "callosum": CodedConcept("88442005", "SCT", "Corpus callosum"),
    "corpus callosum": CodedConcept("88442005", "SCT", "Corpus callosum"),
}
_COLOURS = ((62.0, 50.0, -45.0), (85.0, -10.0, 75.0), (60.0, -50.0, 35.0), (55.0, 65.0, 45.0))  # CIELab
PRIVATE_SCHEME = "99MEDISEG"


def segmentation_dataset(
    segmentation: Segmentation, origin: Origin, *, kind: str = "segmentation", image: Dataset | None = None
) -> Dataset:
    """Return a SEG object (BINARY, or LABELMAP by ``origin.options.seg_type``).

    A label map of several slices is brought to the source's grid, one frame for every source image (a slice that was
    interpolated for a missing image gets none). One slice of another plane keeps its own grid. ``image`` is the derived
    image that the label map belongs to voxel by voxel, if there is one; it is then named first and the source beside
    it. Raises Refusal when the frames of reference differ, UsageError for an unknown type.
    """
    if origin.options.seg_type not in ("binary", "labelmap"):
        raise UsageError(f'seg type "{origin.options.seg_type}" is unknown (known: binary, labelmap)')
    origin.check_space(segmentation.geometry)
    labels, segments = consecutive(segmentation)
    if image is not None:
        made = _built(_frames(labels), segments, origin, kind, source_images=[stub_of(image)],
                      further_source_images=stubs(origin, origin.referenced))  # fmt: skip
    elif origin.is_stack and not _is_own_plane(segmentation.geometry, origin.grid):
        made = _on_source_grid(labels, segmentation, segments, origin, kind)
    else:
        made = _on_own_grid(labels, segmentation.geometry, segments, origin, kind)
    name_true_classes(made, origin)
    stamp(made, origin)
    _finish(made, origin, kind, segments)
    return made


def write_segmentation(
    segmentation: Segmentation, path: Path, origin: Origin, *, kind: str = "segmentation", image: Dataset | None = None
) -> Path:
    """Write a SEG file; see segmentation_dataset. Raises OutputError too."""
    return save(segmentation_dataset(segmentation, origin, kind=kind, image=image), path)


def consecutive(segmentation: Segmentation) -> tuple[npt.NDArray[np.uint8], tuple[Segment, ...]]:
    """Return labels and segments numbered 1..n, as SEG wants them. Raises UsageError for a label without a segment."""
    named = {segment.number for segment in segmentation.segments}
    present = np.flatnonzero(np.bincount(segmentation.labels.ravel(), minlength=256))  # np.unique would sort
    unnamed = set(present.tolist()) - named - {0}
    if unnamed or not named:
        raise UsageError(f"labels {sorted(unnamed)} have no segment that names them; add a Segment for each")
    ordered = sorted(segmentation.segments, key=lambda segment: segment.number)
    table = np.zeros(256, np.uint8)
    for number, segment in enumerate(ordered, 1):
        table[segment.number] = number
    return table[segmentation.labels], tuple(
        Segment(number, segment.name, segment.code) for number, segment in enumerate(ordered, 1)
    )


def segment_code(segment: Segment) -> CodedConcept:
    """Return a segment's code: its own, a known one by its name, else a private one."""
    if segment.code is not None:
        return segment.code
    known = KNOWN_CODES.get(segment.name.lower())
    if known is not None:
        return known
    return CodedConcept(private_code_value(segment.name), PRIVATE_SCHEME, segment.name[:64])


def private_code_value(name: str) -> str:
    """Return a private code value (16 characters at most) for a name."""
    import hashlib

    word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return word if 0 < len(word) <= 16 else f"{word[:9]}_{hashlib.sha256(name.encode()).hexdigest()[:6].upper()}"


def _is_own_plane(geometry: Geometry, source: Geometry) -> bool:
    """True for one slice out of a stack of several, or of another plane."""
    return 1 in geometry.shape and not geometry.same_grid(source)


def _frames(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (slices, rows, columns) from (i, j, k): i runs along a row, j down a column."""
    return np.ascontiguousarray(labels.transpose(2, 1, 0))


def _on_source_grid(
    labels: npt.NDArray[np.uint8],
    segmentation: Segmentation,
    segments: tuple[Segment, ...],
    origin: Origin,
    kind: str,
) -> Dataset:
    placed = Segmentation(labels, segmentation.geometry, segments).resample(origin.grid).labels
    slices = list(origin.referenced)
    images = stubs(origin, slices)
    made = _built(_frames(placed[:, :, slices]), segments, origin, kind, source_images=images)
    numbers = true_frames(origin, slices)
    if len(images) == 1 and numbers[0] > 0:
        _set_frame_numbers(made, numbers)
    return made


def _on_own_grid(
    labels: npt.NDArray[np.uint8], geometry: Geometry, segments: tuple[Segment, ...], origin: Origin, kind: str
) -> Dataset:
    order = _slice_last(geometry)
    if order != (0, 1, 2):
        labels, geometry = labels.transpose(order), _permuted(geometry, order)
    spacing = slice_spacing_mm(geometry)
    return _built(
        _frames(labels),
        segments,
        origin,
        kind,
        source_images=stubs(origin, origin.referenced),
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=[float(v) for v in pixel_spacing(geometry)],
            slice_thickness=float(ds_text(spacing)),
            spacing_between_slices=float(ds_text(spacing)),
        ),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", [float(v) for v in orientation(geometry)]),
        plane_positions=[
            hd.PlanePositionSequence("PATIENT", [float(v) for v in position(geometry, k)])
            for k in range(geometry.shape[2])
        ],
    )


def _slice_last(geometry: Geometry) -> tuple[int, int, int]:
    """Return the axis order that puts the slice axis (the one of size 1, if any) last."""
    if geometry.shape[2] == 1 or 1 not in geometry.shape:
        return (0, 1, 2)
    return (1, 2, 0) if geometry.shape[0] == 1 else (0, 2, 1)


def _permuted(geometry: Geometry, order: tuple[int, int, int]) -> Geometry:
    affine = geometry.affine_lps.copy()
    affine[:, :3] = affine[:, list(order)]
    shape = (geometry.shape[order[0]], geometry.shape[order[1]], geometry.shape[order[2]])
    return Geometry(shape, affine, geometry.frame_of_reference)


def _built(
    frames: npt.NDArray[np.uint8], segments: tuple[Segment, ...], origin: Origin, kind: str, **placed: Any
) -> Dataset:
    made: Dataset = SegObject(
        pixel_array=frames,
        segmentation_type=origin.options.seg_type.upper(),
        # one byte a voxel is mostly zeros; DICOM knows no compression for one bit a voxel that viewers share
        transfer_syntax_uid=RLELossless if origin.options.seg_type == "labelmap" else ExplicitVRLittleEndian,
        segment_descriptions=[_description(segment, origin, kind) for segment in segments],
        series_instance_uid=origin.new_uid(f"{kind}/series"),
        series_number=series_number(origin, kind),
        sop_instance_uid=origin.new_uid(f"{kind}/instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=__version__,
        device_serial_number=__version__,
        content_label="MEDISEG",
        content_description=f"mediseg {kind.replace('_', ' ')}",
        series_description=f"mediseg {kind.replace('_', ' ')}",
        # every frame stays: viewers that count frames against source images (OHIF) shift them otherwise
        omit_empty_frames=False,
        **placed,
    )
    return made


def _description(segment: Segment, origin: Origin, kind: str) -> SegmentDescription:
    code = segment_code(segment)
    made = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=hd.sr.CodedConcept(code.value, code.scheme, code.meaning),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="mediseg", version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_uid=origin.new_uid(f"{kind}/segment/{segment.number}"),
        tracking_id=f"mediseg {segment.name}"[:64],
    )
    lightness, a, b = _COLOURS[(segment.number - 1) % len(_COLOURS)]
    made.RecommendedDisplayCIELabValue = [
        round(lightness * 65535 / 100), round((a + 128) * 65535 / 255), round((b + 128) * 65535 / 255)
    ]  # fmt: skip
    return made


def _set_frame_numbers(made: Dataset, numbers: list[int]) -> None:
    """Replace the stub's frame numbers 1..n by the source's own."""
    for frame in made.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = numbers[int(image.ReferencedFrameNumber) - 1]


def _finish(made: Dataset, origin: Origin, kind: str, segments: tuple[Segment, ...]) -> None:
    """Put what highdicom draws at random or leaves open under our control."""
    organisation = origin.new_uid(f"{kind}/dimensions")
    for item in [*made.get("DimensionOrganizationSequence", []), *made.get("DimensionIndexSequence", [])]:
        item.DimensionOrganizationUID = organisation
    made.BodyPartExamined = str(origin.acquisition.BodyPartExamined)
    if any(segment_code(segment).scheme == PRIVATE_SCHEME for segment in segments):
        made.CodingSchemeIdentificationSequence = [private_scheme()]


def private_scheme() -> Dataset:
    """Return the item that says whose 99MEDISEG is."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "mediseg private codes"
    item.CodingSchemeResponsibleOrganization = "mediseg"
    return item
