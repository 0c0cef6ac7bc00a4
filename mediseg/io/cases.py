"""Inputs into cases: a study, or a file, is one case; a folder of them is many. Each has a name safe to show."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mediseg.errors import InputError, MedisegError, UsageError
from mediseg.io import bids
from mediseg.io.identity import Identity
from mediseg.io.study import Study
from mediseg.volume import Volume

if TYPE_CHECKING:
    from mediseg.io.dicom.find import Files
    from mediseg.io.dicom.header import Image
    from mediseg.io.dicom.scan import Found

_SUFFIXES = (
    ".nii.gz",
    ".mgh.gz",
    ".nii",
    ".mgz",
    ".mgh",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".zip",
    ".dcm",
    ".ima",
    ".hdr",
    ".sur",
)
_PAIRED = (".mhd", ".nhdr", ".hdr")  # their pixels lie beside them: of the same name, or as the header calls them
_HEADER_BYTES = 1 << 16
# names that Windows keeps for devices, and those of mediseg's own files beside the cases
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|index\.html|index\.csv|run\.json", re.I)
_LONGEST_NAME = 80
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class CaseInput:
    """One case to work on.

    ``name`` is safe as a folder's name and holds no part of the patient's name or ID. ``kind`` is ``dicom``, or the
    format of ``paths`` (one file, several for stations). ``error`` tells why nothing can be read; then ``kind`` is "".
    """

    name: str
    paths: tuple[Path, ...]
    kind: str
    study: Study | None = None
    error: MedisegError | None = None

    def read(self, wanted: str = "head") -> Volume | tuple[Volume, ...]:
        """Return the volume that a recipe with this ``input:`` works on; for ``stations`` several, from the top.

        Raises the case's error, Refusal where nothing in it is fit, InputError for a damaged file.
        """
        if self.error is not None:
            raise self.error
        volumes = self._volumes(wanted)
        return volumes if wanted == "stations" else volumes[0]

    def _volumes(self, wanted: str) -> tuple[Volume, ...]:
        from mediseg.io.formats import get
        from mediseg.io.plausible import check_volume

        if self.study is None:
            return tuple(check_volume(get(self.kind).read(path), path.name) for path in self.paths)
        from mediseg.io.dicom.read import read_stack
        from mediseg.io.select import choose

        choice = choose(self.study, wanted)
        volumes = [check_volume(read_stack(stack, self.study.identity), stack.name) for stack in choice.stacks]
        volumes[0] = replace(volumes[0], warnings=(*volumes[0].warnings, *choice.warnings))
        return tuple(volumes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of the case's files, whatever they are called and in whatever order they come."""
        try:
            return input_digest(self)
        except OSError as error:
            raise InputError("a file of the case cannot be read again: it was moved or changed meanwhile") from error


def input_digest(case: CaseInput) -> str:
    """Return the SHA-256 (hex) of a case's content: it changes when any image file of the case does.

    It is taken over the sorted digests of the files and the study's UID, so renaming or zipping changes nothing.
    """
    from mediseg.io.dicom.find import Files

    total = hashlib.sha256()
    files = case.study.files if case.study is not None else _with_partners(case.paths)
    with Files() as opened:
        parts = []
        for path in files:
            if path.is_dir() or (case.error is not None and not path.exists()):
                continue
            try:
                parts.append(_digest(path, opened))
            except (InputError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                name = case.study.identity.safe_path(path) if case.study is not None else path.name
                raise InputError(f"{name} in the zip is damaged; get the zip again") from error
    for uid in case.study.uids if case.study is not None else ():
        total.update(uid.encode())
    for digest in sorted(parts):
        total.update(digest)
    return total.hexdigest()


def _digest(path: Path, opened: Files) -> bytes:
    total = hashlib.sha256()
    with opened.open(path) as stream:
        while chunk := stream.read(_CHUNK):
            total.update(chunk)
    return total.digest()


def _with_partners(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found.append(path)
        if path.suffix.lower() in _PAIRED and path.is_file():
            with path.open("rb") as stream:
                header = stream.read(_HEADER_BYTES)
            own = f"{path.stem}."
            named = [p for p in path.parent.iterdir() if p.name.startswith(own) or os.fsencode(p.name) in header]
            found += sorted(p for p in named if p.is_file() and p != path)
        if path.suffix.lower() == ".sur":
            found += [p for p in sorted(path.parent.glob("*.y*ml")) if p.is_file() and p not in found]
    return found


def find_cases(inputs: Iterable[str | Path], wanted: str = "head") -> tuple[CaseInput, ...]:
    """Return the cases that inputs hold, in the order given.

    A zip, a DICOM file, a volume file: one case (a zip of several studies: one each). A folder: one case for each DICOM
    study in it (series in sub-folders stay together), for each zip, for each volume file. A BIDS directory, or a
    subject's folder of one: one case for each anatomical image. For a recipe that wants ``stations`` the volume files
    given together, or lying in one folder, are one case.

    An input that cannot be read becomes a case with ``error``. Raises UsageError for a path that does not exist.
    """
    paths = [Path(one) for one in inputs]
    if not paths:
        raise UsageError("no input given; name a DICOM folder, a zip, or an image file")
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
        if not path.is_file() and not path.is_dir():
            raise UsageError(f"{path} is neither a file nor a folder; give the scan as a file")
    drafts = [draft for path in paths for draft in _drafts(path, wanted)]
    if wanted == "stations":
        drafts = _joined(drafts)
    return _named(drafts)


@dataclass(frozen=True)
class _Draft:
    """A case before it has its final name."""

    stem: str
    case: CaseInput
    identity: Identity = field(default_factory=Identity)
    is_whole: bool = False  # nothing is to be joined with it

    @property
    def key(self) -> str:
        """What stands for the content where the name may not be used: the study's UID, else the files' digest.

        Of a file that may not be opened, its path.
        """
        study = self.case.study
        if study is not None and study.uids and study.uids[0]:
            return study.uids[0]
        try:
            return self.case.digest
        except InputError:
            return str(self.case.paths)


def _drafts(path: Path, wanted: str) -> list[_Draft]:
    try:
        if path.is_dir() and bids.is_part_of_dataset(path):
            return _dataset(path, wanted)
        return _folder(path) if path.is_dir() else _file(path)
    except MedisegError as error:
        return [_unreadable(path, error)]


def _unreadable(path: Path, error: MedisegError) -> _Draft:
    """A case that tells why nothing can be read, by the file's name alone: folders are nobody's business."""
    return _Draft(_stem(path), CaseInput("", (path,), "", error=error.about(path)))


def _dataset(path: Path, wanted: str) -> list[_Draft]:
    """The anatomical images of a BIDS directory; stations of one spine (chunks) belong together."""
    found = bids.images(path)
    if not found:
        endings = ", ".join(f"*_{suffix}" for suffix in bids.SUFFIXES)
        raise InputError(
            f"{path.name} is a BIDS directory without anatomical images (sub-*/anat/{endings} .nii or .nii.gz)"
        )
    if wanted != "stations":
        return [_anatomical(one) for one in found]
    groups: dict[str, list[_Draft]] = defaultdict(list)
    for one in found:
        groups[bids.whole_of(one)].append(_anatomical(one))
    return [_spine(name, drafts) for name, drafts in groups.items()]


def _anatomical(path: Path) -> _Draft:
    from mediseg.io.formats import format_of

    try:
        name = format_of(path)
    except InputError as error:
        return _unreadable(path, error)
    if name is not None:
        return _Draft(_stem(path), CaseInput("", (path,), name), is_whole=True)
    if path.is_symlink() and not path.exists():
        return _unreadable(path, InputError(f"{path.name} is a link to content that is not here; get it: datalad get"))
    return _unreadable(path, InputError(f"{path.name} is damaged or not what its name says; copy it again"))


def _spine(name: str, drafts: list[_Draft]) -> _Draft:
    broken = next((draft for draft in drafts if draft.case.error is not None), None)
    if broken is not None:
        return broken
    paths = tuple(path for draft in drafts for path in draft.case.paths)
    return _Draft(_stem(Path(name)), CaseInput("", paths, drafts[0].case.kind), is_whole=True)


def _file(path: Path) -> list[_Draft]:
    from mediseg.io.formats import format_of

    name = format_of(path)
    if name is not None:
        return [_Draft(_stem(path), CaseInput("", (path,), name))]
    return _dicom_file(path)


def _dicom_file(path: Path) -> list[_Draft]:
    from mediseg.io.dicom.scan import gather, nothing_in

    found = gather(path)
    if not found.images:
        raise InputError(nothing_in(path, found))
    by_study = _grouped(found.images, _whose)
    studies = [found.study(path, images) for images in by_study]
    stem = path.resolve().parent.name if found.directories and not _is_zip(path) else _stem(path)
    return [_of_study(stem, path, study) for study in studies]


def _is_zip(path: Path) -> bool:
    from mediseg.io.dicom.scan import is_zip_safely

    return is_zip_safely(path)


def _of_study(stem: str, path: Path, study: Study) -> _Draft:
    return _Draft(stem, CaseInput("", (path,), "dicom", study), study.identity)


def _folder(path: Path) -> list[_Draft]:
    """DICOM studies anywhere below, and the zips and volume files that do not lie among DICOM files."""
    from mediseg.io.dicom.find import walk
    from mediseg.io.dicom.scan import gather, nothing_in

    found = gather(path)
    studies = _folder_studies(path, found) if found.images else []
    homes = {image.slice.file.parent for image in found.images}
    others = [draft for one in walk(path) if one.parent not in homes for draft in _loose(one)]
    if not studies and not others:
        raise InputError(nothing_in(path, found))
    return sorted([*studies, *others], key=lambda draft: [str(p) for p in draft.case.paths])


def _loose(path: Path) -> list[_Draft]:
    """A zip or a volume file of a folder; anything else is no case."""
    from mediseg.io.formats import format_of, suffixes

    if _is_zip(path):
        try:
            return _dicom_file(path)
        except MedisegError as error:
            return [_unreadable(path, error)]
    try:
        name = format_of(path)
    except InputError as error:
        return [_unreadable(path, error)] if path.name.lower().endswith((*suffixes(), ".zip")) else []
    if name is not None:
        return [_Draft(_stem(path), CaseInput("", (path,), name))]
    if path.name.lower().endswith(suffixes()):
        return [_unreadable(path, InputError(f"{path.name} is damaged or not what its name says; copy it again"))]
    return []


def _folder_studies(root: Path, found: Found) -> list[_Draft]:
    groups = [part for images in _grouped(found.images, _whose) for part in _copies_apart(root, images)]
    tops = [{_top(root, image.slice.file) for image in images} for images in groups]
    shared = Counter(name for names in tops for name in names)
    drafts = []
    for images, names in zip(groups, tops, strict=True):
        home = _home([image.slice.file for image in images])
        if len(groups) == 1:
            home = root
        elif len(names) == 1 and shared[next(iter(names))] == 1 and next(iter(names)):
            home = root / next(iter(names))
        drafts.append(_of_study(_stem(home), home, found.study(home, images)))
    return drafts


def _copies_apart(root: Path, images: Sequence[Image]) -> list[list[Image]]:
    """Split a study that lies twice below a folder (the same images in two sub-folders) into its copies."""
    tops: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for image in images:
        tops[_top(root, image.slice.file)].add((image.slice.sop_uid, image.slice.frame))
    total = sum(map(len, tops.values()))
    if total == len(set().union(*tops.values())):
        return [list(images)]
    return _grouped(images, lambda image: _top(root, image.slice.file))


def _grouped(images: Iterable[Image], key: Callable[[Image], Hashable]) -> list[list[Image]]:
    groups: dict[Hashable, list[Image]] = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return list(groups.values())


def _whose(image: Image) -> Hashable:
    """A study is one person's: where two share a StudyInstanceUID (or have none), they are two cases."""
    return image.info.study_uid, image.patient


def _top(root: Path, file: Path) -> str:
    """The first folder on the way from ``root`` to a file, "" for a file that lies in ``root`` itself."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _home(files: Sequence[Path]) -> Path:
    """The deepest folder that holds all files."""
    return Path(os.path.commonpath([file.parent for file in files]))


def _joined(drafts: list[_Draft]) -> list[_Draft]:
    """Make one case of all volume files, and one of each DICOM study, for a recipe that works on several stations."""
    drafts = _same_studies(drafts)
    volumes = [d for d in drafts if d.case.study is None and d.case.error is None and not d.is_whole]
    if len(volumes) < 2:
        return drafts
    paths = tuple(path for draft in volumes for path in draft.case.paths)
    kinds = {draft.case.kind for draft in volumes}
    if len(kinds) > 1:
        raise UsageError(f"stations of one spine must be of one format, not {', '.join(sorted(kinds))}")
    one = _Draft(_stem(_home(paths)), CaseInput("", paths, volumes[0].case.kind))
    return [one, *(draft for draft in drafts if draft not in volumes)]


def _same_studies(drafts: list[_Draft]) -> list[_Draft]:
    """Bring together the parts of one study that were given one by one; two people never, whatever their UIDs say."""
    merged: dict[Hashable, _Draft] = {}
    others: list[_Draft] = []
    for draft in drafts:
        study = draft.case.study
        if study is None:
            others.append(draft)
            continue
        key = study.uids, study.patients
        merged[key] = _merged(merged[key], draft) if key in merged else draft
    return [*merged.values(), *others]


def _merged(one: _Draft, other: _Draft) -> _Draft:
    first, second = one.case.study, other.case.study
    assert first is not None
    assert second is not None
    identity = one.identity | other.identity
    series, ignored = (*first.series, *second.series), first.ignored + second.ignored
    broken = (*first.broken, *second.broken)
    study = Study(first.path, series, ignored, broken, identity, first.patients)
    paths = (*one.case.paths, *other.case.paths)
    home = _home(paths)
    return _Draft(_stem(home), CaseInput("", paths, "dicom", study), identity)


def _stem(path: Path) -> str:
    name = path.name if path.name not in ("", "..") else path.resolve().name
    lower = name.lower()
    suffix = next((one for one in _SUFFIXES if lower.endswith(one) and len(lower) > len(one)), "")
    return safe_name(name[: len(name) - len(suffix)])


def safe_name(text: str) -> str:
    """Return a text as a folder's name that every system takes: letters, digits, ``. _ -``, at most 80 characters."""
    name = re.sub(r"[^\w.\-]+", "_", text).strip("._ ")[:_LONGEST_NAME].rstrip("._ ")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return name or "case"


def _without_names(case: CaseInput, known: Identity) -> CaseInput:
    if case.error is None or not known.shares(str(case.error)):
        return case
    return replace(case, error=type(case.error)(f"{known.safe_path(case.paths[0])} cannot be read; copy it again"))


def _named(drafts: Sequence[_Draft]) -> tuple[CaseInput, ...]:
    """Give the cases their names. What one study says of a patient hides the name in every case given beside it."""
    names = [draft.stem for draft in drafts]
    count = Counter(name.casefold() for name in names)
    known = Identity()
    for draft in drafts:
        known |= draft.identity
    for n, draft in enumerate(drafts):
        if count[names[n].casefold()] > 1 or known.shares(names[n]):
            names[n] = f"case-{hashlib.sha256(draft.key.encode()).hexdigest()[:8]}"
    drafts = [replace(draft, case=_without_names(draft.case, known)) for draft in drafts]
    seen: Counter[str] = Counter()
    cases = []
    for name, draft in zip(names, drafts, strict=True):
        seen[name.casefold()] += 1
        again = seen[name.casefold()]
        cases.append(replace(draft.case, name=name if again == 1 else f"{name}-{again}"))
    return tuple(cases)
