"""Deflated DICOM (the whole dataset packed by zlib) is unpacked in memory by pydicom: how large, is asked before."""

from __future__ import annotations

import zlib
from typing import BinaryIO

DEFLATED = b"1.2.840.10008.1.2.1.99"
MOST_BYTES = 1 << 29
_HEAD_BYTES, _CHUNK = 2048, 1 << 16


def check_unpacked_size(stream: BinaryIO) -> None:
    """Raise ValueError where a deflated dataset would unpack to more than MOST_BYTES; leaves the stream at its start.

    It is unpacked piece by piece and thrown away. Anything that is not deflated passes at once.
    """
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    if DEFLATED in head:
        if head[132:138] != b"\2\0\0\0UL":
            raise ValueError("a deflated file whose meta information does not say how long it is")
        stream.seek(144 + int.from_bytes(head[140:144], "little"))
        _count(stream)
    stream.seek(0)


def _count(stream: BinaryIO) -> None:
    unpacker, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not unpacker.eof and (waiting := unpacker.unconsumed_tail or stream.read(_CHUNK)):
        total += len(unpacker.decompress(waiting, _CHUNK))
        if total > MOST_BYTES:
            raise ValueError("a deflated file that would unpack to an absurd size")
