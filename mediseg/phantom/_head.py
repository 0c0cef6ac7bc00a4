"""Scalp, skull, face and neck, in head coordinates: what is painted before the brain, from the outside inwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mediseg.phantom._distance import (
    Field,
    Point,
    Points,
    box,
    capsule,
    common,
    ellipsoid,
    sphere,
    tube,
    union,
    without,
)
from mediseg.phantom._paint import Tissue

Shape = Callable[[Points], Field]


@dataclass(frozen=True)
class Layer:
    """One shape of one tissue, and the block of head coordinates beyond which it need not be evaluated."""

    tissue: Tissue
    shape: Shape
    low: Point
    high: Point


def skin(p: Points, inner_table: Field) -> Field:
    """Distance to the head's surface."""
    m = p.mirrored()
    cranium = inner_table - np.float32(12.5)
    face = union(ellipsoid(p, (0, -34, -60), (61, 52, 58)), ellipsoid(p, (0, -42, -84), (50, 46, 46)), 14)
    face = union(face, ellipsoid(p, (0, -74, -114), (20, 16, 15)), 14)  # chin
    nose = tube(p, ((0, -84, -20), (0, -97, -44), (0, -101, -54)), (7, 8.5, 9), 4)
    nose = union(nose, ellipsoid(p, (0, -86, -48), (15, 12, 22)), 6)
    face = union(face, union(nose, ellipsoid(m, (9, -95, -56), (7, 8, 6)), 5), 8)
    face = union(face, ellipsoid(p, (0, -86, -84), (24, 8, 13)), 8)  # lips
    face = without(face, sphere(m, (33, -98, -30), 15), 10)
    face = union(face, ellipsoid(m, (32, -67, -30), (20, 15.5, 17)), 6)  # lids
    neck = tube(p, ((0, 22, -70), (0, 20, -120), (0, 22, -200)), (56, 54, 60), 20)
    ears = ellipsoid(m, (80, 20, -36), (6, 15, 26))
    return union(union(union(cranium, face, 16), neck, 22), ears, 6)


def _muscle(p: Points) -> Field:
    m = p.mirrored()
    chewing = union(ellipsoid(m, (58, -20, -10), (9, 34, 34)), ellipsoid(m, (50, -26, -72), (10, 22, 36)), 6)
    deep_face = ellipsoid(p, (0, -30, -70), (50, 44, 46))
    neck = tube(p, ((0, 34, -74), (0, 26, -120), (0, 26, -200)), (42, 44, 48), 10)
    return union(union(chewing, deep_face, 4), neck, 8)


def _fat_planes(p: Points) -> Field:
    """Fat between muscles: thin curved sheets."""
    m = p.mirrored()
    wave = np.sin(m.x * np.float32(0.30) + np.float32(1.5) * np.sin(p.y * np.float32(0.11) + p.z * np.float32(0.03)))
    other = np.sin(p.y * np.float32(0.27) + np.float32(1.2) * np.sin(m.x * np.float32(0.13)) - p.z * np.float32(0.06))
    sheets = np.minimum(np.abs(wave), np.abs(other)) * np.float32(3.0) - np.float32(0.2)
    return np.asarray(np.maximum(sheets, _muscle(p) + np.float32(1.0)), np.float32)


def _skull_base(p: Points) -> Field:
    m = p.mirrored()
    clivus = tube(p, ((0, -8, -30), (0, 0, -44), (0, 11, -62)), (7.5, 7, 4.5), 3)
    petrous = capsule(m, (10, 4, -42), (58, 28, -38), 6, 13)
    wings = capsule(m, (10, -24, -24), (50, -32, -18), 6, 6)
    orbit_roof = ellipsoid(m, (28, -52, -17), (24, 26, 5))
    condyle = capsule(m, (14, 20, -64), (24, 44, -60), 6, 6)
    return union(union(union(clivus, petrous, 4), union(wings, orbit_roof, 4), 4), condyle, 4)


def _face_bone(p: Points) -> Field:
    m = p.mirrored()
    maxilla = without(ellipsoid(p, (0, -54, -62), (40, 32, 26)), ellipsoid(p, (0, -22, -60), (24, 26, 40)), 4)
    cheek = capsule(m, (44, -62, -46), (62, -12, -42), 5, 3.5)
    brow = capsule(m, (0, -80, -16), (42, -66, -12), 6, 5)
    nasal = capsule(p, (0, -84, -20), (0, -96, -38), 3, 2)
    return union(union(maxilla, cheek, 5), union(brow, nasal, 4), 4)


def _mandible(p: Points) -> Field:
    m = p.mirrored()
    body = tube(m, ((0, -76, -112), (22, -66, -111), (40, -36, -104)), (7, 6.5, 6), 4)
    ramus = tube(m, ((40, -36, -104), (47, -18, -90), (51, -8, -52)), (6, 5, 4.5), 4)
    return union(body, ramus, 4)


def _tongue(p: Points) -> Field:
    return union(ellipsoid(p, (0, -46, -88), (23, 30, 17)), ellipsoid(p, (0, -34, -104), (20, 24, 16)), 8)


def _teeth(p: Points) -> Field:
    arch = np.abs(np.hypot(p.x / np.float32(0.85), np.maximum(-(p.y + 40), -10)) - np.float32(36.0)) - np.float32(3.5)
    rows = np.abs(p.z + np.float32(91.0)) - np.float32(10.0)
    return np.asarray(np.maximum(np.maximum(arch, rows), p.y + np.float32(40.0)), np.float32)


def _nasal_air(p: Points) -> Field:
    m = p.mirrored()
    hall = box(p, (0, -56, -52), (12, 26, 19), 8)
    hall = common(hall, np.asarray(np.float32(1.3) - m.x, np.float32), 1)
    shells = capsule(m, (8, -78, -60), (8, -38, -60), 4.2, 4.2)
    shells = union(shells, capsule(m, (7, -72, -46), (7, -36, -46), 3.6, 3.6))
    ethmoid = box(m, (7, -54, -27), (6, 18, 8), 3)
    cells = np.abs(np.sin(p.y * np.float32(0.35))) * np.float32(2.8) - np.float32(0.6)
    return union(without(hall, shells, 1.5), np.maximum(ethmoid, -np.asarray(cells, np.float32)))


def _sinus_air(p: Points) -> Field:
    m = p.mirrored()
    jaw = ellipsoid(m, (29, -54, -56), (12.5, 16, 15))
    sphenoid = without(ellipsoid(p, (0, -26, -34), (13, 13, 9.5)), ellipsoid(p, (2, -26, -34), (0.8, 14, 10)))
    frontal = without(ellipsoid(p, (0, -81, -14), (15, 3.6, 9)), ellipsoid(p, (-1, -80, -12), (0.8, 6, 12)))
    mastoid = ellipsoid(m, (58, 32, -44), (7, 11, 13))
    honey = np.sin(m.x * np.float32(0.9) + p.y * np.float32(0.7)) + np.sin(
        p.y * np.float32(0.8) - p.z * np.float32(1.1)
    )
    honey = honey + np.sin(p.z * np.float32(0.7) - m.x * np.float32(0.6))
    mastoid = np.maximum(mastoid, np.asarray(honey * 2, np.float32))
    canal = capsule(m, (50, 14, -38), (84, 14, -36), 3, 4)
    return union(union(jaw, sphenoid), union(frontal, union(mastoid, canal)))


def _throat_air(p: Points) -> Field:
    flat = Points(np.asarray(p.x * np.float32(0.6), np.float32), p.y, p.z)
    back = tube(flat, ((0, -20, -52), (0, -10, -72), (0, -8, -110), (0, -12, -140)), (8, 6, 5, 5.5), 3)
    windpipe = tube(p, ((0, -16, -136), (0, -14, -210)), (7.5, 8))
    mouth = without(ellipsoid(p, (0, -50, -80), (18, 24, 4)), ellipsoid(p, (0, -50, -86), (22, 30, 9)), 1)
    return union(union(back, windpipe, 4), mouth, 2)


def _vertebrae(p: Points) -> Field:
    """Dens, bodies C2 to C7 and the arches behind the canal."""
    bodies = capsule(p, (0, 13, -70), (0, 13, -86), 5.5, 7)
    for level in range(6):
        center = (0, 13 - 0.6 * level, -91 - 18.5 * level)
        bodies = union(bodies, box(p, center, (13, 8.5, 7.6), 3))
    return bodies


def _arches(p: Points) -> Field:
    m = p.mirrored()
    arches = capsule(p, (0, 47, -76), (0, 47, -75), 4.5, 4.5)
    for level in range(6):
        z = -96 - 18.5 * level
        spine = capsule(p, (0, 44, z), (0, 58 + 1.5 * level, z - 7), 3.6, 4.2)
        arches = union(arches, union(spine, capsule(m, (16, 20, z + 5), (6, 44, z), 5, 3.6), 3))
    return union(arches, capsule(m, (18, 14, -74), (10, 44, -75), 6, 4))


def _discs(p: Points) -> Field:
    discs = box(p, (0, 12.7, -100.2), (12, 8, 2.0), 1.5)
    for level in range(1, 6):
        discs = union(discs, box(p, (0, 12.7 - 0.6 * level, -100.2 - 18.5 * level), (12, 8, 2.0), 1.5))
    return discs


def _canal(p: Points) -> Field:
    return tube(p, ((0, 29, -66), (0, 31, -100), (0, 29, -210)), (10.5, 8.5, 8), 6)


def _cord(p: Points) -> Field:
    return tube(p, ((0, 28, -66), (0, 31, -100), (0, 29, -210)), (5.3, 5.0, 4.8), 6)


def _shell(shape: Shape, inset: float) -> Shape:
    return lambda p: shape(p) + np.float32(inset)


def _orbit(p: Points) -> Field:
    m = p.mirrored()
    cone = tube(m, ((32, -64, -30), (28, -50, -29), (14, -26, -24)), (17, 15, 5), 6)
    inner_wall = np.float32(13.0) - m.x - np.maximum(m.y + 40, 0) * np.float32(0.3)
    return common(cone, np.asarray(inner_wall, np.float32), 4)


def _eye_muscles(p: Points) -> Field:
    m = p.mirrored()
    ends = ((33, -62, -18), (33, -62, -43), (44, -60, -31), (21, -60, -31))
    both = capsule(m, ends[0], (16, -30, -23), 2.0, 2.0)
    for end in ends[1:]:
        both = union(both, capsule(m, end, (16, -30, -25), 2.0, 2.0))
    return both


def _eye(p: Points) -> Field:
    m = p.mirrored()
    return union(sphere(m, (32, -66, -31), 12.0), sphere(m, (32, -71.0, -31), 8.0), 1)


def _lens(p: Points) -> Field:
    return ellipsoid(p.mirrored(), (32, -73.5, -31), (4.6, 2.2, 4.6))


def _optic_nerve(p: Points) -> Field:
    return tube(p.mirrored(), ((31, -56, -30), (24, -42, -27), (14, -26, -21), (4, -10, -16)), (1.9, 1.9, 1.9, 2.0))


def _jelly(p: Points) -> Field:
    return ellipsoid(p.mirrored(), (46, 4, -88), (11, 12, 20))


LAYERS: tuple[Layer, ...] = (
    Layer(Tissue.MUSCLE, _muscle, (-72, -76, -215), (72, 82, 30)),
    Layer(Tissue.FAT, _fat_planes, (-72, -76, -215), (72, 82, -40)),
    Layer(Tissue.GLAND, _jelly, (-60, -12, -112), (60, 20, -64)),
    Layer(Tissue.BONE, _mandible, (-62, -90, -126), (62, 4, -40)),
    Layer(Tissue.MARROW, _shell(_mandible, 2.2), (-62, -90, -126), (62, 4, -40)),
    Layer(Tissue.BONE, _face_bone, (-72, -104, -96), (72, 6, 4)),
    Layer(Tissue.MARROW, _shell(_face_bone, 3.0), (-72, -104, -96), (72, 6, 4)),
    Layer(Tissue.MUSCLE, _tongue, (-28, -82, -126), (28, -4, -66)),
    Layer(Tissue.BONE, _teeth, (-36, -82, -104), (36, -36, -78)),
    Layer(Tissue.BONE, _skull_base, (-76, -82, -76), (76, 62, -4)),
    Layer(Tissue.MARROW, _shell(_skull_base, 2.0), (-76, -82, -76), (76, 62, -4)),
    Layer(Tissue.MUCOSA, _shell(_nasal_air, -1.4), (-18, -96, -78), (18, -24, -12)),
    Layer(Tissue.AIR, _nasal_air, (-16, -96, -76), (16, -24, -14)),
    Layer(Tissue.AIR, _sinus_air, (-90, -90, -76), (90, 52, 0)),
    Layer(Tissue.MUCOSA, _shell(_throat_air, -1.6), (-24, -80, -215), (24, 4, -40)),
    Layer(Tissue.AIR, _throat_air, (-22, -78, -215), (22, 2, -40)),
    Layer(Tissue.BONE, _vertebrae, (-16, 0, -215), (16, 26, -60)),
    Layer(Tissue.MARROW, _shell(_vertebrae, 1.0), (-16, 0, -215), (16, 26, -60)),
    Layer(Tissue.BONE, _arches, (-28, 4, -215), (28, 76, -64)),
    Layer(Tissue.MARROW, _shell(_arches, 1.4), (-28, 4, -215), (28, 76, -64)),
    Layer(Tissue.DISC, _discs, (-14, -2, -200), (14, 22, -96)),
    Layer(Tissue.CSF, _canal, (-12, 16, -222), (12, 44, -52)),
    Layer(Tissue.CORD, _cord, (-8, 20, -222), (8, 40, -58)),
    Layer(Tissue.FAT, _orbit, (-56, -92, -52), (56, -16, -6)),
    Layer(Tissue.MUSCLE, _eye_muscles, (-50, -66, -48), (50, -26, -14)),
    Layer(Tissue.VITREOUS, _eye, (-46, -84, -46), (46, -54, -16)),
    Layer(Tissue.LENS, _lens, (-40, -80, -38), (40, -72, -24)),
    Layer(Tissue.NERVE, _optic_nerve, (-36, -60, -36), (36, -6, -12)),
)
