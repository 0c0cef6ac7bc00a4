"""NRRD, MHA and MHD through SimpleITK, whose world is LPS already."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from mediseg.errors import InputError, Refusal
from mediseg.geometry import Geometry
from mediseg.io.hushed import hushed_stderr
from mediseg.io.itk_headers import check_metaimage, check_nrrd
from mediseg.io.pixels import fit_for_use
from mediseg.io.plausible import check_size
from mediseg.volume import Source, Volume

_META_SUFFIXES = (".mha", ".mhd")
_HEADER_BYTES = 1 << 16
_PARTNER = re.compile(r"\s*(?:ElementDataFile\s*=|data\s?file\s*:)(.*)", re.I)


def can_read(path: Path) -> bool:
    """True for a file that begins as NRRD, or is named .mha or .mhd and begins as a MetaImage header."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head[:4] == b"NRRD":
        return True
    return path.suffix.lower() in _META_SUFFIXES and b"=" in head


def read(path: Path) -> Volume:
    """Return the volume of a file; one image a file, one grey value a voxel.

    Raises InputError for a damaged file, Refusal for several components, a fourth axis, NaN or an image without place.
    """
    import SimpleITK

    check_nrrd(path) if _is_nrrd(path) else check_metaimage(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if _is_nrrd(path) else "MetaImageIO")
    reader.SetFileName(str(path))
    _check_partner(path)
    try:
        with hushed_stderr():  # MetaIO and NrrdIO print several lines about each fault
            reader.ReadImageInformation()
            check_size(reader.GetSize(), path.name)
            image = reader.Execute()
    except RuntimeError as error:
        raise InputError(
            f"{path.name} is damaged or incomplete (or its data file is missing); copy it again"
        ) from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise Refusal(f"{path.name} holds {image.GetNumberOfComponentsPerPixel()} values a voxel, not one grey value")
    image = _three_axes(image, path)
    # SimpleITK gives its array as (k, j, i)
    array = fit_for_use(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), path.name)
    affine = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # Geometry refuses what is not finite
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    i, j, k = array.shape
    try:
        geometry = Geometry((i, j, k), affine)
    except ValueError as error:
        raise Refusal(f"{path.name} has no usable place in the patient: {error}") from error
    kind = "nrrd" if _is_nrrd(path) else "metaimage"
    return Volume(array, geometry, Source(files=(path,), kind=kind, grid=geometry))


def _is_nrrd(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"NRRD"


def _check_partner(path: Path) -> None:
    """Refuse a header that names its pixels anywhere but in its own folder: it was written to fetch another file."""
    with path.open("rb") as stream:
        lines = stream.read(_HEADER_BYTES).split(b"\n\n")[0].decode("latin-1").splitlines()
    for line in lines:
        found = _PARTNER.match(line)
        name = found[1].strip().split(" ")[0] if found else ""
        if name and (len(PureWindowsPath(name).parts) > 1 or PureWindowsPath(name).drive or name.startswith("/")):
            raise InputError(
                f"{path.name} names its pixels outside its own folder; put them beside it and name them so"
            )


def _three_axes(image: Any, path: Path) -> Any:
    import SimpleITK

    size = image.GetSize()
    if len(size) == 4 and size[3] == 1:
        return SimpleITK.Extract(image, [*size[:3], 0], [0, 0, 0, 0])
    if len(size) == 4:
        raise Refusal(f"{path.name} holds {size[3]} volumes in one file; give one of them as a file of its own")
    if len(size) == 2:
        return SimpleITK.JoinSeries(image)
    return image
