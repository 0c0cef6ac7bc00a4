"""The brain and what surrounds it within the skull, in head coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.phantom import _outlines
from mediseg.phantom._distance import (
    Field,
    Points,
    capsule,
    common,
    ellipsoid,
    sphere,
    step,
    tube,
    union,
    without,
)
from mediseg.phantom._folding import Noise
from mediseg.phantom._paint import Painter, Tissue

# the foramen magnum's plane: through (y, z) with this normal (pointing down); the brain mask ends there
_FORAMEN = (24.0, -63.0)
_FORAMEN_NORMAL = (0.0, -0.17, -0.985)

_GYRI = Noise(wavelength_mm=23.0, start=1.0)
_DEPTH = Noise(wavelength_mm=30.0, start=4.0, count=8)
_FISSURE = Noise(wavelength_mm=40.0, start=2.5, count=8)


def cavity(p: Points) -> Field:
    """Distance to the inner table of the skull and the canal's upper end."""
    m = p.mirrored()
    fossa = union(ellipsoid(m, (6, 43, -31), (48, 34, 26.5)), capsule(p, (0, 9, -16), (0, 20, -60), 16, 12), 10)
    whole = union(_supratentorial(m), fossa, 6)
    return union(whole, capsule(p, (0, 23, -58), (0, 30, -80), 12.5, 10.5), 8)


def _supratentorial(m: Points) -> Field:
    """Distance to the space for the cerebrum; ``m`` are points of the left half."""
    dome = union(ellipsoid(m, (0, 8, 20), (65, 79, 51)), ellipsoid(m, (8, -28, 13), (49, 46, 43)), 12)
    dome = union(dome, ellipsoid(m, (6, 36, 19), (56, 50, 44)), 12)
    # the floor: orbits and sphenoid in front, tentorium behind
    floor = -(m.z + 17 - 0.10 * (m.y + 20) + 0.0016 * (m.x - 14) ** 2)
    dome = common(dome, np.asarray(floor, np.float32), 10)
    temporal = union(ellipsoid(m, (42, 4, -17), (22, 40, 22)), ellipsoid(m, (34, 10, -21), (20, 30, 18)), 8)
    return union(dome, temporal, 8)


def foramen(p: Points) -> Field:
    """Distance to the plane of the foramen magnum, positive below it."""
    return np.asarray(
        (p.y - np.float32(_FORAMEN[0])) * np.float32(_FORAMEN_NORMAL[1])
        + (p.z - np.float32(_FORAMEN[1])) * np.float32(_FORAMEN_NORMAL[2]),
        np.float32,
    )


def brain_envelope(inner_table: Field, p: Points) -> Field:
    """Distance to the whole brain with its CSF: what lies within the dura, down to the foramen magnum."""
    return common(inner_table + np.float32(0.8), foramen(p))


def _cerebellum(m: Points) -> Field:
    halves = union(ellipsoid(m, (25, 51, -35), (26, 28, 19)), ellipsoid(m, (0, 48, -28), (15, 22, 19)), 8)
    halves = union(halves, ellipsoid(m, (0, 46, -42), (11, 16, 11)), 8)
    return without(halves, capsule(m, (0, 18, -18), (0, 24, -40), 7, 5), 6)


def _stem(p: Points) -> Field:
    midbrain = tube(p, ((0, 13, -8), (0, 14, -20)), (7.5, 8.5))
    peduncles = tube(p.mirrored(), ((13, 3, -2), (9, 6, -10), (5, 9, -20)), (6.5, 6, 6))
    pons = ellipsoid(p, (0, 10, -28.5), (17, 11.5, 12.5))
    medulla = tube(
        p, ((0, 16, -36), (0, 20.5, -50), (0, 25, -62), (0, 28, -74), (0, 30, -100)), (8.5, 7.0, 6.0, 5.4, 5.0), 4
    )
    return union(union(union(midbrain, peduncles, 4), pons, 4), medulla, 5)


def _adhesion(p: Points) -> Field:
    """The interthalamic adhesion."""
    return ellipsoid(p, (0, 2.5, 2.8), (8, 5.4, 3.6))


class Hemispheres:
    """Shapes that several tissues need, worked out once for a set of points inside the skull."""

    def __init__(self, p: Points, inner_table: Field) -> None:
        self.p, self.m = p, p.mirrored()
        self.inner_table = inner_table
        self.core = _outlines.core()(p.y, p.z)
        self.cerebellum = common(_cerebellum(self.m), inner_table + np.float32(1.8), 2)
        self.stem = _stem(p)
        self.callosum = self._callosum()
        self.outside = self._outside()

    def _callosum(self) -> Field:
        """The band, rising a little to the sides; within the white matter its border hardly shows."""
        m = self.m
        rise = np.float32(0.018) * m.x * m.x
        flat = _outlines.callosum()(m.y, m.z - rise)
        return common(flat, m.x - np.float32(13.0), 4)

    def _pia(self) -> Field:
        """Distance to the smooth outer envelope of both hemispheres with the fissure between them, negative inside."""
        p, m = self.p, self.m
        hull = common(self.inner_table + np.float32(2.2), _supratentorial(m) + np.float32(2.2), 2)
        hull = without(hull, self.cerebellum - np.float32(2.2), 3)
        hull = without(hull, self.stem - np.float32(2.0), 3)
        bend = 1.8 * np.tanh(2.5 * _FISSURE.value(np.zeros_like(p.y), p.y, p.z)) * step(self.core, 1, 9)
        across = np.abs(p.x - np.asarray(bend, np.float32))
        self.across = np.asarray(across, np.float32)
        beneath = np.maximum(-(self.core - np.float32(1.0)), 0)
        fissure = np.sqrt(across * across + beneath * beneath) - (np.float32(0.5) + np.float32(1.2) * step(hull, -6, 1))
        hull = np.maximum(hull, -fissure)
        lip = np.maximum(m.x - np.float32(7.0), 0)
        above = np.abs(self.callosum - np.float32(0.9))
        width = np.float32(0.6) + np.float32(0.25) * np.sin(p.y * np.float32(0.23) + 1)
        over = np.asarray(np.sqrt(lip * lip + above * above) - width, np.float32)
        over = np.where(self.core > -0.5, over, np.float32(99))
        return np.asarray(np.maximum(hull, -over), np.float32)

    def _outside(self) -> Field:
        """Distance to CSF outside of the folded cortex: positive in CSF, negative in tissue."""
        p = self.p
        pia = self._pia()
        outside = pia.copy()
        near = (pia < 1.0) & (pia > -25.0)  # sulci reach no deeper
        outside[near] = np.maximum(pia[near], -_sulci(p.where(near), pia[near], self.core[near]))
        outside = np.maximum(outside, -self._sylvian())
        return np.maximum(outside, -self._cingulate())

    def _sylvian(self) -> Field:
        """The fissure above the temporal lobe, down to the insula."""
        m = self.m
        tilt = np.float32(0.42)
        height = (m.z + np.float32(3.0) - tilt * m.y) * np.float32(1 / np.sqrt(1 + 0.42**2))
        front_back = np.maximum(np.maximum(-m.y - 24, m.y - 40), 0)
        inward = np.maximum(36 - m.x, 0)
        flat = np.sqrt(height * height + front_back * front_back + inward * inward) - np.float32(0.9)
        insula = np.sqrt(
            np.maximum(np.abs(height) - 9, 0) ** 2
            + (m.x - 37 - 0.03 * height * height) ** 2
            + np.maximum(np.abs(m.y - 2) - 20, 0) ** 2
        ) - np.float32(0.8)
        return np.asarray(np.minimum(flat, insula), np.float32)

    def _cingulate(self) -> Field:
        """The sulcus that runs along the callosum, one gyrus above it."""
        p, m = self.p, self.m
        wave = np.float32(1.5) * np.sin(m.y * np.float32(0.17)) + np.float32(0.8) * np.sin(m.y * np.float32(0.41) + 1)
        wave += np.sign(p.x) * np.float32(0.9)
        lip = np.maximum(m.x - np.float32(11.0), 0)
        arch = self.core - np.float32(12.0) - wave
        limits = np.maximum(np.maximum(m.y - 24, -4 - m.z), 0)
        return np.asarray(np.sqrt(arch * arch + lip * lip + limits * limits) - np.float32(0.8), np.float32)

    def lateral_ventricle(self) -> Field:
        """Frontal horn and body beside the septum, then trigone, occipital and temporal horn."""
        m = self.m
        flat = _outlines.lateral_ventricle()(m.y, m.z - np.float32(0.018) * m.x * m.x)
        width = np.float32(8.0) - np.float32(0.004) * (m.y + 10) ** 2
        lean = np.float32(0.45) * (m.z - np.float32(16.0))  # the horns' roofs reach further out than their floors
        body = common(flat, np.asarray(m.x - np.maximum(width + lean, 2.5), np.float32), 3)
        horns = tube(
            m,
            ((8, 8, 22), (14, 20, 18), (22, 35, 10), (25, 50, 6), (23, 60, 5)),
            (3.5, 4.5, 6, 3.5, 1.5),
            3,
        )
        temporal = tube(m, ((22, 34, 8), (30, 24, -8), (32, 4, -16), (30, -8, -18)), (5, 3, 2.2, 2.0), 3)
        return np.asarray(np.maximum(union(body, union(horns, temporal, 3), 3), np.float32(0.45) - m.x), np.float32)

    def third_ventricle(self) -> Field:
        """A slit between the thalami, bridged by the interthalamic adhesion."""
        flat = _outlines.third_ventricle()(self.p.y, self.p.z)
        slit = common(flat, self.m.x - np.float32(1.35), 1.2)
        return without(slit, _adhesion(self.p), 1)

    def fourth_ventricle(self) -> Field:
        """A tent between pons and cerebellum, the aqueduct above it and the canal below."""
        tent = common(ellipsoid(self.p, (0, 24, -29), (9, 5.5, 11)), -self._pons_back(), 1)
        return union(tent, tube(self.p, ((0, 15, -1), (0, 17, -9), (0, 22, -22)), (0.7, 0.7, 1.6)), 2)

    def _pons_back(self) -> Field:
        return np.asarray(self.p.y - np.float32(22.5) + np.float32(0.12) * (self.p.z + 29), np.float32)

    def fornix(self) -> Field:
        """Columns, body under the callosum, and crura."""
        m = self.m
        return tube(
            m,
            ((1.6, -3, -10), (1.4, -12, -2), (1.2, -14, 6), (1.0, -9, 13), (0.8, 2, 18.4), (1.6, 12, 20.8), (8, 22, 18),
             (18, 27, 6), (24, 16, -10)),
            (1.3, 1.3, 1.5, 1.6, 1.8, 1.8, 2.0, 1.8, 1.5),
            1.5,
        )  # fmt: skip


def _sulci(p: Points, pia: Field, core: Field) -> Field:
    """Distance to the CSF within the sulci that dive from the envelope ``pia``."""
    m = p.mirrored()
    # the noise is read where the ray from the hemisphere's middle meets the surface: sulci dive at right angles
    cx, cy, cz = m.x - 26, p.y - 4, p.z - 14
    reach = np.sqrt(cx * cx + np.float32(0.75) * cy * cy + np.float32(1.2) * cz * cz) + np.float32(1e-3)
    outward = (np.float32(52.0) / reach) ** np.float32(0.55)
    side = np.where(p.x < 0, np.float32(37.0), np.float32(0.0))
    sheet = _GYRI.sheet(cx * outward + side, cy * outward, cz * outward + side) / outward
    depth = np.float32(16.0) + np.float32(5.0) * _DEPTH.value(p.x, p.y, p.z)
    medial = 1 - step(m.x, 9, 16)
    plain = medial * (1 - step(core, 9, 17))  # the cingulate gyrus runs through
    depth = np.minimum(depth * (1 - plain) - np.float32(4.0) * plain, np.float32(22.0))
    depth = np.minimum(depth, 2 * reach - np.float32(32.0))  # and none converge in the middle
    deeper = np.maximum(-pia - depth, 0)
    opening = np.float32(0.4) + np.float32(0.7) * step(pia, -8, 0)
    return np.asarray(np.sqrt(sheet * sheet + deeper * deeper) - opening, np.float32)


def paint_brain(painter: Painter, canvas: npt.NDArray[Any], p: Points, inner_table: Field) -> None:
    """Paint all that lies within the skull on flat arrays."""
    h = Hemispheres(p, inner_table)
    painter.paint(canvas, Tissue.CSF, inner_table + np.float32(0.6))
    _paint_falx(painter, canvas, h)
    painter.paint(canvas, Tissue.GREY_MATTER, h.outside)
    painter.paint(canvas, Tissue.WHITE_MATTER, _white(h))
    _paint_deep(painter, canvas, h)
    _paint_below(painter, canvas, h)


def _white(h: Hemispheres) -> Field:
    """White matter: what lies deeper than the cortex; it reaches the midline only as callosum and commissures."""
    thick = h.outside + np.float32(2.5)
    medial = 5 * (1 - step(h.core, -2, 2)) - h.m.x  # hypothalamus, septum and the subcallosal region are grey
    return np.asarray(np.maximum(thick, medial), np.float32)


def _paint_falx(painter: Painter, canvas: npt.NDArray[Any], h: Hemispheres) -> None:
    sheet = np.maximum(h.across - np.float32(0.3), np.float32(8.0) - h.core)
    painter.paint(canvas, Tissue.DURA, np.maximum(sheet, h.cerebellum * -1 + np.float32(2.0)))


def _paint_deep(painter: Painter, canvas: npt.NDArray[Any], h: Hemispheres) -> None:
    p, m = h.p, h.m
    thalamus = ellipsoid(m, (10.5, 7, 5), (9, 15, 9.5))
    painter.paint(canvas, Tissue.DEEP_GREY, thalamus)
    painter.paint(canvas, Tissue.DEEP_GREY, _adhesion(p))
    caudate = tube(m, ((13, -24, 6), (14, -10, 14), (16, 6, 19), (19, 20, 18)), (5.5, 4.5, 3.2, 2.2), 4)
    painter.paint(canvas, Tissue.GREY_MATTER, caudate)
    painter.paint(canvas, Tissue.GREY_MATTER, ellipsoid(m, (27, -6, 2), (5.5, 17, 10)))
    painter.paint(canvas, Tissue.DEEP_GREY, ellipsoid(m, (21, -3, 0), (5, 10, 7)))
    painter.paint(canvas, Tissue.VENTRICLE, h.lateral_ventricle())
    painter.paint(canvas, Tissue.VENTRICLE, h.third_ventricle())
    painter.paint(canvas, Tissue.FORNIX, h.fornix())
    painter.paint(canvas, Tissue.CALLOSUM, h.callosum)
    painter.paint(
        canvas, Tissue.WHITE_MATTER, capsule(p, (-8, -13.2, 0), (8, -13.2, 0), 1.5, 1.5)
    )  # anterior commissure
    painter.paint(canvas, Tissue.WHITE_MATTER, tube(m, ((0, -7, -15), (9, -20, -19)), (2.0, 2.2)))  # chiasm
    painter.paint(canvas, Tissue.GREY_MATTER, sphere(m, (2.4, -1, -12.5), 2.4))  # mammillary bodies
    painter.paint(canvas, Tissue.GREY_MATTER, capsule(p, (0, -6, -15), (0, -5, -22), 1.4, 1.0))  # stalk
    painter.paint(canvas, Tissue.GREY_MATTER, ellipsoid(p, (0, 20.5, 3.5), (3, 3.5, 2.4)))  # pineal


def _paint_below(painter: Painter, canvas: npt.NDArray[Any], h: Hemispheres) -> None:
    m = h.m
    painter.paint(canvas, Tissue.CEREBELLAR_GREY, h.cerebellum)
    painter.paint(canvas, Tissue.CSF, _folia(h))
    painter.paint(canvas, Tissue.CEREBELLAR_WHITE, _arbor(h))
    painter.paint(canvas, Tissue.BRAINSTEM, h.stem)
    colliculi = union(sphere(m, (5, 19.5, -3.5), 4.6), sphere(m, (5.5, 20.5, -11), 4.2), 2)
    painter.paint(canvas, Tissue.BRAINSTEM, colliculi)
    painter.paint(canvas, Tissue.CEREBELLAR_WHITE, capsule(m, (9, 16, -30), (18, 34, -34), 6, 5))
    painter.paint(canvas, Tissue.VENTRICLE, h.fourth_ventricle())


def _lobules(h: Hemispheres) -> tuple[Field, Field]:
    """Return angle about the fourth ventricle's peak and distance from it: lobules fan out from there."""
    dy, dz = h.p.y - np.float32(30.0), h.p.z + np.float32(29.0) + np.float32(0.12) * h.m.x
    return np.arctan2(dz, dy), np.sqrt(dy * dy + dz * dz + np.float32(0.15) * h.m.x * h.m.x)


def _folia(h: Hemispheres) -> Field:
    """Thin fissures between the folia, reaching inwards from the surface."""
    angle, far = _lobules(h)
    spread = np.abs(np.sin(np.float32(4.5) * angle + np.float32(0.035) * h.m.x + np.float32(0.5))) * far / 4.5
    main = np.maximum(spread - np.float32(0.45), -h.cerebellum - np.float32(13.0))
    fine = np.abs(np.sin(np.float32(0.85) * far + np.float32(2.0) * np.sin(9 * angle))) / 0.85
    small = np.maximum(fine - np.float32(0.22), -h.cerebellum - np.float32(3.0))
    return np.asarray(np.maximum(np.minimum(main, small), h.cerebellum), np.float32)


def _arbor(h: Hemispheres) -> Field:
    """White matter of the cerebellum: a core and branches, one to a lobule, with twigs."""
    angle, far = _lobules(h)
    core = union(ellipsoid(h.m, (17, 42, -33), (17, 13, 8)), ellipsoid(h.p, (0, 33, -29), (8, 5, 5)), 5)
    branch = np.abs(np.cos(np.float32(4.5) * angle + np.float32(0.035) * h.m.x + np.float32(0.5))) * far / 4.5
    branch = branch - np.float32(1.15) + np.float32(0.02) * far
    twig = np.abs(np.sin(np.float32(0.85) * far + np.float32(2.0) * np.sin(9 * angle) + np.float32(1.57))) / 0.85
    twig = np.maximum(twig - np.float32(0.55), branch - np.float32(2.2))
    tree = np.minimum(branch, twig)
    return np.asarray(np.maximum(np.minimum(tree, core), h.cerebellum + np.float32(2.0)), np.float32)
