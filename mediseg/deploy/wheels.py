"""Wheels as files: what they say of themselves, whether a target takes them, whether a folder of them is complete."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mediseg.deploy.targets import Target
from mediseg.errors import InputError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_LICENCE_STARTS = ("licen", "copying", "notice", "copyright", "authors", "thirdparty", "third_party")


@dataclass(frozen=True)
class Wheel:
    """One wheel: ``name`` normalised (PEP 503), ``requires`` its Requires-Dist lines, ``licence`` as it states it."""

    path: Path
    name: str
    version: str
    requires: tuple[str, ...]
    licence: str
    summary: str
    sha256: str


def read_wheel(path: Path) -> Wheel:
    """Read a wheel's own metadata. Raises InputError for a file that is no wheel."""
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

    try:
        name, version, _build, _tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            inside = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
            said = BytesParser().parsebytes(archive.read(inside))
    except (InvalidWheelFilename, zipfile.BadZipFile, StopIteration, OSError) as error:
        raise InputError(f"{path.name} is no wheel, or a damaged one; make the bundle again") from error
    if canonicalize_name(str(said["Name"])) != name:
        raise InputError(f"{path.name} says that it is {said['Name']}; make the bundle again")
    return Wheel(
        path, name, str(version), tuple(said.get_all("Requires-Dist") or ()), _licence(said),
        str(said.get("Summary", "")), sha256_of(path),
    )  # fmt: skip


def _licence(said: Message) -> str:
    """The SPDX expression, else the classifiers, else the first line of the free text; "" where nothing is said."""
    if said.get("License-Expression"):
        return str(said["License-Expression"])
    kinds = [c.split(" :: ")[-1] for c in said.get_all("Classifier") or () if c.startswith("License :: ")]
    kinds = [kind for kind in kinds if kind != "OSI Approved"]
    text = str(said.get("License", "")).strip().splitlines()
    return " / ".join(kinds) or (text[0][:100] if text else "")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def licence_files(wheel: Wheel) -> Iterable[tuple[str, bytes]]:
    """Yield name and content of the licence texts that a wheel carries, wherever in it they lie."""
    with zipfile.ZipFile(wheel.path) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.name.lower().startswith(_LICENCE_STARTS) and path.suffix.lower() not in (".py", ".pyi", ".pyc"):
                yield "__".join(part for part in path.parts if part not in ("..", "/")), archive.read(name)


def faults(wheels: Iterable[Wheel], target: Target, python: str, roots: Iterable[str]) -> list[str]:
    """Return what keeps a folder of wheels from being installed on a target with ``--no-index``; empty if nothing does.

    Judged from the files alone, whatever made them: each wheel's tags, and the whole tree of requirements from
    ``roots`` on, with markers as they hold on the target (pip's own ``--platform`` takes those of the machine it runs
    on, and so leaves out what only Windows needs).
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    by_name = {wheel.name: wheel for wheel in wheels}
    found = [f"{w.path.name} does not fit {target.name}" for w in by_name.values() if not fits(w.path, target, python)]
    todo, seen = [(Requirement(root), "the bundle") for root in roots], set[tuple[str, frozenset[str]]]()
    while todo:
        wanted, by = todo.pop()
        wheel = by_name.get(canonicalize_name(wanted.name))
        if wheel is None:
            found.append(f"{wanted.name} is missing, which {by} needs")
            continue
        if not wanted.specifier.contains(wheel.version, prereleases=True):
            found.append(f"{wheel.name} {wheel.version} is not {wanted.specifier}, which {by} needs")
        key = (wheel.name, frozenset(wanted.extras))
        if key not in seen:
            seen.add(key)
            todo += [(one, wheel.name) for one in _needs(wheel, wanted.extras, target.environment(python))]
    return found


def _needs(wheel: Wheel, extras: Iterable[str], environment: dict[str, str]) -> list[Requirement]:
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in wheel.requires]
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
    ]


def fits(path: Path, target: Target, python: str) -> bool:
    """True for a wheel that a target's pip would take."""
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import parse_wheel_filename

    version = tuple(int(part) for part in python.split("."))
    known = {*cpython_tags(version, platforms=target.platforms)}
    known |= {*compatible_tags(version, f"cp{version[0]}{version[1]}", target.platforms)}
    return bool(parse_wheel_filename(path.name)[3] & known)
