"""A report as a PDF inside a DICOM object (Encapsulated PDF Storage), so that it lies in the patient's study."""

from __future__ import annotations

from pathlib import Path

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage

from mediseg.io.dicom.derived import code_item, save, series_number, stamp
from mediseg.io.dicom.origin import Origin
from mediseg.volume import CodedConcept

KIND = "report_pdf"
_TITLE = CodedConcept("18748-4", "LN", "Diagnostic imaging report")


def pdf_dataset(pdf: bytes, origin: Origin, title: str) -> Dataset:
    """Return a PDF as a DICOM object of the source's study, which names the images it was made from.

    BurnedInAnnotation is NO: nothing in the document may name the patient.
    """
    made = Dataset()
    with config.disable_value_validation():
        made.SOPClassUID = EncapsulatedPDFStorage
        made.SOPInstanceUID = origin.new_uid(f"{KIND}/instance")
        made.SeriesInstanceUID = origin.new_uid(f"{KIND}/series")
        made.SeriesNumber = series_number(origin, KIND)
        made.InstanceNumber = 1
        made.Modality, made.ConversionType = "DOC", "WSD"
        made.SeriesDescription = "mediseg report (PDF)"
        made.BurnedInAnnotation = "NO"
        made.AcquisitionDateTime = None
        made.DocumentTitle = title
        made.ConceptNameCodeSequence = Sequence([code_item(_TITLE)])
        made.MIMETypeOfEncapsulatedDocument = "application/pdf"
        made.EncapsulatedDocumentLength = len(pdf)
        made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
        made.SourceInstanceSequence = Sequence(
            [_reference(*image) for image in sorted({(r.sop_class, r.sop_uid) for r in origin.references if r})]
        )
    stamp(made, origin, is_image=False)
    return made


def write_pdf(pdf: bytes, folder: Path, origin: Origin, title: str) -> Path:
    """Write it as ``report_pdf.dcm``. Raises OutputError."""
    return save(pdf_dataset(pdf, origin, title), folder / f"{KIND}.dcm")


def _reference(sop_class: str, sop_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    return item
