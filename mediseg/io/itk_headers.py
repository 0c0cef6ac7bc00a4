"""Headers that ITK's readers of NRRD and MetaImage write beyond their memory for: refused before they are asked."""

from __future__ import annotations

import re
from pathlib import Path

from mediseg.errors import InputError

_HEADER_BYTES = 1 << 16
_LONGEST_FIELD = 400  # NrrdIO survives 800 in its messages
_LONGEST_NAME = 200  # MetaIO 256
_MOST_AXES = 10  # MetaIO's arrays
_META_BYTES = 1 << 20
_TEXT = re.compile(rb"encoding:\s*(?:ascii|te?xt)", re.I)
_AXES = re.compile(rb"NDims\s*[=:][ \t]*([^\s]*)")
_NAME = re.compile(rb"Name\s*[=:][^\n]{%d}" % _LONGEST_NAME)
_PIXELS = re.compile(rb"ElementDataFile\s*[=:]([^\n]*)")
_NUMBERED = re.compile(rb"[^%]*%0?[0-9]{0,2}d[^%]*")


def check_nrrd(path: Path) -> None:
    """Raise InputError for a field of a thousand letters, which NrrdIO puts into its complaint, and for pixels as text.

    Comments, ``content`` and ``key:=value`` pairs may be as long as they like. Fields end long before.
    """
    with path.open("rb") as stream:
        while (line := stream.readline(_LONGEST_FIELD + 1)) and line not in (b"\n", b"\r\n"):
            if _TEXT.search(line):
                raise InputError(f"{path.name} holds its pixels as text; save it as raw or gzip")
            if len(line) > _LONGEST_FIELD and not _is_free(line):
                raise _damaged(path, "a line too long for any field")
            while not line.endswith(b"\n") and (more := stream.readline(_HEADER_BYTES)):
                line = line[-1:] + more
                if b"\r" in line.rstrip(b"\r\n"):  # it ends a line, too
                    raise _damaged(path, "a line too long for any field")


def _is_free(line: bytes) -> bool:
    key, pair, _ = line.partition(b":=")
    may_be_long = line.startswith((b"#", b"content:")) or (bool(pair) and b": " not in key)
    return may_be_long and b"\r" not in line.rstrip(b"\r\n")


def check_metaimage(path: Path) -> None:
    """Raise InputError for a number of axes, a name or a pattern of file names that MetaIO takes without asking.

    Looked for anywhere in the file's beginning: where its header ends is known to nobody but MetaIO.
    """
    with path.open("rb") as stream:
        head = stream.read(_META_BYTES)
    axes = [found[1] for found in _AXES.finditer(head)]
    if not all(one.isdigit() and len(one) < 3 and 0 < int(one) <= _MOST_AXES for one in axes):
        raise _damaged(path, "a number of axes that no image has")
    if _NAME.search(head):
        raise _damaged(path, "a name too long")
    if not all(b"%" not in found[1] or _NUMBERED.fullmatch(found[1]) for found in _PIXELS.finditer(head)):
        raise _damaged(path, "no usable name of the pixels' file")


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path.name} is damaged: its header has {why}; copy it again")
