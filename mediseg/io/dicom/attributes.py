"""One attribute of a header, tolerantly: what it gets wrong counts as not stated, and the caller says what is lacking.

``levels`` are datasets of which the first that states an attribute counts: a frame's functional groups, the shared
ones, the file.
"""

from __future__ import annotations

import math
import struct
from functools import cache, lru_cache

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

_PLAIN = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"))  # of the default character repertoire
_WORDS = frozenset(("LO", "SH"))  # of the dataset's character set
# What pydicom raises on a value that breaks its own VR
UNREADABLE = (
    ValueError, TypeError, NotImplementedError, UnicodeError, AttributeError, LookupError, OverflowError, OSError,
    EOFError, RecursionError, struct.error, BytesLengthException,
)  # fmt: skip


@cache
def tag_of(keyword: str) -> BaseTag:
    """Return the tag of an attribute by its keyword."""
    return Tag(keyword)


@cache
def _usual_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def value(dataset: Dataset, tag: BaseTag) -> object:
    """Return an attribute's value as pydicom decodes it, or None where it is absent or breaks its VR."""
    try:
        return dataset[tag].value if tag in dataset else None
    except UNREADABLE:
        return None


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return an attribute's values as stripped texts; empty where it is absent, empty or broken."""
    tag = tag_of(keyword)
    element = dataset.get_item(tag)
    if element is None:
        return ()
    if isinstance(element, RawDataElement):
        found = _raw_texts(element)
        if found is not None:
            return found
    return _decoded_texts(value(dataset, tag))


def _raw_texts(element: RawDataElement) -> tuple[str, ...] | None:
    """Return the texts of an element that needs no pydicom to decode it (most of them), else None."""
    content = element.value
    if not isinstance(content, bytes) or not content:
        return ()
    vr = element.VR if element.VR not in (None, "UN") else _usual_vr(element.tag)
    return _told(vr, content, element.is_little_endian)


@lru_cache(maxsize=4096)  # the images of a series say the same again and again
def _told(vr: str | None, content: bytes, is_little: bool) -> tuple[str, ...] | None:
    if vr == "US" and len(content) == 2:
        return (str(int.from_bytes(content, "little" if is_little else "big")),)
    is_ascii = content.isascii() and b"\x1b" not in content
    if vr not in _PLAIN and not (vr in _WORDS and is_ascii):
        return None
    words = tuple(word.strip(" \0") for word in content.decode("ascii" if is_ascii else "latin-1").split("\\"))
    return words if any(words) else ()


def _decoded_texts(content: object) -> tuple[str, ...]:
    if content is None or content == "":
        return ()
    if isinstance(content, str | int | float | bytes):
        return (str(content).strip(" \0"),)
    try:
        return tuple(str(word).strip(" \0") for word in content)  # type: ignore[attr-defined]  # a TypeError says it is no list
    except UNREADABLE:
        return ()


def text(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's values joined by backslashes, "" where it is absent, empty or broken."""
    return "\\".join(texts(dataset, keyword))


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent, or is no sequence."""
    found = value(dataset, tag_of(keyword))
    return list(found) if isinstance(found, Sequence) else []


def first_text(levels: list[Dataset], keyword: str) -> str:
    """Return the text of the first level that states an attribute, else ""."""
    return next((found for level in levels if (found := text(level, keyword))), "")


def whole(dataset: Dataset, keyword: str) -> int | None:
    """Return the whole part of an attribute's first value, or None."""
    found = numbers([dataset], keyword, 1)
    return None if found is None else int(found[0])


def number(levels: list[Dataset], keyword: str) -> float | None:
    """Return the first value of an attribute as a finite number, or None."""
    found = numbers(levels, keyword, 1)
    return None if found is None else found[0]


def numbers(levels: list[Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    """The first ``count`` values of an attribute, or None when it is absent, short, or no finite numbers."""
    for level in levels:
        words = texts(level, keyword)
        if not words:
            continue
        try:
            found = tuple(float(word) for word in words[:count])
        except ValueError:
            return None
        return found if len(found) == count and all(map(math.isfinite, found)) else None
    return None
