"""De-identified copies of a study: DICOM PS3.15, basic application level confidentiality profile.

A copy is only made of images that a scanner makes without writing into the pixels. Whatever may show a name there
(screenshots, scanned paper, BurnedInAnnotation) is left out and told. A face can be rebuilt from a head scan: that is
not what this profile takes away, and it is said wherever copies are made.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from mediseg.errors import InputError, OutputError, UsageError
from mediseg.io.atomic import written_atomically
from mediseg.io.dicom.attributes import UNREADABLE, text, texts
from mediseg.io.dicom.confidentiality import EDITION, Pseudonyms, Retained, cleaned
from mediseg.io.dicom.find import HEAD_BYTES, Files, candidates, looks_like_dicom
from mediseg.io.dicom.header import DICOMDIR_CLASS, identity_of, tolerant
from mediseg.io.dicom.read import open_dataset

FACES = "a face can be rebuilt from a head scan: header data alone were taken away, the copies are still personal data"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: MR, CT and PET, classic and enhanced: what a scanner computes.
_IMAGES = tuple(_STORAGE + tail for tail in ("2", "2.1", "4", "4.1", "4.4", "128", "130"))
_BASIC = ("113100", "Basic Application Confidentiality Profile")
_UIDS = ("113110", "Retain UIDs Option")
_DATES = ("113106", "Retain Longitudinal Temporal Information Full Dates Option")


@dataclass
class Copies:
    """What was copied, and how many files were left out for which reason (no file is named: names name people)."""

    files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def deidentify(inputs: Iterable[Path], out: Path, retained: Retained) -> Copies:
    """Write de-identified copies of every DICOM image in ``inputs`` into ``out``, a new or empty folder.

    Copies are named by numbers. New UIDs and patient IDs are the same for the same within one call, and random between
    calls. Raises UsageError (no such path), InputError (no DICOM at all), OutputError.
    """
    paths = list(inputs)
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"{missing} does not exist")
    _new_folder(out)
    work = _Work(out, retained, Pseudonyms(secrets.token_bytes(32)))
    with Files() as files, tolerant():
        for path in paths:
            for one in candidates(path, files):
                work.file(one, files)
    if not work.copies.files and not work.copies.left_out:
        raise InputError(f"{paths[0].name} holds no DICOM file; give a DICOM folder, a zip of one, or a file")
    return work.copies


def _new_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OutputError(f"the folder {out.name} is not empty; give a new one with --out")
    except OSError as error:
        raise OutputError(f"cannot make the folder {out.name}: {error.strerror}") from error


@dataclass
class _Work:
    out: Path
    retained: Retained
    names: Pseudonyms
    copies: Copies = field(default_factory=Copies)
    series: dict[tuple[str, str, str], Path] = field(default_factory=dict)
    counts: Counter[Path] = field(default_factory=Counter)

    def file(self, path: Path, files: Files) -> None:
        try:
            with files.open(path, whole=False) as stream:
                if not looks_like_dicom(stream.read(HEAD_BYTES)):
                    return
            dataset = open_dataset(path, files)
            why = unfit(dataset)
            made = None if why else self._copy(dataset)
        except (*UNREADABLE, InputError):
            why, made = "damaged, or its header cannot be read", None
        if made is None:
            self.copies.left_out[why] += 1
            return
        folder = self._folder(made)
        self.counts[folder] += 1
        with written_atomically(folder / f"{self.counts[folder]:06d}.dcm") as target:
            dcmwrite(target, made, enforce_file_format=True)
        self.copies.files += 1

    def _copy(self, dataset: Dataset) -> Dataset:
        made = cleaned(dataset, self.names, self.retained, identity_of(dataset))
        _say_what_was_done(made, self.retained)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        made.file_meta, made.preamble = meta, b"\0" * 128
        made.set_original_encoding(*dataset.original_encoding)
        return made

    def _folder(self, made: Dataset) -> Path:
        """Name patient, study and series by their order of appearance."""
        whole_key = (text(made, "PatientID"), text(made, "StudyInstanceUID"), text(made, "SeriesInstanceUID"))
        folder = self.out
        for depth, kind in enumerate(("patient", "study", "series"), 1):
            key = (*whole_key[:depth], *[""] * (3 - depth))
            known = self.series.setdefault((key[0], key[1], key[2]), Path())
            if known == Path():
                self.counts[folder / kind] += 1
                known = folder / f"{kind}{self.counts[folder / kind]:03d}"
                self.series[(key[0], key[1], key[2])] = known
            folder = known
        return folder


def unfit(dataset: Dataset) -> str:
    """Return why no copy is made of a file, "" for one that is fit."""
    sop_class = text(dataset, "SOPClassUID")
    if sop_class == DICOMDIR_CLASS:
        return "an index of a disc"
    if sop_class not in _IMAGES:
        return "no MR, CT or PET image: a name may stand in its pixels or its text"
    if text(dataset, "BurnedInAnnotation").upper() == "YES":
        return "its pixels show text (BurnedInAnnotation is YES)"
    words = {word.upper() for word in texts(dataset, "ImageType")}
    if words & {"SCREEN SAVE", "SCREENSHOT", "PASTED"}:
        return "a screenshot: a name may stand in its pixels"
    if _has_overlay_in_pixels(dataset):
        return "an overlay lies in its pixels' spare bits"
    if not text(dataset, "SOPInstanceUID"):
        return "it has no SOP Instance UID"
    return ""


def _has_overlay_in_pixels(dataset: Dataset) -> bool:
    """Overlays of old scanners: group 60xx without data of its own, whose bits lie above the image's."""
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x0102) in dataset and (group, 0x3000) not in dataset and dataset[group, 0x0102].value:
            return True
    return False


def _say_what_was_done(made: Dataset, retained: Retained) -> None:
    import mediseg

    codes = [_BASIC, *([_UIDS] if retained.uids else []), *([_DATES] if retained.dates else [])]
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = [f"mediseg {mediseg.__version__}: PS3.15 {EDITION} basic profile"]
    made.DeidentificationMethodCodeSequence = Sequence([_code(*code) for code in codes])
    made.LongitudinalTemporalInformationModified = "UNMODIFIED" if retained.dates else "REMOVED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
