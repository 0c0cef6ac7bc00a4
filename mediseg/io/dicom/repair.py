"""What a derived DICOM object copies from its source, and what happens to values that are not valid DICOM.

Sources are often invalid (over-long numbers, odd ages, missing attributes); a derived object must not be. RULES and
COPIED are that table, docs/dicom-repairs.md shows it. Values that say who the patient and which study it is are copied
to the letter, valid or not: a changed ID would file the result under somebody else. Numbers of the order and the visit
(AccessionNumber, StudyID) are emptied when they are not valid, never cut: a cut one may be another's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from mediseg.errors import Code, Warn


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: which values are meant, what is wrong with them, what is done.

    ``mend`` takes one value and returns it as it should be, or None when it must be dropped.
    """

    subject: str
    fault: str
    repair: str
    mend: Callable[[str], str | None]


def ds_text(number: float) -> str:
    """Return a number as DICOM's decimal string: the nearest that fits 16 characters."""
    if not math.isfinite(number):
        raise ValueError("a decimal string must be finite")
    text = repr(float(number)).removesuffix(".0")
    digits = 16
    while len(text) > 16:
        digits -= 1
        text = f"{number:.{digits}g}"
    return text


def _decimal(value: str) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return value if len(value) <= 16 and re.fullmatch(r"[0-9+\-.eE]+", value) else ds_text(number)


def _integer(value: str) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return None
    if number != int(number) or not -(2**31) <= number < 2**31:
        return None
    return value if re.fullmatch(r"[+-]?\d{1,11}", value) else str(int(number))


def _code(value: str) -> str | None:
    text = value.upper().strip()
    return text if re.fullmatch(r"[A-Z0-9 _]{1,16}", text) else None


def _date(value: str) -> str | None:
    digits = re.sub(r"[.\-/]", "", value)
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return None
    return digits if len(digits) == 8 else None


def _time(value: str) -> str | None:
    found = re.fullmatch(r"([01]\d|2[0-3]):?(?:([0-5]\d):?(?:([0-5]\d|60)(\.\d+)?)?)?", value)
    if not found:
        return None
    hour, minute, second, fraction = found.groups()
    return f"{hour}{minute or ''}{second or ''}{(fraction or '')[:7]}"


def _age(value: str) -> str | None:
    found = re.fullmatch(r"(\d{1,3})([DWMY])", value.upper().strip())
    return f"{int(found[1]):03d}{found[2]}" if found else None


def _cut(limit: int) -> Callable[[str], str | None]:
    def mend(value: str) -> str | None:
        text = re.sub(r"[\x00-\x1a\x1c-\x1f\\]", " ", value)  # ESC stays: it switches the character set
        return text[:limit].rstrip() or None

    return mend


def _whole(limit: int) -> Callable[[str], str | None]:
    return lambda value: value if len(value) <= limit and not re.search(r"[\x00-\x1a\x1c-\x1f\\]", value) else None


def _person(value: str) -> str | None:
    """Keep a name of at most three groups (plain, ideographic, phonetic) of five parts and 64 characters each."""
    text = re.sub(r"[\x00-\x1a\x1c-\x1f\\]", " ", value).rstrip()
    groups = text.split("=")
    fits = len(groups) <= 3 and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
    return (text or None) if fits else None


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: value.upper() if value.upper() in allowed else None


RULES_BY_VR = {
    "DS": Rule("decimal string (DS)", "longer than 16 characters, or no number", "rounded to 16 characters; dropped",
               _decimal),
    "IS": Rule("integer string (IS)", "written as 3.0, or no integer", "rewritten; dropped", _integer),
    "CS": Rule("code string (CS)", "lower case, or forbidden characters or length", "upper case; dropped", _code),
    "DA": Rule("date (DA)", "separators, or no date", "YYYYMMDD; emptied", _date),
    "TM": Rule("time (TM)", "colons, or no time", "HHMMSS.F; emptied", _time),
    "AS": Rule("age (AS)", "not three digits and a unit, such as 45Y", "padded to 045Y; dropped", _age),
    "LO": Rule("long string (LO)", "over 64 characters, control characters", "cut; blanks", _cut(64)),
    "SH": Rule("short string (SH)", "over 16 characters, control characters", "cut; blanks", _cut(16)),
    "PN": Rule("person name (PN) of staff", "control characters; over 64 characters, five parts or three groups",
               "blanks; emptied", _person),
}  # fmt: skip
RULES_BY_KEYWORD = {
    "AccessionNumber": Rule("AccessionNumber", "over 16 characters, control characters", "emptied", _whole(16)),
    "StudyID": Rule("StudyID", "over 16 characters, control characters", "emptied", _whole(16)),
    "IssuerOfPatientID": Rule("IssuerOfPatientID", "over 64 characters, control characters", "dropped", _whole(64)),
    "PatientSex": Rule("PatientSex", "not M, F or O", "emptied", _one_of("M", "F", "O")),
    "PatientPosition": Rule("PatientPosition", "not one of the sixteen of PS3.3 C.7.3.1.1.2", "emptied", _one_of(
        "HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS", "LFP", "LFS", "RFP", "RFS", "AFDR", "AFDL", "PFDR",
        "PFDL")),
    "MRAcquisitionType": Rule("MRAcquisitionType", "not 2D or 3D", "emptied", _one_of("2D", "3D")),
    "LossyImageCompression": Rule("LossyImageCompression", "not 00 or 01", "dropped", _one_of("00", "01")),
    "BurnedInAnnotation": Rule("BurnedInAnnotation", "not YES or NO", "dropped", _one_of("YES", "NO")),
    "PatientIdentityRemoved": Rule("PatientIdentityRemoved", "not YES or NO", "dropped", _one_of("YES", "NO")),
    "ScanningSequence": Rule("ScanningSequence", "a value other than SE, IR, GR, EP, RM", "dropped",
                             _one_of("SE", "IR", "GR", "EP", "RM")),
    "SequenceVariant": Rule("SequenceVariant", "a value other than SK, MTC, SS, TRSS, SP, MP, OSP, NONE", "dropped",
                            _one_of("SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE")),
}  # fmt: skip
# kept exactly, valid or not: they decide under whom and where an archive files the result
TO_THE_LETTER = frozenset({"PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"})
SEVERAL = Rule("any attribute of one value", "several values", "text joined by blanks, equal numbers and codes taken"
               " once, others dropped", lambda _: None)  # fmt: skip

# keyword -> DICOM type in the derived object: 2 is written empty when missing or dropped, 3 is left out
PATIENT_AND_STUDY = {
    "PatientName": 2, "PatientID": 2, "IssuerOfPatientID": 3, "PatientBirthDate": 2, "PatientSex": 2,
    "PatientIdentityRemoved": 3, "DeidentificationMethod": 3,
    "StudyInstanceUID": 2, "StudyDate": 2, "StudyTime": 2, "ReferringPhysicianName": 2, "StudyID": 2,
    "AccessionNumber": 2, "StudyDescription": 3, "PatientAge": 3, "PatientSize": 3, "PatientWeight": 3,
}  # fmt: skip
FRAME_OF_REFERENCE = {"FrameOfReferenceUID": 2, "PositionReferenceIndicator": 2}
EQUIPMENT = {
    "Manufacturer": 2, "InstitutionName": 3, "StationName": 3, "ManufacturerModelName": 3, "DeviceSerialNumber": 3,
    "SoftwareVersions": 3,
}  # fmt: skip
MR_ACQUISITION = {
    "ScanningSequence": 3, "SequenceVariant": 3, "ScanOptions": 2, "MRAcquisitionType": 2, "RepetitionTime": 2,
    "EchoTime": 2, "EchoTrainLength": 2, "InversionTime": 2, "SequenceName": 3, "ProtocolName": 3,
    "NumberOfAverages": 3, "ImagingFrequency": 3, "ImagedNucleus": 3, "EchoNumbers": 3, "MagneticFieldStrength": 3,
    "PixelBandwidth": 3, "FlipAngle": 3, "ContrastBolusAgent": 3, "BodyPartExamined": 3, "PatientPosition": 2,
    "LossyImageCompression": 3, "LossyImageCompressionRatio": 3, "LossyImageCompressionMethod": 3,
    "BurnedInAnnotation": 3, "ApplicableSafetyStandardAgency": 3,
}  # fmt: skip
GEOMETRY = {"ImageOrientationPatient": 3, "PixelSpacing": 3, "SliceThickness": 3}
# what is put where something must stand and the source says nothing: (keyword, when, what)
MADE_UP = (
    ("StudyInstanceUID", "missing", "a UID that follows from the series UID, the same for every derived object"),
    ("SeriesInstanceUID of the source, in references", "missing", "a UID that follows from the study UID"),
    ("SOPClassUID of the source, in references", "missing or no UID", "MR Image Storage, for frames Enhanced MR"),
    ("FrameOfReferenceUID", "missing", "a UID that follows from the series UID, the same for every derived object"),
    ("BodyPartExamined", "missing or dropped", "HEAD"),
    ("ScanningSequence, SequenceVariant", "missing", "nothing: the derived image is Enhanced MR, which does not need"
     " them of a derived image"),
    ("ApplicableSafetyStandardAgency", "missing with the two above", "nothing: the derived image is a Multi-frame"
     " Grayscale Word Secondary Capture image, which needs none of the three"),
    ("InversionTime", "missing with ScanningSequence IR", "empty"),
    ("DeidentificationMethod", "missing with PatientIdentityRemoved YES", "not stated by the source"),
    ("LossyImageCompressionRatio and Method", "missing with LossyImageCompression 01", "the ratio is left out with the"
     " method, LossyImageCompression stays 01"),
    ("SpecificCharacterSet", "missing, but the text is not ASCII", "ISO_IR 100, the same bytes"),
    ("SpecificCharacterSet", "no defined term", "ISO_IR 192, the text converted"),
)  # fmt: skip


def text_values(header: Dataset, keyword: str) -> list[str]:
    """Return an attribute's values as text without any check, [] when it is missing or empty."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in header:
        return []
    value = header.get_item(tag).value
    if isinstance(value, bytes):
        if dictionary_VR(tag) in ("LO", "SH", "PN", "ST", "LT"):
            value = header[tag].value  # decoded by the character set
        else:
            return _split(value.decode("latin-1"))
    if value is None:
        return []
    if isinstance(value, (list, tuple)) or (not isinstance(value, str) and hasattr(value, "__getitem__")):
        return [str(one).strip(" \0") for one in value]
    return _split(str(value))


def _split(text: str) -> list[str]:
    parts = [part.strip(" \0") for part in text.split("\\")]
    return parts if any(parts) else []


def copied(header: Dataset, keywords: dict[str, int]) -> tuple[Dataset, tuple[str, ...]]:
    """Copy attributes from a source header by the table; the second value says what was repaired (no values in it)."""
    out = Dataset()
    notes: list[str] = []
    with config.disable_value_validation():
        for keyword, dicom_type in keywords.items():
            values = text_values(header, keyword)
            single = values if keyword in TO_THE_LETTER else _single(keyword, values)
            kept = _kept(keyword, single)
            if single != values:
                notes.append(f"{keyword}: {SEVERAL.fault}")
            if kept != single:
                notes.append(f"{keyword}: {rule_of(keyword).fault}")
            if kept or dicom_type == 2:
                out.add(element(keyword, kept))
    return out, tuple(notes)


def element(keyword: str, values: Iterable[str]) -> DataElement:
    """Return a data element with the dictionary's VR; no values make it empty."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    listed = list(values)
    value: object = listed if len(listed) > 1 else listed[0] if listed else None
    return DataElement(tag, dictionary_VR(tag), value)


def rule_of(keyword: str) -> Rule:
    """Return the row of the table that an attribute falls under."""
    found = RULES_BY_KEYWORD.get(keyword) or RULES_BY_VR.get(dictionary_VR(keyword))
    if found is None:
        raise KeyError(keyword)
    return found


def _single(keyword: str, values: list[str]) -> list[str]:
    """Bring several values down to one where the dictionary allows no more."""
    tag = tag_for_keyword(keyword)
    if tag is None or len(values) < 2 or dictionary_VM(tag) != "1":
        return values
    if len(set(values)) == 1:
        return values[:1]
    return [" ".join(values)] if dictionary_VR(tag) in ("LO", "SH", "ST", "LT") else []


def _kept(keyword: str, values: list[str]) -> list[str]:
    if keyword in TO_THE_LETTER or not values:
        return values
    mended = [rule_of(keyword).mend(value) for value in values]
    return [] if None in mended else [value for value in mended if value is not None]


_CHARACTER_SETS = re.compile(r"ISO_IR (6|100|101|109|110|144|127|126|138|148|166|13|192)|GB18030|GBK|"
                             r"ISO 2022 IR (6|100|101|109|110|144|127|126|138|148|13|166|87|159|149|58)")  # fmt: skip


def character_set(header: Dataset, parts: Iterable[Dataset]) -> tuple[list[str], tuple[str, ...]]:
    """Return the SpecificCharacterSet for the copied text, and what was repaired."""
    stated = text_values(header, "SpecificCharacterSet")
    if stated:
        known = all(_CHARACTER_SETS.fullmatch(term) or (n == 0 and not term) for n, term in enumerate(stated))
        return (stated, ()) if known else (["ISO_IR 192"], ("SpecificCharacterSet: no defined term",))
    is_ascii = all(str(one.value).isascii() for part in parts for one in part)
    return ([], ()) if is_ascii else (["ISO_IR 100"], ("SpecificCharacterSet: missing, but the text is not ASCII",))


def repair_warning(notes: Iterable[str]) -> tuple[Warn, ...]:
    """Return one HEADER_REPAIRED warning for what was repaired, none for nothing."""
    listed = sorted(set(notes))
    if not listed:
        return ()
    names = ", ".join(sorted({note.split(":")[0] for note in listed}))
    message = f"the source's DICOM header is not valid in {names}; repaired or left out in the derived objects"
    return (Warn(Code.HEADER_REPAIRED, message, {"attributes": listed}),)


def table_markdown() -> str:
    """Return docs/dicom-repairs.md's tables."""
    rules = [*RULES_BY_VR.values(), *RULES_BY_KEYWORD.values(), SEVERAL]
    rows = ["| value | fault | what is done |", "|---|---|---|"]
    rows += [f"| {rule.subject} | {rule.fault} | {rule.repair} |" for rule in rules]
    rows += ["", "| attribute | when | what is written |", "|---|---|---|"]
    rows += [f"| {keyword} | {when} | {what} |" for keyword, when, what in MADE_UP]
    rows += ["", f"To the letter, valid or not: {', '.join(sorted(TO_THE_LETTER))}, and every UID of the source.", ""]
    copied_names = [*PATIENT_AND_STUDY, *FRAME_OF_REFERENCE, *EQUIPMENT, *MR_ACQUISITION, *GEOMETRY]
    rows += [f"Copied, nothing else is: {', '.join(copied_names)}.", ""]
    return "\n".join(rows)
