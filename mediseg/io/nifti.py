"""NIfTI-1/2 and FreeSurfer MGH/MGZ through nibabel. RAS is turned into LPS here and nowhere further in."""

from __future__ import annotations

import gzip
import io
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, InputError, Refusal, Warn
from mediseg.geometry import Array, Geometry
from mediseg.io.hushed import hushed_logger
from mediseg.io.pixels import fit_for_use
from mediseg.io.plausible import check_size
from mediseg.volume import Source, Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SUFFIXES = (".nii", ".nii.gz", ".mgh", ".mgz", ".mgh.gz", ".hdr", ".img")
_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 540  # of NIfTI-2, the longer one
_MOST_PACKED = 1032  # bytes that one byte of deflate can stand for
SAME_MM = 0.1  # how far apart the corners placed by qform and sform may lie before it is worth a word


def can_read(path: Path) -> bool:
    """True for a file whose first bytes (unpacked) are those of a NIfTI or MGH header."""
    head = _head(path)
    if len(head) >= 348 and head[344:348] in (b"n+1\0", b"ni1\0"):
        return True
    if head[4:8] in (b"n+2\0", b"ni2\0"):
        return True
    return head[:4] == b"\0\0\0\1" and path.name.lower().endswith((".mgh", ".mgz", ".mgh.gz"))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            head = stream.read(348)
        if head[:2] != _GZIP:
            return head
        with gzip.open(path) as stream:
            return stream.read(348)
    except (OSError, EOFError, zlib.error):
        return b""


def read(path: Path) -> Volume:
    """Return the volume of a file. A fourth axis of one is dropped; a longer one is refused.

    The place is the sform where its code is above 0, else the qform, else, without either, it is refused: an image
    without orientation has no left side. Raises InputError for a damaged file, Refusal for NaN or no place.
    """
    with hushed_logger("nibabel.global"), warnings.catch_warnings():  # it tells of every odd code in a header
        warnings.filterwarnings("ignore", module=r"nibabel(\.|$)")
        return _read(path)


def _read(path: Path) -> Volume:
    broken = InputError(f"{path.name} is damaged, incomplete, or not what its name says; copy it again")
    try:
        _check_scaling(path)
        image = _opened(path)
        if not _can_hold(path, image):
            raise broken
        check_size(image.shape, path.name)
        stored = np.asanyarray(image.dataobj)
    except _unreadable() as error:
        raise broken from error
    is_nifti = hasattr(image, "get_sform")
    affine_ras, warned = _placed(image, path) if is_nifti else (np.asarray(image.affine, np.float64), ())
    array = fit_for_use(_three_axes(stored, path), path.name)
    try:
        i, j, k = array.shape
        with np.errstate(over="ignore", invalid="ignore"):  # Geometry refuses what is not finite
            affine_lps = LPS_FROM_RAS @ affine_ras
        geometry = Geometry((i, j, k), affine_lps)
    except ValueError as error:
        raise Refusal(f"{path.name} has no usable place in the patient: {error}") from error
    source = Source(files=(path,), kind="nifti" if is_nifti else "mgh", grid=geometry)
    return Volume(array, geometry, source, warned)


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what nibabel raises on a header or voxels that are not what they should be."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.freesurfer.mghformat import MGHError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError, ImageDataError

    own = (ImageFileError, HeaderDataError, HeaderTypeError, ImageDataError, MGHError)
    return (
        *own, OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError, KeyError, struct.error, zlib.error,
    )  # fmt: skip


def _check_scaling(path: Path) -> None:
    """Refuse a scl_slope or scl_inter that leaves no image; nibabel takes an infinite slope for none.

    NaN or 0 as the slope is how NIfTI says that there is no scaling.
    """
    head = _head(path)
    kinds = {b"\x5c\1\0\0": ("<2f", 112), b"\0\0\1\x5c": (">2f", 112), b"\x1c\2\0\0": ("<2d", 176)}
    layout, start = {**kinds, b"\0\0\2\x1c": (">2d", 176)}.get(head[:4], ("", 0))
    if len(head) < 348 or not layout:
        return
    slope, intercept = struct.unpack_from(layout, head, start)
    is_scaled = slope != 0 and not math.isnan(slope)
    if math.isinf(slope) or math.isinf(intercept) or (is_scaled and math.isnan(intercept)):
        raise Refusal(
            f"{path.name}: its scaling (scl_slope {slope:g}, scl_inter {intercept:g}) leaves no image; "
            "mend it with the tool that made it"
        )


def _can_hold(path: Path, image: Any) -> bool:
    """True when a file is large enough for the voxels that its header promises: asked before memory is taken."""
    if any(n < 0 for n in image.shape):  # NIfTI-2 counts in signed 64 bits
        return False
    needed = math.prod(int(n) for n in image.shape) * image.get_data_dtype().itemsize
    pixels = path.with_suffix(".img") if path.suffix.lower() == ".hdr" else path
    with pixels.open("rb") as stream:
        is_packed = stream.read(2) == _GZIP
    return bool(needed <= pixels.stat().st_size * (_MOST_PACKED if is_packed else 1))


def _opened(path: Path) -> Any:
    """Open by content, so that a NIfTI without a usual suffix is read too."""
    import nibabel

    if path.name.lower().endswith(_SUFFIXES):
        return nibabel.load(path)
    with path.open("rb") as stream:
        is_packed = stream.read(2) == _GZIP
    with gzip.open(path) if is_packed else path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
        kind = nibabel.Nifti2Image if head[4:8] in (b"n+2\0", b"ni2\0") else nibabel.Nifti1Image
        header = kind.header_class.from_fileobj(io.BytesIO(head))
        shape = header.get_data_shape()
        check_size(shape, path.name)
        # no more than the header promises: what a packed file holds beyond that may be endless
        size = int(header["vox_offset"]) + math.prod(shape) * header.get_data_dtype().itemsize
        return kind.from_bytes(head + stream.read(max(0, size - len(head))))


def _three_axes(stored: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    if stored.dtype.names is not None or stored.dtype.kind == "c":
        raise Refusal(f"{path.name} holds colours or complex numbers, not one grey value a voxel")
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim > 3:
        count = math.prod(stored.shape[3:])
        raise Refusal(f"{path.name} holds {count} volumes in one file; give one of them as a file of its own")
    while stored.ndim < 3:
        stored = stored[..., None]
    return stored


def _placed(image: Any, path: Path) -> tuple[Array, tuple[Warn, ...]]:
    sform, sform_code = image.get_sform(coded=True)
    qform, qform_code = _qform(image)
    if sform_code and not np.isfinite(sform).all():
        raise Refusal(f"{path.name} has no usable place in the patient: its sform holds values that are no numbers")
    if not sform_code and not qform_code:
        raise Refusal(
            f"{path.name} does not say how it lies in the patient (sform and qform codes are 0); left and right cannot "
            "be told; write one of them with the tool that made the file"
        )
    if not sform_code or sform is None:
        return np.asarray(qform, np.float64), ()
    if not qform_code or qform is None:
        return np.asarray(sform, np.float64), ()
    return np.asarray(sform, np.float64), _disagreement(sform, qform, int(sform_code), image.shape)


def _qform(image: Any) -> tuple[Array | None, int]:
    try:
        qform, code = image.get_qform(coded=True)
    except ValueError:  # nibabel: a quaternion longer than 1, no rotation at all
        return None, 0
    return qform, int(code or 0)


def _disagreement(sform: Array, qform: Array, code: int, shape: tuple[int, ...]) -> tuple[Warn, ...]:
    """Warn where the two placements of a file part, unless the sform is a template's (codes 3 and above)."""
    size = [*shape[:3], 1, 1, 1][:3]
    corners = np.array([[i, j, k, 1] for i in (0, size[0]) for j in (0, size[1]) for k in (0, size[2])], float)
    apart = float(np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max())
    if apart <= SAME_MM or code >= 3:
        return ()
    text = f"sform and qform place the image up to {apart:.2g} mm apart; the sform is used"
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        text += "; they do not agree which side is left"
    return (Warn(Code.LATERALITY_UNSURE, text, {"apart_mm": apart}),)
