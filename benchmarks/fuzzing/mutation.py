"""Spoilt copies of bytes: flips, cuts, repeats, false numbers, words of the format; also within gzip and zip."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

ODD = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, -(2**31), 2**32 - 1, 1_000_000)
TEXTS = (
    b"nan", b"inf", b"-1", b"0", b"1e308", b"99999999999999999999", b"", b"\0", b"../../../etc/passwd", b"C:\\x",
    b"%s%n", b"=cmd|'/C calc'!A0", b"<script>alert(1)</script>", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 2000, b"{" * 2000,
    b"&a [*a]",
    b"!!python/object/apply:os.system ['true']", b"\n", b"\r\n\r\n", b"null", b"true", b"[]", b"{}", b"a" * 5000,
    b"1.2.3.4",
)  # fmt: skip
_MOST = 4_000_000


def mutated(data: bytes, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    """Return a spoilt copy; packed data are mostly spoilt within, so that more than the unpacking is tried."""
    if data[:2] == b"\x1f\x8b" and rng.random() < 0.7:
        return gzip.compress(_spoilt(_unpacked(data), rng, words, others), 1)
    if data[:4] == b"PK\3\4" and rng.random() < 0.6:
        return _zip(data, rng, words, others)
    return _spoilt(data, rng, words, others)


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data


def _zip(data: bytes, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        members = old.namelist()
        chosen = rng.choice(members)
        for name in members:
            content, called = old.read(name), name
            if name == chosen:
                content = _spoilt(content, rng, words, others)
                called = rng.choice((name, name, name, "../" + name, "/abs", "a" * 300, "con", "\n=1+1", name + "/"))
            new.writestr(called, content)
    return made.getvalue()


def _spoilt(data: bytes, rng: random.Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 10))):
        rng.choice(_WAYS)(changed, rng, words, others)
        del changed[_MOST:]
    return bytes(changed)


def _at(data: bytearray, rng: random.Random) -> int:
    """A place, half of the time among the first 2 KB: that is where headers are."""
    reach = min(len(data), 2048) if rng.random() < 0.5 else len(data)
    return rng.randrange(reach) if reach else 0


def _flip(data: bytearray, rng: random.Random, *_: object) -> None:
    if data:
        data[_at(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random, *_: object) -> None:
    if data:
        data[_at(data, rng)] = rng.choice((0, 1, 0x20, 0x2F, 0x5C, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(data: bytearray, rng: random.Random, *_: object) -> None:
    at, value = _at(data, rng), rng.choice(ODD)
    size, letter = rng.choice(((2, "H"), (4, "I"), (8, "Q")))
    packed = struct.pack(rng.choice("<>") + letter, value % (1 << 8 * size))
    data[at : at + size] = packed


def _real(data: bytearray, rng: random.Random, *_: object) -> None:
    at, value = _at(data, rng), rng.choice((float("nan"), float("inf"), -1.0, 0.0, 1e30, 1e-30))
    packed = struct.pack(rng.choice("<>") + "f", value)
    data[at : at + 4] = packed


def _cut(data: bytearray, rng: random.Random, *_: object) -> None:
    del data[_at(data, rng) :]


def _remove(data: bytearray, rng: random.Random, *_: object) -> None:
    at = _at(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 8, 100, 1000))]


def _repeat(data: bytearray, rng: random.Random, *_: object) -> None:
    at, size = _at(data, rng), rng.choice((1, 4, 16, 200))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))


def _word(data: bytearray, rng: random.Random, words: Sequence[bytes], _: object) -> None:
    at, word = _at(data, rng), rng.choice((*words, *TEXTS))
    size = rng.choice((0, len(word)))
    data[at : at + size] = word


def _digits(data: bytearray, rng: random.Random, *_: object) -> None:
    places = [n for n, byte in enumerate(data[:20_000]) if 0x30 <= byte <= 0x39]
    if places:
        first = last = rng.choice(places)
        while last < len(data) and data[last] in b"0123456789.":
            last += 1
        data[first:last] = rng.choice(TEXTS[:7]) if rng.random() < 0.7 else str(rng.choice(ODD)).encode()


def _line(data: bytearray, rng: random.Random, *_: object) -> None:
    lines = bytes(data[:20_000]).split(b"\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == 1:
        del lines[one]
    else:
        lines.insert(one, lines[two])
    data[:20_000] = b"\n".join(lines)


def _splice(data: bytearray, rng: random.Random, _: object, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    at, there, size = _at(data, rng), rng.randrange(len(other) or 1), rng.choice((8, 64, 500, 5000))
    data[at : at + size] = other[there : there + size]


_WAYS: tuple[Callable[..., None], ...] = (
    _flip, _flip, _byte, _byte, _number, _number, _real, _cut, _remove, _repeat, _word, _word, _digits, _line, _splice
)  # fmt: skip
