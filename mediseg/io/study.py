"""What a DICOM study holds, before any pixel is decoded: series, and in them stacks of parallel slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mediseg.errors import Warn
from mediseg.geometry import Geometry
from mediseg.io.identity import Identity

Fact = str | float | int


@dataclass(frozen=True, slots=True)
class Slice:
    """One image: a file, or one frame of a multi-frame file.

    ``file`` may lie inside a zip (``study.zip/folder/0001.dcm``): mediseg.io.dicom.find.Files opens both kinds.
    ``frame`` is the 1-based frame number, 0 for a file that holds one image; ``tile`` the 1-based tile of a Siemens
    mosaic, 0 for any other image. ``position_lps_mm`` is the centre of its first voxel.
    """

    file: Path
    sop_uid: str
    frame: int
    instance: int
    position_lps_mm: tuple[float, float, float] | None
    tile: int = 0


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What all images of a series share. ``description`` is empty where it repeats a part of the patient's name."""

    study_uid: str
    series_uid: str
    number: int | None
    description: str
    modality: str
    sop_class: str
    manufacturer: str = ""
    sequence: str = ""
    body_part: str = ""


@dataclass(frozen=True)
class Stack:
    """Parallel slices of one contrast, one a position, along k of ``geometry`` (i x j = k, right-handed).

    ``slices[k]`` is None for a missing slice, which reading fills from its two neighbours. ``copies`` are further
    images at a position that has one already. ``unfit`` says why the stack cannot be read as a volume (then
    ``geometry`` may be None and ``slices`` are in file order), else it is None.
    """

    info: SeriesInfo
    slices: tuple[Slice | None, ...]
    geometry: Geometry | None
    image_type: tuple[str, ...] = ()
    label: str = ""
    component: str = "M"  # M magnitude, P phase, R real, I imaginary
    copies: tuple[tuple[int, Slice], ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[Warn, ...] = ()
    unfit: str | None = None
    is_inverted: bool = False  # small values are to be shown white (MONOCHROME1); reading turns them

    @property
    def missing(self) -> tuple[int, ...]:
        """Indices along k without an image."""
        return tuple(k for k, one in enumerate(self.slices) if one is None)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the stack in slice order, each once."""
        return tuple(dict.fromkeys(one.file for one in self.slices if one is not None))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Size of the voxel block along i, j and k (0 without geometry)."""
        if self.geometry is None:
            return 0.0, 0.0, 0.0
        (i, j, k), (x, y, z) = self.geometry.shape, self.geometry.spacing_mm
        return i * x, j * y, k * z

    @property
    def name(self) -> str:
        """A name for messages: series number, description and label, such as ``series 4 (T1 MPRAGE, echo 2)``."""
        number = "without a number" if self.info.number is None else str(self.info.number)
        words = ", ".join(word for word in (self.info.description, self.label) if word)
        return f"series {number} ({words})" if words else f"series {number}"


@dataclass(frozen=True)
class Series:
    """One series: its stacks, or why it holds none (``unfit``)."""

    info: SeriesInfo
    stacks: tuple[Stack, ...]
    files: int
    unfit: str | None = None

    @property
    def name(self) -> str:
        """A name for messages: number and description."""
        number = "without a number" if self.info.number is None else str(self.info.number)
        return f"series {number} ({self.info.description})" if self.info.description else f"series {number}"


@dataclass(frozen=True)
class Study:
    """What was found at a path: series in order of number, and how many other files were ignored.

    ``identity`` knows the patient's name and ID only to recognise them in a text (``identity.shares``). ``patients``
    are digests that only tell people apart.
    """

    path: Path
    series: tuple[Series, ...]
    ignored: int = 0
    broken: tuple[str, ...] = ()  # names of files that begin as DICOM but cannot be parsed
    identity: Identity = field(default_factory=Identity)
    patients: frozenset[bytes] = field(default=frozenset(), repr=False)

    @property
    def uids(self) -> tuple[str, ...]:
        """The Study Instance UIDs, each once, in order of the series."""
        return tuple(dict.fromkeys(one.info.study_uid for one in self.series))

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """All stacks of all series."""
        return tuple(stack for one in self.series for stack in one.stacks)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of every stack, each once."""
        return tuple(dict.fromkeys(path for stack in self.stacks for path in stack.files))
