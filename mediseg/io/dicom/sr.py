"""Measurements as a DICOM structured report: TID 1500, with a group for the corpus callosum and one for the brain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mediseg import __version__
from mediseg.errors import UsageError
from mediseg.io.dicom.derived import MANUFACTURER, MODEL, save, series_number, stamp
from mediseg.io.dicom.origin import Origin
from mediseg.io.dicom.repair import ds_text
from mediseg.io.dicom.seg import KNOWN_CODES, PRIVATE_SCHEME, private_code_value, private_scheme
from mediseg.io.dicom.stubs import name_true_classes, stub_of, stubs, true_frames
from mediseg.io.dicom.uids import derived_uid
from mediseg.results import Measurement, Measurements
from mediseg.volume import CodedConcept

_SITE = KNOWN_CODES["callosum"]
_UNIT_MEANINGS = {"mm": "millimeter", "mm2": "square millimeter", "mm3": "cubic millimeter", "1": "no units",
                  "deg": "degree", "ml": "milliliter", "%": "percent"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class BrainFindings:
    """What was measured of the brain, and the SEG that it was measured on."""

    values: tuple[Measurement, ...]
    segmentation: Dataset


def measurements_dataset(
    measurements: Measurements | None,
    origin: Origin,
    *,
    segmentation: Dataset | None = None,
    image: Dataset | None = None,
    brain: BrainFindings | None = None,
) -> Dataset:
    """Return a Comprehensive 3D SR with a TID 1500 measurement report.

    With the callosum's SEG and the image that it was drawn on, its values stand in a planar ROI group (TID 1410) which
    points at both; without them in a measurement group (TID 1501) which points at the source images. The brain's stand
    in a volumetric ROI group (TID 1411) which points at its SEG and the source series. The observer is the program;
    nobody is named. Raises UsageError when there is no value.
    """
    groups: list[Any] = []
    evidence: list[Dataset] = []
    slices = list(origin.referenced)
    if measurements is not None and measurements.values:
        uid = _tracking_uid(segmentation) or origin.new_uid("callosum_seg/segment/1")
        common = _common(measurements.values, origin, (uid, "corpus callosum"), _SITE)
        if segmentation is not None and image is not None:
            groups.append(_planar_group(common, segmentation, image))
            evidence += [stub_of(segmentation), stub_of(image)]
        else:
            groups.append(_plain_group(common, origin, slices))
    if brain is not None and brain.values:
        groups.append(_volumetric_group(brain, origin))
        evidence.append(stub_of(brain.segmentation))
    if not groups:
        raise UsageError("there are no measurements to write")
    report = hd.sr.MeasurementReport(
        observation_context=_observer(),
        procedure_reported=hd.sr.CodedConcept("24590-2", "LN", "Brain MRI"),
        imaging_measurements=groups,
    )
    made: Dataset = hd.sr.Comprehensive3DSR(
        evidence=[*evidence, *stubs(origin, slices)],
        content=report,
        series_instance_uid=origin.new_uid("measurements_sr/series"),
        series_number=series_number(origin, "measurements_sr"),
        sop_instance_uid=origin.new_uid("measurements_sr/instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        series_description="mediseg measurements",
    )
    _mend(made)
    name_true_classes(made, origin)
    stamp(made, origin, is_image=False)
    made.CodingSchemeIdentificationSequence = [private_scheme()]
    return made


def write_measurements_sr(
    measurements: Measurements,
    path: Path,
    origin: Origin,
    *,
    segmentation: Dataset | None = None,
    image: Dataset | None = None,
) -> Path:
    """Write the structured report; see measurements_dataset. Raises OutputError too."""
    return save(measurements_dataset(measurements, origin, segmentation=segmentation, image=image), path)


def _concept(code: CodedConcept) -> hd.sr.CodedConcept:
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning[:64])


def _tracking_uid(segmentation: Dataset | None) -> str | None:
    return None if segmentation is None else str(segmentation.SegmentSequence[-1].TrackingUID)


def _observer() -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("mediseg device observer", __version__),
        name="mediseg",
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
        serial_number=__version__,
    )
    context = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return hd.sr.ObservationContext(observer_device_context=context)


def _common(
    values: tuple[Measurement, ...], origin: Origin, tracking: tuple[str, str], site: CodedConcept
) -> dict[str, Any]:
    """Return what every kind of group says: what is tracked, where, and the values."""
    coded = _coded(values)
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=tracking[0], identifier=tracking[1]),
        "finding_type": _concept(site),
        "finding_sites": [hd.sr.FindingSite(_concept(site))],
        "measurements": [_item(one, code, origin) for one, code in coded if math.isfinite(one.value)],
        # readers such as highdicom fail on a number without a value, so a missing one is said as a code
        "qualitative_evaluations": [
            hd.sr.QualitativeEvaluation(name=_concept(code), value=codes.DCM.NotANumber)
            for one, code in coded
            if not math.isfinite(one.value)
        ],
    }


def _volumetric_group(brain: BrainFindings, origin: Origin) -> Any:
    segment = brain.segmentation.SegmentSequence[-1]  # a LABELMAP begins with the background
    common = _common(brain.values, origin, (str(segment.TrackingUID), "brain"), KNOWN_CODES["brain"])
    referenced = hd.sr.ReferencedSegment(
        sop_class_uid=str(brain.segmentation.SOPClassUID),
        sop_instance_uid=str(brain.segmentation.SOPInstanceUID),
        segment_number=int(segment.SegmentNumber),
        source_series=hd.sr.SourceSeriesForSegmentation(origin.series_uid),
    )
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=referenced, **common)


def _planar_group(common: dict[str, Any], segmentation: Dataset, image: Dataset) -> Any:
    frames = [1] if "NumberOfFrames" in image else None
    source = hd.sr.SourceImageForSegmentation(str(image.SOPClassUID), str(image.SOPInstanceUID), frames)
    segment = hd.sr.ReferencedSegmentationFrame(
        sop_class_uid=str(segmentation.SOPClassUID),
        sop_instance_uid=str(segmentation.SOPInstanceUID),
        frame_number=1,
        segment_number=int(segmentation.SegmentSequence[-1].SegmentNumber),
        source_image=source,
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)


def _plain_group(common: dict[str, Any], origin: Origin, slices: list[int]) -> Any:
    frames = [number for number in true_frames(origin, slices) if number > 0]
    numbers = frames if frames and len(origin.instances) == 1 else None
    images = [
        hd.sr.SourceImageForMeasurementGroup(sop_class, sop_uid, numbers) for sop_class, sop_uid in origin.instances
    ]
    return hd.sr.MeasurementsAndQualitativeEvaluations(source_images=images, **common)


def _coded(values: tuple[Measurement, ...]) -> list[tuple[Measurement, CodedConcept]]:
    """Pair each value with its code; one that an earlier value has taken is replaced by a private one."""
    pairs: list[tuple[Measurement, CodedConcept]] = []
    taken: set[CodedConcept] = set()
    for measurement in values:
        code = measurement.code
        if code is None or code in taken:
            code = CodedConcept(
                private_code_value(measurement.name), PRIVATE_SCHEME, measurement.name.replace("_", " ")[:64]
            )
        taken.add(code)
        pairs.append((measurement, code))
    return pairs


def _item(measurement: Measurement, code: CodedConcept, origin: Origin) -> Any:
    words = [text for text in (measurement.method, measurement.source and f"source: {measurement.source}") if text]
    return hd.sr.Measurement(
        name=_concept(code),
        value=float(ds_text(measurement.value)),
        unit=_unit(measurement.unit),
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=origin.new_uid(f"measurements_sr/{measurement.name}"), identifier=measurement.name
        ),
        algorithm_id=hd.sr.AlgorithmIdentification(
            name="mediseg", version=__version__, parameters=words or None, manufacturer=MANUFACTURER
        ),
        properties=_properties(measurement),
    )


def _mend(item: Dataset) -> None:
    """Let a reference name a frame or a segment but not both (PS3.3 Table 10-3; highdicom writes both)."""
    for child in item.get("ContentSequence", []):
        _mend(child)
        for reference in child.get("ReferencedSOPSequence", []):
            if "ReferencedFrameNumber" in reference:
                reference.pop("ReferencedSegmentNumber", None)


def _unit(unit: str) -> hd.sr.CodedConcept:
    return hd.sr.CodedConcept(unit or "1", "UCUM", _UNIT_MEANINGS.get(unit or "1", unit))


def _properties(measurement: Measurement) -> Any:
    limits = ((measurement.low, codes.SCT.NormalRangeLowerLimit), (measurement.high, codes.SCT.NormalRangeUpperLimit))
    items = [
        hd.sr.NumContentItem(
            name=name,
            value=float(ds_text(value)),
            unit=_unit(measurement.unit),
            relationship_type=hd.sr.RelationshipTypeValues.HAS_PROPERTIES,
        )
        for value, name in limits
        if value is not None
    ]
    if not items:
        return None
    ranges = hd.sr.NormalRangeProperties(values=items, authority=measurement.source or None)
    return hd.sr.MeasurementProperties(normal_range_properties=ranges)
