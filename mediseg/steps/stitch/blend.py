"""Many stations to one image, in float; weights sum to 1 wherever any number of stations overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mediseg.steps.stitch.features import Pixels
from mediseg.steps.stitch.place import Placed

_BANDS = 5
_Float = TypeVar("_Float", Pixels, npt.NDArray[np.float64])


def weights_of(placed: Sequence[Placed | None], shape: tuple[int, int, int], power: float) -> list[Pixels]:
    """Return one map a station on the whole grid: a power of the distance to its border, over the sum of all."""
    maps = [np.zeros(shape, np.float32) for _ in placed]
    total = np.zeros(shape, np.float32)
    for one, weight in zip(placed, maps, strict=True):
        if one is not None:
            inside = one.inside_mm if power == 1 else one.inside_mm ** np.float32(power)
            weight[one.where] = inside
            total[one.where] += inside
    total[total == 0] = 1
    return [np.divide(weight, total, out=weight) for weight in maps]


def feathered(placed: Sequence[Placed | None], weights: Sequence[Pixels]) -> Pixels:
    """Return the weighted mean; 0 where no station reaches.

    Slice by slice in double precision, over the weights' own sum, so that equal values keep every bit.
    """
    rows, columns, count = weights[0].shape
    out = np.zeros((rows, columns, count), np.float32)
    for k in range(count):
        total, mean = np.zeros((rows, columns)), np.zeros((rows, columns))
        for one, weight in zip(placed, weights, strict=True):
            if one is not None and (part := one.page(k)) is not None:
                i, j, _ = one.where
                share = weight[i, j, k].astype(np.float64)
                mean[i, j] += share * part
                total[i, j] += share
        out[:, :, k] = np.divide(mean, total, out=mean, where=total > 0)
    return out


def multiband(placed: Sequence[Placed | None], weights: Sequence[Pixels]) -> Pixels:
    """Blend fine structure over a short way and coarse over a long one (Burt and Adelson 1983), slice by slice.

    Beyond its border a station goes on as the feathered image, so that no band sees an edge there.
    """
    smooth = feathered(placed, weights)
    out = np.empty_like(smooth)
    for k in range(smooth.shape[2]):
        out[:, :, k] = _slice(placed, [weight[:, :, k] for weight in weights], smooth[:, :, k], k)
    return np.maximum(out, 0, out=out)


def _slice(placed: Sequence[Placed | None], weights: list[Pixels], smooth: Pixels, k: int) -> Pixels:
    best = np.argmax(weights, axis=0)
    top: list[npt.NDArray[np.float64]] = []
    total: list[npt.NDArray[np.float64]] = []
    for n, one in enumerate(placed):
        image = _extended(one, weights[n], smooth, k)
        masks = _gaussian((best == n).astype(np.float64))  # double precision, as in feathered
        kept = [m * b for m, b in zip(masks, _laplacian(image), strict=True)]
        top = kept if not top else [t + one_more for t, one_more in zip(top, kept, strict=True)]
        total = masks if not total else [t + m for t, m in zip(total, masks, strict=True)]
    bands = [np.asarray(t / np.maximum(m, 1e-6), np.float32) for t, m in zip(top, total, strict=True)]
    return _collapsed(bands)


def _extended(one: Placed | None, weight: Pixels, smooth: Pixels, k: int) -> Pixels:
    image: Pixels = smooth.copy()
    part = None if one is None else one.page(k)
    if one is None or part is None:
        return image
    i, j, _ = one.where
    image[i, j] = np.where(weight[i, j] > 0, part, image[i, j])
    return image


def _gaussian(image: _Float) -> list[_Float]:
    import cv2

    levels = [image]
    while len(levels) < _BANDS and min(levels[-1].shape) >= 8:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), image.dtype))
    return levels


def _laplacian(image: Pixels) -> list[Pixels]:
    levels = _gaussian(image)
    bands: list[Pixels] = []
    for fine, coarse in pairwise(levels):
        bands.append(np.asarray(fine - _up(coarse, fine.shape), np.float32))
    return [*bands, levels[-1]]


def _up(image: Pixels, shape: tuple[int, ...]) -> Pixels:
    import cv2

    return np.asarray(cv2.pyrUp(image, dstsize=(shape[1], shape[0])), np.float32)


def _collapsed(bands: list[Pixels]) -> Pixels:
    image = bands[-1]
    for band in bands[-2::-1]:
        image = band + _up(image, band.shape)
    return image


def provenance_of(weights: Sequence[Pixels]) -> npt.NDArray[np.uint8]:
    """Return which station gave most to each voxel, counted from 1; 0 where none reaches."""
    best = np.zeros(weights[0].shape, np.uint8)
    most = np.zeros(weights[0].shape, np.float32)
    for n, weight in enumerate(weights, 1):
        more = weight > most
        best[more] = n
        np.maximum(most, weight, out=most)
    return best
