"""Intensity normalisation that training and inference share, so that a network sees one and the same scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def normalize_percentiles(
    image: npt.NDArray[np.floating],
    low: float = 1.0,
    high: float = 99.0,
    clip: tuple[float, float] = (-0.5, 1.5),
) -> npt.NDArray[np.float32]:
    """Map the ``low`` and ``high`` percentiles of the pixels that are not exactly 0 onto 0 and 1, then clip.

    Exact zeros (padding, masked air) do not count, so that a wide field of view changes nothing. They are mapped like
    any other value. An image without contrast comes back as zeros.

    Parameters: ``image`` of any shape, finite. Returns: float32 of the same shape.
    """
    return stretched(image, image[image != 0], low, high, clip)


def stretched(
    image: npt.NDArray[np.floating],
    values: npt.NDArray[np.floating],
    low: float,
    high: float,
    clip: tuple[float, float],
) -> npt.NDArray[np.float32]:
    """Map the ``low`` and ``high`` percentiles of ``values`` onto 0 and 1 in ``image``, then clip.

    Parameters: ``image`` of any shape, ``values`` (n,), both finite. Returns: float32 of the image's shape, zeros where
    the values have no contrast.
    """
    if values.size == 0:
        return np.zeros(image.shape, np.float32)
    bottom, top = np.percentile(values, (low, high))
    if not top > bottom:
        return np.zeros(image.shape, np.float32)
    scaled = (image.astype(np.float32) - np.float32(bottom)) / np.float32(top - bottom)
    return np.clip(scaled, clip[0], clip[1], out=scaled)
