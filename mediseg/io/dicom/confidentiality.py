"""Which attributes name a person, and what is done with each: the basic profile of DICOM PS3.15, Table E.1-1.

The table lies beside this file (confidentiality.csv: tag, action, keyword): edition 2026c, as transcribed in the
package dicom-anonymizer 2.1.0 (Kitware, BSD licence). Its actions are carried out here in every sequence, however deep,
which that package does for the first level only. Of what the table does not list, dates, names, private and unknown
attributes go.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from mediseg.io.dicom.attributes import UNREADABLE
from mediseg.io.identity import Identity

EDITION = "2026c"
_TEXTS = frozenset(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT"))
_TIMES = frozenset(("DA", "DT", "TM"))
_NUMBERS = frozenset(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))
_BYTES = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_DUMMIES = {"AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000", "PN": "Anonymous", "UR": ""}
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_NOT_OF_A_DATASET = (0x0000, 0x0002)  # of a network message, of a file's meta information
_PATIENT, _SIGNATURE = 0x0010, 0x0400
_PATIENT_NAME, _PATIENT_ID = Tag("PatientName"), Tag("PatientID")


@dataclass(frozen=True)
class Retained:
    """What a user wants kept: PS3.15's options Retain UIDs and Retain Longitudinal Temporal Information, Full Dates."""

    uids: bool = False
    dates: bool = False


@dataclass(frozen=True)
class Pseudonyms:
    """New names for old, the same for the same within one run, and of no use to anybody without the run's key."""

    key: bytes = field(repr=False)

    def uid(self, old: str) -> str:
        """Return the UID that stands for another; well-known UIDs of the standard stay."""
        if not old or old.startswith("1.2.840.10008."):
            return old
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', old)[:16], version=4).int}"

    def patient(self, old: str) -> str:
        """Return the ID that stands for a patient's."""
        return f"ANON-{self._digest('patient', old).hex()[:8].upper()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.key, f"{kind}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


@cache
def table() -> dict[int, str]:
    """Return the action of every listed attribute, by tag."""
    lines = resources.files("mediseg.io.dicom").joinpath("confidentiality.csv").read_text(encoding="ascii").splitlines()
    rows = (line.split(",") for line in lines[1:])
    return {int(tag, 16): action for tag, action, _ in rows}


def cleaned(dataset: Dataset, names: Pseudonyms, retained: Retained, identity: Identity) -> Dataset:
    """Return a copy of a dataset without what names a person; ``identity`` is the words to look for in what stays.

    Pixels are the same object. An element that cannot be parsed is left out.
    """
    return _Cleaner(names, retained, identity).dataset(dataset)


@dataclass(frozen=True)
class _Cleaner:
    names: Pseudonyms
    retained: Retained
    identity: Identity

    def dataset(self, dataset: Dataset) -> Dataset:
        made = Dataset()
        for tag in sorted(dataset.keys()):
            try:
                element = dataset[tag]
                new = element if int(tag) in _PIXELS else self._element(element)
            except UNREADABLE:
                continue
            if new is not None:
                made.add(new)
        return made

    def _element(self, element: DataElement) -> DataElement | None:
        tag = element.tag
        if tag.group in _NOT_OF_A_DATASET or tag.is_private or _is_overlay_or_curve(tag) or not dictionary_has_tag(tag):
            return None
        action = self._action(element)
        if action in _ACTIONS:
            return _ACTIONS[action](self, element)
        return self._kept(element)

    def _action(self, element: DataElement) -> str:
        listed = table().get(int(element.tag))
        if self.retained.uids and listed in ("U", "X/Z/U*"):
            return "K"
        if self.retained.dates and element.VR in _TIMES and element.tag.group not in (_PATIENT, _SIGNATURE):
            return "K"
        if listed is not None:
            return listed
        return "X" if element.VR in (*_TIMES, "PN", "UN") else "K"

    def _kept(self, element: DataElement) -> DataElement | None:
        """Keep a value unless it repeats a word of the patient's name; clean what is in a sequence."""
        if element.VR == "SQ":
            return _with(element, [self.dataset(item) for item in element.value or ()])
        if element.VR in _TEXTS and self.identity.shares(str(element.value)):
            return _with(element, None)
        return element

    def _empty(self, element: DataElement) -> DataElement:
        if element.tag == _PATIENT_NAME:
            return _with(element, self.names.patient(str(element.value)))
        return _with(element, [] if element.VR == "SQ" else None)

    def _dummy(self, element: DataElement) -> DataElement | None:
        if element.tag == _PATIENT_ID:
            return _with(element, self.names.patient(str(element.value)))
        if element.VR == "SQ":
            return self._kept(element)
        if element.VR == "UI":
            return self._uid(element)
        if element.VR in _BYTES:
            return None
        if element.VR in _NUMBERS or element.VR in ("DS", "IS"):
            return _with(element, 0)
        return _with(element, _DUMMIES.get(element.VR, "ANONYMIZED"))

    def _uid(self, element: DataElement) -> DataElement:
        value = element.value
        if isinstance(value, MultiValue | list):
            return _with(element, [self.names.uid(str(one)) for one in value])
        return _with(element, self.names.uid(str(value or "")))


def _with(element: DataElement, value: object) -> DataElement:
    return DataElement(element.tag, element.VR, value)


def _is_overlay_or_curve(tag: BaseTag) -> bool:
    return tag.group & 0xFF00 in (0x5000, 0x6000)


#: Of a choice that depends on the object's definition the one that keeps the object valid: Z before X, D before Z.
_ACTIONS: dict[str, Callable[[_Cleaner, DataElement], DataElement | None]] = {
    "X": lambda cleaner, element: None,
    "Z": _Cleaner._empty,
    "D": _Cleaner._dummy,
    "U": _Cleaner._uid,
    "X/Z": _Cleaner._empty,
    "X/D": _Cleaner._dummy,
    "Z/D": _Cleaner._dummy,
    "X/Z/D": _Cleaner._dummy,
    "X/Z/U*": _Cleaner._kept,
}
