"""The one manifest: which images, with which reference, in which split, under which licence, from where.

::

    schema_version: "1.0"
    root: cc_msp                                  # or --root
    defaults: {licence: CC BY-NC-SA 3.0, origin: ABIDE I, pixel_mm: 0.5}
    table:
      file: index.csv
      entry: {id: "{id}", group: "{site}", image: "images/{id}.jpg", label: "masks/{id}.png"}
    split: {test: [Pitt, Olin], train: rest}

Paths are relative to ``root``, and that to the manifest's own folder. Plain pictures (PNG, JPEG, TIFF, BMP) are
mid-sagittal slices: rows superior to inferior, face left, pixels of ``pixel_mm``.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mediseg.errors import UsageError, did_you_mean
from mediseg.evaluate.manifest_file import EntryFile, ManifestFile, checked
from mediseg.io import yamltext

SPLITS = ("train", "dev", "test")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ABSENT = "absent"


@dataclass(frozen=True)
class Acpc:
    """The AC-PC line face left: mm from the image's middle (x posterior, y inferior); angle positive: PC lower."""

    midpoint_mm: tuple[float, float]
    angle_deg: float


@dataclass(frozen=True)
class Entry:
    """One image with its reference; paths are absolute and exist.

    ``label`` None: the structure is not in the image. ``label_values`` empty: every value but 0 counts. ``pixel_mm``
    (down, across) is set for plain pictures only. ``group`` is the site, or "" where none is said.
    """

    id: str
    image: Path
    label: Path | None
    split: str
    licence: str
    origin: str
    prediction: Path | None = None
    structure: str = "callosum"
    group: str = ""
    label_values: tuple[int, ...] = ()
    pixel_mm: tuple[float, float] | None = None
    acpc: Acpc | None = None
    annotator: str = ""
    model: str = ""
    time: str = ""


@dataclass(frozen=True)
class Manifest:
    """Checked entries in the manifest's order; ``sha256`` is the file's (a table's is joined to it)."""

    name: str
    path: Path
    sha256: str
    entries: tuple[Entry, ...]

    def only(self, split: str | None = None, groups: Iterable[str] | None = None) -> Manifest:
        """Return the entries of a split, or of some groups. Raises UsageError when none is left."""
        if split is not None and split not in SPLITS:
            raise UsageError(f'there is no split "{split}"{did_you_mean(split, SPLITS)}')
        wanted = None if groups is None else set(groups)
        kept = tuple(
            e for e in self.entries if split in (None, e.split) and (wanted is None or e.group in wanted)
        )  # fmt: skip
        if not kept:
            there = ", ".join(f"{sum(e.split == s for e in self.entries)} {s}" for s in SPLITS)
            raise UsageError(f"{self.path.name} has no such entry (it has {there}); choose another --split")
        return replace(self, entries=kept)


def load_manifest(path: str | Path, root: str | Path | None = None) -> Manifest:
    """Read and check a manifest: every file named is there, ids and images are unique, every entry has a split.

    ``root``: the folder of its paths, in place of the one it names. Nothing is decoded. Raises UsageError in one line.
    """
    where = Path(path)
    try:
        text = where.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the manifest {where}: {error.strerror or error}") from error
    file: ManifestFile = checked(yamltext.parsed(text, where.name), where.name)
    folder = Path(root) if root is not None else where.parent / (file.root or ".")
    if not folder.is_dir():
        raise UsageError(f"{where.name}: the folder {folder} of its paths does not exist; name it with --root")
    rows, table_text = _table_rows(file, folder, where.name)
    written = [*file.entries, *rows]
    if not written:
        raise UsageError(f"{where.name} lists no entry; give entries or a table")
    entries = _with_splits([_entry(one, file, folder, where.name) for one in written], file, where.name)
    _check_unique(entries, where.name)
    _check_files(entries, where.name)
    digest = hashlib.sha256(text + table_text).hexdigest()
    return Manifest(file.name or where.stem, where, digest, entries)


def _table_rows(file: ManifestFile, folder: Path, name: str) -> tuple[list[EntryFile], bytes]:
    if file.table is None:
        return [], b""
    where = folder / file.table.file
    try:
        text = where.read_bytes()
        lines = text.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: cannot read the table {where}; name the folder with --root") from error
    reader = csv.DictReader(lines, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise UsageError(f"{name}: {where.name} is no CSV table: {error}") from error
    texts = file.table.entry
    return [
        checked(
            {k: v for k, v in _filled(texts, row, name).items() if v}, f"{name}: row {n} of {where.name}", EntryFile
        )
        for n, row in enumerate(rows, start=2)
    ], text


def _filled(texts: Mapping[str, str], row: Mapping[str, str], name: str) -> dict[str, str]:
    def value(match: re.Match[str]) -> str:
        column = match.group(1)
        if column not in row:
            raise UsageError(f'{name}: the table has no column "{column}"{did_you_mean(column, filter(None, row))}')
        return row[column] or ""

    return {field: re.sub(r"\{([^{}]*)\}", value, text) for field, text in texts.items()}


def _entry(one: EntryFile, file: ManifestFile, folder: Path, name: str) -> Entry:
    values: dict[str, Any] = {**file.defaults.model_dump(exclude_none=True), **one.model_dump(exclude_none=True)}
    identity = values.setdefault("id", Path(one.image).name.split(".")[0])
    for field in ("licence", "origin"):
        if field not in values:
            raise UsageError(f"{name}: {identity} has no {field}; give it there or under defaults")
    is_picture = one.image.lower().endswith(PICTURES)
    if is_picture and "pixel_mm" not in values:
        raise UsageError(f"{name}: {identity} is a plain picture, which holds no pixel size; give pixel_mm")
    pixel = values.pop("pixel_mm", None)
    values["pixel_mm"] = (pixel if isinstance(pixel, tuple) else (pixel, pixel)) if is_picture else None
    if "acpc" in values:
        values["acpc"] = Acpc(**values["acpc"])
    for field in ("image", "label", "prediction"):
        if field in values:
            values[field] = None if field == "label" and values[field] == ABSENT else folder / values[field]
    return Entry(**{"split": "", **values})


def _with_splits(entries: Sequence[Entry], file: ManifestFile, name: str) -> tuple[Entry, ...]:
    """Give every entry its split: its own or the default's, else by the groups of the rule."""
    rule = file.split
    groups = {group: split for split, part in rule.items() if isinstance(part, tuple) for group in part}
    if len(groups) < sum(len(part) for part in rule.values() if isinstance(part, tuple)):
        raise UsageError(f"{name}: split: a group stands in two splits")
    known = {e.group for e in entries if e.group}
    for group in groups:
        if group not in known:
            raise UsageError(f'{name}: split: no entry is of the group "{group}"{did_you_mean(group, known)}')
    rests = [split for split, part in rule.items() if part == "rest"]
    if len(rests) > 1:
        raise UsageError(f"{name}: split: only one split can be the rest")
    shares = {split: part for split, part in rule.items() if isinstance(part, float)}
    if shares and (not rests or sum(shares.values()) >= 1):
        raise UsageError(f'{name}: split: shares are taken from a split that is "rest", and must leave some of it')
    found = []
    for entry in entries:
        split = entry.split or groups.get(entry.group) or (_drawn(entry.id, shares) or rests[0] if rests else "")
        if not split:
            raise UsageError(f"{name}: {entry.id} has no split; give it there, under defaults or under split")
        found.append(replace(entry, split=split))
    return tuple(found)


def _drawn(identity: str, shares: Mapping[Any, float]) -> str | None:
    """Return the split whose share an id falls into; other entries never change it."""
    place = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8]) / 2**64
    for split, share in sorted(shares.items()):
        if place < share:
            return str(split)
        place -= share
    return None


def _check_unique(entries: Sequence[Entry], name: str) -> None:
    ids: set[str] = set()
    images: dict[tuple[Path, str], Entry] = {}
    splits: dict[Path, str] = {}
    for entry in entries:
        if entry.id in ids:
            raise UsageError(f"{name}: the id {entry.id} stands twice; give each entry its own id")
        ids.add(entry.id)
        image = entry.image.absolute()
        if splits.setdefault(image, entry.split) != entry.split:
            raise UsageError(f"{name}: the image of {entry.id} stands in {splits[image]} and in {entry.split}")
        twin = images.setdefault((image, entry.structure), entry)
        if twin is not entry:
            raise UsageError(f"{name}: {twin.id} and {entry.id} are the same image")


def _check_files(entries: Sequence[Entry], name: str) -> None:
    files = [(e, p) for e in entries for p in (e.image, e.label, e.prediction) if p is not None]
    missing = [(entry, path) for entry, path in files if not path.exists()]
    if missing:
        entry, path = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UsageError(f"{name}: {entry.id}: {path} does not exist{more}; mend the path, or name --root")
