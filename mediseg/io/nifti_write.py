"""Volumes and labels to NIfTI-1: the true affine in both qform and sform, the same bytes for the same voxels."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError
from mediseg.io.atomic import written_atomically
from mediseg.volume import Segmentation, Source, Volume

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER, _ALIGNED = 1, 2  # NIFTI_XFORM codes
_GZIP_LEVEL = 3  # level 1 is a third larger on masks, level 6 twice as slow on floats
_CHUNK_BYTES = 1 << 24


def write_nifti(value: Volume | Segmentation, path: Path, source: Source | None = None) -> Path:
    """Write a volume or a label map as ``.nii`` or ``.nii.gz``.

    The voxels keep their order; the affine goes from LPS to RAS mm and stands in sform and, where the axes are at right
    angles, in qform. The code is 1 (scanner) for a DICOM source or a known frame of reference, else 2 (aligned with
    the input). Integers stay integers, other numbers are stored as float32, labels as uint8. Two calls with the same
    voxels give the same bytes: the gzip header holds no time and no name. Raises OutputError.
    """
    array = _stored(value.labels if isinstance(value, Segmentation) else value.array)
    origin = value.source if isinstance(value, Volume) and source is None else source
    is_scanner = value.geometry.frame_of_reference is not None or (origin is not None and origin.kind == "dicom")
    header = _header(array, value.geometry.affine_lps, _SCANNER if is_scanner else _ALIGNED)
    with written_atomically(path) as stream:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0) as packed:
                _write_parts(packed, header, array)
        else:
            _write_parts(stream, header, array)
    return path


def write_nifti_series(volumes: Sequence[Volume], path: Path) -> Path:
    """Write volumes of one grid as the fourth axis of one NIfTI file. Raises OutputError."""
    arrays = [_stored(volume.array) for volume in volumes]
    header = _header(np.broadcast_to(arrays[0][..., None], (*arrays[0].shape, len(arrays))),
                     volumes[0].geometry.affine_lps, _ALIGNED)  # fmt: skip
    with written_atomically(path) as stream:
        if not path.name.lower().endswith(".gz"):
            _write_series(stream, header, arrays)
            return path
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0) as packed:
            _write_series(packed, header, arrays)
    return path


def _write_series(stream: IO[bytes] | gzip.GzipFile, header: bytes, arrays: Sequence[npt.NDArray[Any]]) -> None:
    for n, array in enumerate(arrays):
        _write_parts(stream, header if n == 0 else b"", array)


def _stored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in the type it is stored in; integers that NIfTI readers dislike shrink where they fit."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.kind not in "iu":
        raise UsageError(f"a volume of type {array.dtype} cannot be written as NIfTI; use integers or real numbers")
    if array.dtype.itemsize <= 2:
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if np.iinfo(np.int32).min <= low and high <= np.iinfo(np.int32).max:
        return array.astype(np.int32, copy=False)
    return array.astype(np.float64)


def _header(array: npt.NDArray[Any], affine_lps: npt.NDArray[np.float64], code: int) -> bytes:
    """Return the 348 header bytes and the 4 that say there is no extension."""
    import nibabel as nib

    affine_ras = _RAS_FROM_LPS @ affine_lps
    header = nib.Nifti1Header()
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype.newbyteorder("<"))
    header.set_xyzt_units("mm")
    header.set_sform(affine_ras, code)
    axes = affine_ras[:3, :3] / np.linalg.norm(affine_ras[:3, :3], axis=0)
    # a qform is a rotation: sheared axes (a tilted gantry) stand in the sform alone
    is_rotation = bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-4)
    header.set_qform(affine_ras, code if is_rotation else 0, strip_shears=True)
    header["descrip"] = b"mediseg"
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = 1, 0
    if header.endianness != "<":
        header = header.as_byteswapped("<")
    return bytes(header.binaryblock) + b"\0\0\0\0"


def _write_parts(stream: IO[bytes] | gzip.GzipFile, header: bytes, array: npt.NDArray[Any]) -> None:
    """Write the header, then the voxels, first index fastest, a few slices at a time to keep memory flat."""
    stream.write(header)
    little = array.dtype.newbyteorder("<")
    step = max(1, _CHUNK_BYTES // max(1, array[:, :, 0].nbytes))
    for start in range(0, array.shape[2], step):
        stream.write(array[:, :, start : start + step].astype(little, copy=False).tobytes(order="F"))
