"""Which files are DICOM, by content and never by name: in a folder of any depth, in a zip, or one file.

A member of a zip is named by a path that goes through the archive, ``study.zip/folder/0001.dcm``; Files opens such
paths as well as plain ones, without writing anything to disk.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self, cast

from mediseg.errors import InputError, Refusal, UsageError

HEAD_BYTES = 196
MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 8 << 30
MAX_TOTAL_BYTES = 200 << 30
MAX_RATIO = 200  # only asked of large members: scans reach 20 : 1, an empty mask of 256 MB is none of ours
LARGE_MEMBER_BYTES = 1 << 28
HEADER_BYTES = 1 << 16
IN_MEMORY_BYTES = 16 << 20
CHECKED_BYTES = 256 << 20  # a zip up to this is checked against its checksums when headers are read: 1 to 3 seconds
KEPT_BYTES = 128 << 20  # a zip up to this is unpacked once for all who read it: a head of 512 x 512 x 256
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_RESULTS = {"report.json", "report.html"}
_GROUPS = {b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"}  # 0002 and 0008, little and big endian


def looks_like_dicom(head: bytes) -> bool:
    """True for a file that begins as DICOM: the magic after the preamble, or a first element of group 2 or 8."""
    if head[128:132] == b"DICM":
        # what goes on as zeros is a hole of a disk or a trap, and would be parsed for minutes
        return len(head) == 132 or any(head[132:])
    if len(head) < 8 or head[:2] not in _GROUPS:
        return False
    is_little = head[1] == 0
    element = int.from_bytes(head[2:4], "little" if is_little else "big")
    length = int.from_bytes(head[4:8], "little" if is_little else "big")
    has_vr = head[4:6].isalpha() and head[4:6].isupper()
    return element <= 0x3000 and (has_vr or length < 4096)


def is_zip(path: Path) -> bool:
    """True when the file begins as a zip archive."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def archive_of(path: Path) -> Path | None:
    """Return the zip that a path goes through, or None for a plain path."""
    if path.exists():
        return None
    return next((parent for parent in path.parents if parent.is_file()), None)


def _by_path(archive: Path, members: list[zipfile.ZipInfo]) -> dict[Path, zipfile.ZipInfo]:
    """Give each member a path of its own: of several with one name none is lost, the later ones are numbered."""
    found: dict[Path, zipfile.ZipInfo] = {}
    seen: Counter[Path] = Counter()
    for info in members:
        parts = [part for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        path = archive.joinpath(*parts)
        while path in found:
            seen[path] += 1
            path = path.with_name(f"{path.name}~{seen[path] + 1}")
        found[path] = info
    return found


@dataclass
class _Unpacked:
    """Members of the zip that was read last. ``of``: its path, time of change and size."""

    of: tuple[Path, int, int] | None = None
    members: dict[Path, bytes] = field(default_factory=dict)

    def of_archive(self, archive: tuple[Path, int, int]) -> dict[Path, bytes]:
        """Return what is unpacked of a zip, to be added to; what was unpacked of another is let go."""
        if archive != self.of:
            self.of, self.members = archive, {}
        return self.members


_UNPACKED: ContextVar[_Unpacked | None] = ContextVar("unpacked", default=None)


@contextmanager
def unpacked_once() -> Iterator[None]:
    """Within it, the members of a small zip are unpacked once, however often and by however many Files they are opened.

    A study is opened four times: for its headers, its digest, its pixels and for what derived objects take from it.
    """
    token = _UNPACKED.set(_UNPACKED.get() or _Unpacked())
    try:
        yield
    finally:
        _UNPACKED.reset(token)


@dataclass(frozen=True)
class _Archive:
    """A zip that is open: its members by path, their size once unpacked, and what tells it from a changed one."""

    opened: zipfile.ZipFile
    members: dict[Path, zipfile.ZipInfo]
    size: int
    stamp: tuple[Path, int, int]

    def unpacked(self, path: Path) -> bytes:
        keeper = _UNPACKED.get()
        if keeper is None or self.size > KEPT_BYTES:
            return self.opened.read(self.members[path])
        held = keeper.of_archive(self.stamp)
        if path not in held:
            held[path] = self.opened.read(self.members[path])
        return held[path]


@dataclass
class Files:
    """Opens plain paths and paths through zips; holds an archive open while it is used. A context manager."""

    _archives: dict[Path, _Archive] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives.values():
            archive.opened.close()
        self._archives.clear()

    def members(self, archive: Path) -> dict[Path, zipfile.ZipInfo]:
        """Return what a zip holds, by path, in its own order. Raises InputError for a broken, locked or absurd one."""
        return self._opened(archive).members

    def open(self, path: Path, *, whole: bool = True) -> BinaryIO:
        """Open a file for reading; ``whole=False`` unpacks no more of a large zip's member than is read.

        Where a member is unpacked as a whole, its checksum is compared.

        Raises InputError when the member is damaged (as far as it is unpacked here), OSError as ``Path.open`` does.
        """
        archive = archive_of(path)
        if archive is None:
            return path.open("rb")
        held = self._opened(archive)
        if path not in held.members:
            raise FileNotFoundError(path)
        info = held.members[path]
        try:
            if not (whole or held.size <= CHECKED_BYTES) or info.file_size > IN_MEMORY_BYTES:
                stream = cast(io.RawIOBase, held.opened.open(info))
                return cast(BinaryIO, io.BufferedReader(stream, HEADER_BYTES))
            return io.BytesIO(held.unpacked(path))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError("a file in the zip is damaged and cannot be unpacked; get the zip again") from error

    def _opened(self, archive: Path) -> _Archive:
        if archive not in self._archives:
            try:
                state, opened = archive.stat(), zipfile.ZipFile(archive)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise InputError(f"{archive.name} is a broken zip; get it again") from error
            members = _by_path(archive, _checked(opened, archive))
            size = sum(info.file_size for info in members.values())
            stamp = (archive, state.st_mtime_ns, state.st_size)
            self._archives[archive] = _Archive(opened, members, size, stamp)
        return self._archives[archive]


def _checked(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    if not all(one.filename for one in opened.infolist()):
        raise InputError(f"{archive.name} is a broken zip, a file in it has no name; get it again")
    members = [one for one in opened.infolist() if not one.is_dir()]
    if any(one.flag_bits & 1 for one in members):
        raise InputError(f"{archive.name} is locked with a password; unpack it first and give the folder")
    if any(one.compress_type not in _METHODS for one in members):
        raise InputError(f"{archive.name} is packed in a way that mediseg does not know; unpack it and give the folder")
    if (
        len(members) > MAX_MEMBERS
        or sum(one.file_size for one in members) > MAX_TOTAL_BYTES
        or any(one.file_size > MAX_MEMBER_BYTES for one in members)
        or any(one.file_size > max(LARGE_MEMBER_BYTES, MAX_RATIO * one.compress_size) for one in members)
    ):
        raise Refusal(f"{archive.name} would unpack to an absurd size; unpack it yourself and give the folder")
    return members


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order, but not those of case folders that mediseg has written."""
    for root, folders, names in os.walk(folder):
        if set(names) >= _RESULTS and Path(root) != folder:
            folders.clear()
            continue
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file():
                yield path


def candidates(path: Path, files: Files) -> Iterator[Path]:
    """Yield every file at a path: those of the folder, those in the zip, or the file itself.

    Raises UsageError when there is nothing there, InputError for a broken zip.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_dir():
        yield from walk(path)
    elif path.stat().st_size and is_zip(path):
        yield from files.members(path)
    else:
        yield path


def head_of(path: Path, files: Files) -> bytes:
    """Return the first bytes of a file."""
    with files.open(path) as stream:
        return stream.read(HEAD_BYTES)
