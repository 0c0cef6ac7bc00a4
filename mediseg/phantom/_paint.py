"""Two painters with one brush: intensities with partial volume, or tissue labels. What is painted later lies on top."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.phantom._distance import Field


class Tissue(IntEnum):
    """What a voxel holds; the numbers are those of the label map."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    MARROW = 5
    DURA = 6
    CSF = 7
    GREY_MATTER = 8
    WHITE_MATTER = 9
    DEEP_GREY = 10
    VENTRICLE = 11
    CALLOSUM = 12
    FORNIX = 13
    BRAINSTEM = 14
    CEREBELLAR_GREY = 15
    CEREBELLAR_WHITE = 16
    CORD = 17
    VITREOUS = 18
    LENS = 19
    NERVE = 20
    DISC = 21
    MUCOSA = 22
    GLAND = 23


# White matter is 1. Rounded to look like 3-D gradient-echo T1 (MPRAGE) and turbo spin-echo T2 at 1.5 to 3 T.
_INTENSITY = {
    "t1": {
        Tissue.AIR: 0.0, Tissue.SKIN: 0.62, Tissue.FAT: 1.22, Tissue.MUSCLE: 0.42, Tissue.BONE: 0.06,
        Tissue.MARROW: 0.38, Tissue.DURA: 0.16, Tissue.CSF: 0.2, Tissue.GREY_MATTER: 0.64, Tissue.WHITE_MATTER: 0.98,
        Tissue.DEEP_GREY: 0.77, Tissue.VENTRICLE: 0.17, Tissue.CALLOSUM: 1.03, Tissue.FORNIX: 0.92,
        Tissue.BRAINSTEM: 0.93, Tissue.CEREBELLAR_GREY: 0.66, Tissue.CEREBELLAR_WHITE: 0.95, Tissue.CORD: 0.88,
        Tissue.VITREOUS: 0.2, Tissue.LENS: 0.5, Tissue.NERVE: 0.8, Tissue.DISC: 0.3, Tissue.MUCOSA: 0.55,
        Tissue.GLAND: 0.8,
    },
    "t2": {
        Tissue.AIR: 0.0, Tissue.SKIN: 0.6, Tissue.FAT: 1.9, Tissue.MUSCLE: 0.5, Tissue.BONE: 0.08,
        Tissue.MARROW: 0.9, Tissue.DURA: 0.4, Tissue.CSF: 3.0, Tissue.GREY_MATTER: 1.45, Tissue.WHITE_MATTER: 1.0,
        Tissue.DEEP_GREY: 1.2, Tissue.VENTRICLE: 3.1, Tissue.CALLOSUM: 0.92, Tissue.FORNIX: 1.05,
        Tissue.BRAINSTEM: 1.05, Tissue.CEREBELLAR_GREY: 1.45, Tissue.CEREBELLAR_WHITE: 1.0, Tissue.CORD: 1.1,
        Tissue.VITREOUS: 3.2, Tissue.LENS: 0.6, Tissue.NERVE: 1.1, Tissue.DISC: 1.6, Tissue.MUCOSA: 2.2,
        Tissue.GLAND: 1.4,
    },
}  # fmt: skip

CONTRASTS = tuple(_INTENSITY)


class SignalPainter:
    """Mixes intensities: a voxel that a surface cuts gets the share of each side."""

    dtype = np.dtype(np.float32)

    def __init__(self, contrast: str, spacing_mm: float) -> None:
        self._intensity = _INTENSITY[contrast]
        self._sharpness = np.float32(1 / spacing_mm)

    def paint(self, canvas: npt.NDArray[Any], tissue: Tissue, distance: Field) -> None:
        """Lay a tissue over the canvas (in place) where the distance is negative."""
        share = np.clip(np.float32(0.5) - distance * self._sharpness, 0, 1)
        canvas += share * (np.float32(self._intensity[tissue]) - canvas)


class LabelPainter:
    """Marks the tissue that covers a voxel's centre."""

    dtype = np.dtype(np.uint8)

    def paint(self, canvas: npt.NDArray[Any], tissue: Tissue, distance: Field) -> None:
        """Lay a tissue over the canvas (in place) where the distance is negative."""
        canvas[distance < 0] = tissue


Painter = SignalPainter | LabelPainter
