"""New UIDs under 2.25 (PS3.5 B.2): random, or the same again for the same input."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass

# one constant of mediseg for the file meta header (a random UUID, drawn once)
IMPLEMENTATION_CLASS_UID = "2.25.276519204873612958712240195483371160483"


@dataclass(frozen=True, slots=True)
class DicomOptions:
    """How DICOM objects are written.

    ``seg_type``: ``binary`` or ``labelmap``. ``deterministic_uids``: UIDs and times follow from ``seed`` (a digest of
    the input) and the kind of object, so that the same input gives the same bytes. ``corrected``: also write the
    bias-corrected head as a series (as large as the source).
    """

    seg_type: str = "binary"
    deterministic_uids: bool = False
    seed: str = ""
    corrected: bool = False


def random_uid() -> str:
    """Return a UID made from a random UUID."""
    return f"2.25.{uuid.uuid4().int}"


def derived_uid(*parts: str) -> str:
    """Return the UID that follows from SHA-256 over ``parts``, marked as a UUID of version 8 (RFC 9562)."""
    digest = bytearray(hashlib.sha256("\0".join(parts).encode()).digest()[:16])
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return f"2.25.{int.from_bytes(digest, 'big')}"


def uid_maker(options: DicomOptions, source_key: str) -> Callable[[str], str]:
    """Return the function that gives the UID of a kind of object, such as ``brain_seg/instance``.

    The same kind gives the same UID again, also when UIDs are random: all images of a series ask for the series' one.
    """
    if options.deterministic_uids:
        return lambda kind: derived_uid(options.seed, source_key, kind)
    drawn: dict[str, str] = {}
    return lambda kind: drawn.setdefault(kind, random_uid())
