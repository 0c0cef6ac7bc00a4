"""All DICOM objects of a case: what the runner writes into ``dicom/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mediseg.errors import Code, Warn
from mediseg.io.dicom.capture import write_captures
from mediseg.io.dicom.derived import save
from mediseg.io.dicom.encapsulated import write_pdf
from mediseg.io.dicom.image import (
    CORRECTED,
    MIDSAGITTAL,
    MIDSAGITTAL_SLICE,
    STITCHED,
    film_order,
    single_dataset,
    write_derived_series,
)
from mediseg.io.dicom.origin import Origin, read_origin
from mediseg.io.dicom.seg import segmentation_dataset
from mediseg.io.dicom.sr import BrainFindings, measurements_dataset
from mediseg.io.dicom.uids import DicomOptions
from mediseg.results import BiasCorrection, Brain, Callosum, Measurements, Midsagittal, Stitched
from mediseg.volume import Segmentation, Volume


def write_dicom_outputs(
    values: Mapping[str, object], head: Volume, folder: Path, options: DicomOptions | None = None
) -> tuple[list[Path], tuple[Warn, ...]]:
    """Write what a recipe gave as DICOM objects of the head's study; return the files and what was repaired.

    ``values`` are a recipe's by name; those used are ``brain``, ``midsagittal``, ``callosum``, ``measurements``,
    ``stitched`` with ``stations`` and, with ``options.corrected``, ``bias``. Files: ``brain_seg.dcm``,
    ``midsagittal.dcm``, ``callosum_seg.dcm``, ``measurements_sr.dcm``, ``composite_NNNN.dcm``, ``corrected_NNNN.dcm``
    (or ``corrected.dcm`` as Enhanced MR); none, and a warning, where
    the source's images have no UIDs of their own. Raises UsageError when the head is not from DICOM, Refusal for
    another frame of reference, OutputError.
    """
    stations = _stations(values)
    if not all(map(_has_own_uids, (head, *stations))):
        text = "the source's images have no SOP Instance UIDs, or share one; DICOM results could not refer to them"
        return [], (Warn(Code.HEADER_REPAIRED, f"{text} and were not written"),)
    origin = read_origin(head.source, options or DicomOptions())
    found = {type(value): value for value in values.values()}
    written: list[Path] = []
    image: Dataset | None = None
    segmentation: Dataset | None = None
    findings: BrainFindings | None = None
    brain, plane, callosum = found.get(Brain), found.get(Midsagittal), found.get(Callosum)
    measurements, bias = found.get(Measurements), found.get(BiasCorrection)
    if isinstance(brain, Brain):
        brain_seg = segmentation_dataset(brain.mask, origin, kind="brain_seg")
        written.append(save(brain_seg, folder / "brain_seg.dcm"))
        findings = BrainFindings(brain.measurements, brain_seg)
    if isinstance(plane, Midsagittal):
        image = midsagittal_dataset(plane, origin)
        written.append(save(image, folder / "midsagittal.dcm"))
    if isinstance(callosum, Callosum):
        segmentation = callosum_dataset(callosum.mask, plane if isinstance(plane, Midsagittal) else None, image, origin)
        written.append(save(segmentation, folder / "callosum_seg.dcm"))
    if isinstance(measurements, Measurements) or findings is not None:
        callosal = measurements if isinstance(measurements, Measurements) else None
        report = measurements_dataset(callosal, origin, segmentation=segmentation, image=image, brain=findings)
        written.append(save(report, folder / "measurements_sr.dcm"))
    if isinstance(bias, BiasCorrection) and origin.options.corrected:
        written += write_derived_series(bias.corrected, folder, origin, CORRECTED)
    stitched = found.get(Stitched)
    if isinstance(stitched, Stitched):
        written += _write_composite(stitched, stations, folder, origin)
    return written, origin.warnings


def _stations(values: Mapping[str, object]) -> list[Volume]:
    given = values.get("stations")
    return [one for one in given if isinstance(one, Volume)] if isinstance(given, tuple) else []


def _write_composite(stitched: Stitched, stations: Sequence[Volume], folder: Path, origin: Origin) -> list[Path]:
    """Write the composite as a series of the reference's study that names the images of all stations."""
    references = [one for volume in stations for one in read_origin(volume.source, origin.options).references]
    # not a stack: a composite's slice is made of images of several series, none of which is "its own"
    whole = replace(origin, references=tuple(references) or origin.references, is_stack=False)
    return write_derived_series(stitched.filled, folder, whole, STITCHED)


def _has_own_uids(head: Volume) -> bool:
    """False where a file of a DICOM source has no SOP Instance UID, or that of another."""
    if head.source is None or head.source.kind != "dicom":
        return True
    uids = [uid for uid in head.source.sop_uids if uid is not None]
    return all(uids) and len(set(uids)) >= len(head.source.files)


def write_report_pages(
    pages: Sequence[npt.NDArray[np.uint8]], head: Volume, folder: Path, options: DicomOptions, note: str
) -> list[Path]:
    """Write a report's pages as Secondary Capture images of the head's study: ``report_NN.dcm``.

    ``note`` is what the report may be used for. None is written for a source whose images have no UIDs of their own.
    Raises UsageError when the head is not from DICOM, OutputError.
    """
    if not _has_own_uids(head):
        return []
    return write_captures(pages, folder, read_origin(head.source, options), note)


def write_report_pdf(pdf: bytes, head: Volume, folder: Path, options: DicomOptions, title: str) -> list[Path]:
    """Write a report as Encapsulated PDF of the head's study: ``report_pdf.dcm``, as write_report_pages does."""
    if not _has_own_uids(head):
        return []
    return [write_pdf(pdf, folder, read_origin(head.source, options), title)]


def midsagittal_dataset(plane: Midsagittal, origin: Origin) -> Dataset:
    """Return the mid-sagittal image as one derived MR object, shown face left."""
    derivation = MIDSAGITTAL_SLICE if plane.is_source_slice else MIDSAGITTAL
    return single_dataset(film_order(plane.image), origin, derivation)


def callosum_dataset(mask: Segmentation, plane: Midsagittal | None, image: Dataset | None, origin: Origin) -> Dataset:
    """Return the callosum's SEG: voxel by voxel on the derived image where that shares its grid, else on its own."""
    if plane is None or image is None or not mask.geometry.same_grid(plane.image.geometry):
        return segmentation_dataset(mask, origin, kind="callosum_seg")
    shown = mask.resample(film_order(plane.image))
    return segmentation_dataset(shown, origin, kind="callosum_seg", image=image)
