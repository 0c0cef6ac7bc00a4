"""Masks, planes and measurements with known places, for tests of what is written."""

from __future__ import annotations

import numpy as np

from mediseg.geometry import Geometry, Plane
from mediseg.results import (
    BiasCorrection,
    Brain,
    Callosum,
    Estimate,
    Localization,
    Measurement,
    Measurements,
    Midsagittal,
    ScanPlan,
    SliceGroup,
)
from mediseg.volume import CodedConcept, RotatedROI, Segment, Segmentation, Volume

AREA = CodedConcept("42798000", "SCT", "Area")


def lopsided(geometry: Geometry, name: str = "brain") -> Segmentation:
    """A mask that looks different from every side: a block with an arm along each axis, none of equal length."""
    labels = np.zeros(geometry.shape, np.uint8)
    i, j, k = (max(1, n // 4) for n in geometry.shape)
    labels[i : 2 * i, j : 2 * j, k : 2 * k + 1] = 1
    labels[i : 3 * i + 1, j, min(k, geometry.shape[2] - 1)] = 1
    labels[i, j : 3 * j + 2, min(k, geometry.shape[2] - 1)] = 1
    labels[i, j, : max(1, k)] = 1
    labels[0, -1, 0] = 1
    return Segmentation(labels, geometry, (Segment(1, name),))


def midsagittal_grid(head: Geometry, turn_deg: float = 7.0, shape: tuple[int, int] = (60, 48)) -> Geometry:
    """A one-slice grid through the head's middle, face left, turned about two axes."""
    turn = np.radians(turn_deg)
    normal = np.array([np.cos(turn), np.sin(turn), 0.08])
    normal /= np.linalg.norm(normal)
    down = np.array([0.0, 0.0, -1.0])
    down -= normal * (normal @ down)
    down /= np.linalg.norm(down)
    posterior = np.cross(down, normal)
    posterior *= np.sign(posterior[1])
    return Geometry.from_axes(
        (*shape, 1),
        np.stack([posterior, down, normal], axis=1),
        (0.8, 0.7, 1.0),
        center_lps_mm=head.center_lps_mm,
        frame_of_reference=head.frame_of_reference,
    )


def measurements(parts: Segmentation) -> Measurements:
    values = (
        Measurement("area", 612.345678901, "mm2", AREA, 500.0, 800.0, "polygon", "shoelace formula"),
        Measurement("area_witelson_genu", 101.5, "mm2", AREA, method="straight cuts"),
        Measurement("circularity", float("nan"), "1"),
        Measurement("angle", -12.25, "deg"),
    )
    return Measurements(values, np.linspace(3, 5, 100), np.zeros((100, 3)), parts)


def case(head: Volume) -> dict[str, object]:
    """What a recipe gives for a head, made up."""
    grid = midsagittal_grid(head.geometry)
    mask = lopsided(grid, "corpus callosum")
    image = head.resample(grid)
    return {
        "brain": Brain(lopsided(head.geometry), head, 0.9),
        "midsagittal": Midsagittal(image, Plane(grid.center_lps_mm, grid.axes_lps[:, 2]), 7.0),
        "callosum": Callosum(mask, image),
        "measurements": measurements(mask),
    }


def bias(head: Volume) -> BiasCorrection:
    pixels = head.array.astype(np.float32)
    return BiasCorrection(head.with_array(pixels / 1.5), head.with_array(np.full_like(pixels, 1.5)))


def roi() -> RotatedROI:
    axes = np.array([[0.0, 0.8, -0.6], [0.0, -0.6, -0.8], [1.0, 0.0, 0.0]]).T  # back and down, down, left
    return RotatedROI(np.array([1.5, -20.0, 30.0]), axes, (70.0, 25.0, 1.0), "1.2.3")


def localization() -> Localization:
    estimate = Estimate((1.0, -2.0), 36.87, (70.0, 25.0))
    return Localization(roi(), "final", {"final": estimate, "line": Estimate((1.0, -1.0), 35.0, (69.0, 0.0))}, 0.75)


def plan() -> ScanPlan:
    group = SliceGroup(
        name="sagittal",
        image_orientation=(0, 1, 0, 0, 0, -1),
        image_position_mm=(39.6, -105.0, 113.5),
        center_lps_mm=(0.0, 5.0, 4.0),
        normal_lps=(-1.0, 0.0, 0.0),
        slices=19,
        thickness_mm=4.0,
        gap_mm=0.4,
        fov_mm=(220.0, 220.0),
        pixel_mm=1.0,
        phase_direction="ROW",
        angulation="S > C 2.0",
    )
    return ScanPlan((group,), "callosum", "roi", "1.2.3")
