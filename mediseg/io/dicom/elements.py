"""The few elements of a file that are wanted, found by stepping over all others: a study is thousands of headers.

Only what is written as nearly every file is (a preamble, little endian, elements in order) is read here; for anything
else these functions return None, and pydicom reads the file. Encoding: PS3.5 chapter 7, PS3.10 chapter 7.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import BinaryIO

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_CHUNK = 1 << 13
_DEEPEST = 100  # sequences and items in one another; deeper, pydicom decides, and refuses what it cannot follow
_UNDEFINED = 0xFFFFFFFF
_PIXELS, _PIXEL_DATA = 0x7FE00000, 0x7FE00010
_FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARACTER_SET, _CLASS = 0x00080005, 0x00080016
_IMPLICIT, _EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
_NOT_HERE = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")  # big endian; deflated
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SYNTAX, _SYNTAX_UNKNOWN = 0x00020010, b""
_EXPLICIT_HEAD, _IMPLICIT_HEAD, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<HHI"), struct.Struct("<I")


class _Unusual(Exception):
    """The file is not written as nearly all are."""


def wanted_elements(stream: BinaryIO, wanted: Mapping[int, BaseTag]) -> Dataset | None:
    """Return the wanted elements of the header, not yet decoded, or None when pydicom must read the file.

    ``wanted`` gives pydicom's tag for each number (group * 65536 + element).
    """
    try:
        return _Walk(stream, wanted).dataset()
    except _Unusual:
        return None


def wanted_image(stream: BinaryIO, wanted: Mapping[int, BaseTag]) -> tuple[Dataset, bytes] | None:
    """Return the wanted elements and the Pixel Data, which lies there uncompressed; None as ``wanted_elements``."""
    try:
        walk = _Walk(stream, wanted)
        return walk.dataset(), walk.pixel_data()
    except _Unusual:
        return None


@cache
def _encodings(character_set: bytes) -> list[str]:
    return convert_encodings([name.strip() for name in character_set.decode("latin-1").split("\\")])


def _opened(vr: bytes, depth: int) -> tuple[int, int]:
    """Step into a sequence of undefined length; return the depth, and how much to skip."""
    if vr not in (b"SQ", b"") or depth > _DEEPEST:  # the content of UN is implicit, whatever is around it; OB is pixels
        raise _Unusual
    return depth + 1, 0


def _delimited(tag: int, length: int, depth: int) -> tuple[int, int]:
    """Step over an item, into one of undefined length, or out; return the depth, and how much to skip."""
    if depth == 0 or tag not in (_ITEM, _ITEM_END, _SEQUENCE_END):
        raise _Unusual
    if tag == _ITEM:
        return (depth + 1, 0) if length == _UNDEFINED else (depth, length)
    return depth - 1, 0


class _Walk:
    """Steps from element to element through a window of the file."""

    def __init__(self, stream: BinaryIO, wanted: Mapping[int, BaseTag]) -> None:
        self.stream, self.wanted = stream, wanted
        self.start = 0  # of the window in the file
        self.window = stream.read(_CHUNK)
        self.held = len(self.window)  # bytes of the file in it; zeros may follow
        self.found: dict[BaseTag, RawDataElement] = {}
        self.seen: dict[int, bytes] = {}  # the same values by number: comparing pydicom's tags takes its time
        self.syntax = _SYNTAX_UNKNOWN
        self.pixels: tuple[int, int, int] | None = None  # the first element of their group: tag, place, length

    def dataset(self) -> Dataset:
        if self.window[128:132] != b"DICM":
            raise _Unusual
        self.syntax, at = self._meta()
        is_implicit = self.syntax == _IMPLICIT
        if not self.syntax or self.syntax in _NOT_HERE:
            raise _Unusual
        self._walk(at, is_implicit)
        if not self.seen.get(_CLASS, b"").strip(b" \0"):  # it may stand in the file meta information alone
            raise _Unusual
        dataset = Dataset(self.found)  # type: ignore[arg-type]  # raw elements, as dcmread makes them
        dataset.set_original_encoding(is_implicit, True, _encodings(self.seen.get(_CHARACTER_SET, b"")))
        return dataset

    def pixel_data(self) -> bytes:
        tag, at, length = self.pixels or (0, 0, 0)
        if self.syntax not in (_IMPLICIT, _EXPLICIT) or tag != _PIXEL_DATA or length == _UNDEFINED:
            raise _Unusual
        self.stream.seek(at)
        data = self.stream.read(length)
        if len(data) != length:
            raise _Unusual
        return data

    def _meta(self) -> tuple[bytes, int]:
        """Return the transfer syntax, and where the group after the file meta information begins."""
        at, syntax = 132, _SYNTAX_UNKNOWN
        while True:
            if self._implicit(at)[0] >> 16 != 2:
                return syntax, at
            tag, _, length, head = self._explicit(at)
            if length == _UNDEFINED:
                raise _Unusual
            if tag == _SYNTAX:
                syntax = self._bytes(at + head, length).strip(b" \0")
            at += head + length

    def _walk(self, at: int, is_implicit: bool) -> None:
        """Collect wanted elements; inside sequences of undefined length only their ends are looked for."""
        depth, last = 0, 0
        read = self._implicit if is_implicit else self._explicit
        while not self._is_end(at):
            tag, vr, length, head = read(at)
            at += head
            if tag >= _ITEM:
                depth, length = _delimited(tag, length, depth)
                at += length
                continue
            if depth == 0:
                if tag >= _PIXELS:
                    self.pixels = tag, at, length
                    return
                if tag <= last or tag in _FUNCTIONAL_GROUPS:
                    raise _Unusual
                last = tag
            if length == _UNDEFINED:
                depth, length = _opened(vr, depth)
            elif depth == 0 and tag in self.wanted:
                self._keep(tag, vr, at, length, is_implicit)
            at += length
        if depth:
            raise _Unusual

    def _keep(self, tag: int, vr: bytes, at: int, length: int, is_implicit: bool) -> None:
        name = None if is_implicit else vr.decode("ascii")
        known, content = self.wanted[tag], self._bytes(at, length)
        self.found[known] = RawDataElement(known, name, length, content, at, is_implicit, True)
        self.seen[tag] = content

    def _explicit(self, at: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR, length of the value, and length of what stands before it."""
        here = self._here(at, 12)
        group, element, vr, length = _EXPLICIT_HEAD.unpack_from(self.window, here)
        if vr in _SHORT:
            return group << 16 | element, vr, length, 8
        if vr in _LONG:
            return group << 16 | element, vr, _LENGTH.unpack_from(self.window, here + 8)[0], 12
        if group == 0xFFFE:
            return self._implicit(at)
        raise _Unusual

    def _implicit(self, at: int) -> tuple[int, bytes, int, int]:
        here = self._here(at, 8)  # which may move the window
        group, element, length = _IMPLICIT_HEAD.unpack_from(self.window, here)
        return group << 16 | element, b"", length, 8

    def _here(self, at: int, size: int) -> int:
        """Return the place in the window of a place in the file, of which so many bytes are needed (or zeros)."""
        here = at - self.start
        if here + size > self.held:
            self.stream.seek(at)
            window = self.stream.read(max(_CHUNK, size))
            if len(window) < min(size, 8):
                raise _Unusual
            self.start, self.held, here = at, len(window), 0
            self.window = window + b"\0" * (size - self.held)
        return here

    def _bytes(self, at: int, length: int) -> bytes:
        if length > 1 << 20:
            raise _Unusual
        if not length:
            return b""
        here = self._here(at, length)
        return self.window[here : here + length]

    def _is_end(self, at: int) -> bool:
        """True at the very end of the file; an element that would reach beyond it is unusual."""
        if at < self.start + self.held:
            return False
        self.stream.seek(at - 1)
        rest = self.stream.read(2)
        if not rest:
            raise _Unusual
        return len(rest) == 1
