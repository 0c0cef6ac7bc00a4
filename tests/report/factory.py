"""A small made-up head with everything the steps would give for it: enough to draw every section of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mediseg import record as rec
from mediseg.errors import Code, Warn
from mediseg.geometry import Geometry, Plane
from mediseg.results import (
    BiasCorrection,
    Brain,
    Callosum,
    Estimate,
    Frame,
    Localization,
    Measurement,
    Measurements,
    Midsagittal,
    ScanPlan,
    SliceGroup,
)
from mediseg.volume import CodedConcept, RotatedROI, Segment, Segmentation, Source, Volume

AXIAL = np.eye(3)
SAGITTAL = np.column_stack([(0, 1, 0), (0, 0, -1), (-1, 0, 0)])
CENTER = np.array([2.0, -8.0, 12.0])
PARTS = ("rostrum", "genu", "rostral body", "anterior midbody", "posterior midbody", "isthmus", "splenium")


def turned(axes, degrees=8.0):
    a = np.radians(degrees)
    yaw = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return yaw @ axes


def grid(axes=AXIAL, shape=(90, 108, 90), spacing=(2.2, 2.2, 2.2)):
    return Geometry.from_axes(shape, axes, spacing, center_lps_mm=CENTER, frame_of_reference="1.2.3")


def points(geometry):
    return geometry.lps_from_ijk(np.moveaxis(np.indices(geometry.shape), 0, -1))


def _ellipsoid(p, center, radii):
    return np.linalg.norm((p - center) / np.array(radii), axis=-1)


def brain_distance(p):
    """Roughly signed, mm, negative inside."""
    return (_ellipsoid(p, np.add(CENTER, (0, 4, 8)), (66, 82, 62)) - 1) * 66


def callosum_inside(p):
    """How far inside the banana a point lies (mm)."""
    t = np.linspace(0, 1, 80)
    angle = np.pi * (1.04 - 1.08 * t)
    y, z = CENTER[1] + 4 + 34 * np.cos(angle), CENTER[2] + 15 * np.sin(angle)
    radius = 2.8 + 2.6 * np.exp(-((t / 0.1) ** 2)) + 3.0 * np.exp(-(((1 - t) / 0.12) ** 2))
    d = np.hypot(p[..., 1, None] - y, p[..., 2, None] - z)
    return (radius - d).max(axis=-1), t[(radius - d).argmax(axis=-1)]


def head_values(p, seed=0):
    rng = np.random.default_rng(seed)
    skull = _ellipsoid(p, np.add(CENTER, (0, 0, 2)), (78, 97, 92))
    brain = brain_distance(p)
    value = np.where(skull < 1, 260.0, 0.0)
    value = np.where((skull < 0.95) & (brain > 0), 60.0, value)
    folds = 30 * np.sin(p[..., 0] / 4) * np.sin(p[..., 1] / 5) * np.sin(p[..., 2] / 4.5)
    value = np.where(brain < 0, 420 + folds * (brain > -25), value)
    near = (np.abs(p[..., 0] - CENTER[0]) < 22) & (brain < 0)
    inside = np.full(p.shape[:-1], -99.0)
    if near.any():
        inside[near] = callosum_inside(p[near])[0]
    value = np.where(near, value + 260 / (1 + np.exp(-inside)), value)
    return (value + rng.normal(0, 9, value.shape)).clip(0)


def bias_field(p):
    return 1 + 0.0026 * (p[..., 1] - CENTER[1]) - 0.0016 * (p[..., 2] - CENTER[2])


def head(geometry=None, *, facts=True):
    geometry = geometry or grid()
    p = points(geometry)
    source = Source(
        kind="dicom",
        modality="MR",
        series_uid="1.2.826.0.1.3680043.8.498.1",
        manufacturer="SIEMENS",
        sequence="GR / IR\\MP",
        facts={"RepetitionTime": 2300.0, "EchoTime": 2.98, "MagneticFieldStrength": 3.0} if facts else {},
    )
    array = (head_values(p) * bias_field(p)).astype(np.int16)
    return Volume(array, geometry, source)


def bias(volume):
    field = bias_field(points(volume.geometry)).astype(np.float32)
    return BiasCorrection(volume.with_array(volume.array / field), volume.with_array(field))


def brain(volume):
    distance = brain_distance(points(volume.geometry)).astype(np.float32)
    mask = Segmentation((distance < 0).astype(np.uint8), volume.geometry, (Segment(1, "Brain"),))
    return Brain(mask, volume.with_array(distance), 0.97)


def midsagittal(yaw=0.0, shape=(200, 200), spacing=1.0):
    axes = turned(SAGITTAL, yaw)
    geometry = Geometry.from_axes(
        (*shape, 1), axes, (spacing, spacing, 1.0), center_lps_mm=CENTER, frame_of_reference="1.2.3"
    )
    image = Volume(head_values(points(geometry)).astype(np.float32), geometry)
    return Midsagittal(image, Plane(CENTER, -axes[:, 2]), tilt_deg=abs(yaw))


def callosum(plane):
    inside, _ = callosum_inside(points(plane.image.geometry))
    probability = (1 / (1 + np.exp(-2 * inside))).astype(np.float32)
    mask = Segmentation((probability >= 0.5).astype(np.uint8), plane.image.geometry, (Segment(1, "Corpus callosum"),))
    acpc = Frame(np.add(CENTER, (0, 6, -12)), np.array([0.0, 0.98, -0.199]))
    return Callosum(mask, plane.image.with_array(probability), acpc, plausibility=0.93, certainty=0.95)


def localization(method="robust"):
    estimates = {
        "box": Estimate((4.1, -5.2), -2.4, (80.0, 25.5)),
        "line": Estimate((4.0, -0.4), 1.2, (78.5, 0.0)),
        "final": Estimate((4.05, -2.8), -0.6, (80.0, 25.5)),
        "robust": Estimate((4.2, -5.0), -1.3, (79.4, 25.1)),
    }
    angle = np.radians(-1.3)
    long_axis = np.array([0, np.cos(angle), -np.sin(angle)])
    axes = np.column_stack([long_axis, np.cross((-1, 0, 0), long_axis), (-1, 0, 0)])
    roi = RotatedROI(np.add(CENTER, (0, 4.2, 5.0)), axes, (79.4, 25.1, 5.0), "1.2.3")
    return Localization(roi, method, estimates, 0.88)


def measurements(cc):
    geometry = cc.mask.geometry
    _, t = callosum_inside(points(geometry))
    labels = (cc.mask.mask() * (1 + np.minimum((t * 7).astype(int), 6))).astype(np.uint8)
    parts = Segmentation(labels, geometry, tuple(Segment(n + 1, name) for n, name in enumerate(PARTS)))
    t = np.linspace(0.02, 0.98, 100)
    angle = np.pi * (1.04 - 1.08 * t)
    line = np.column_stack(
        [np.full(100, CENTER[0]), CENTER[1] + 4 + 34 * np.cos(angle), CENTER[2] + 15 * np.sin(angle)]
    )
    thickness = 2 * (2.8 + 2.6 * np.exp(-((t / 0.1) ** 2)) + 3.0 * np.exp(-(((1 - t) / 0.12) ** 2)))
    code = CodedConcept("42798000", "SCT", "Area")
    values = (
        Measurement("callosum_area", 642.3, "mm2", code, 500.0, 760.0, "probability 0.5", "doi:10.1000/example"),
        Measurement("callosum_length", 71.84, "mm", None, None, None, "farthest points"),
        Measurement("circularity", 0.231, "1", None, 0.24, 0.36, "4 pi A / P^2", "Example et al. 2020"),
        Measurement("splenium_thickness", float("nan"), "mm", None, None, None, "medial line"),
        Measurement("brain_volume", 1412.7, "mL", None, None, None, "voxels"),
    )
    return Measurements(values, thickness, line, parts)


def _group(name, row, column, slices, thickness, gap, fov, angulation):
    row, column = np.array(row, float), np.array(column, float)
    normal = np.cross(row, column)
    center = np.add(CENTER, (0, 4, 5))
    first = center - normal * (thickness + gap) * (slices - 1) / 2
    corner = first - row * (fov[0] - 1) / 2 - column * (fov[1] - 1) / 2
    phase = "ROW" if name == "transversal" else "COL"
    return SliceGroup(
        name, (*map(float, row), *map(float, column)), tuple(map(float, corner)), tuple(map(float, center)),
        tuple(map(float, normal)), slices, thickness, gap, fov, 1.0, phase, angulation,
    )  # fmt: skip


def scan_plan():
    a = np.radians(-9.3)
    post = (0, np.cos(a), -np.sin(a))
    down = (0, -np.sin(a), -np.cos(a))
    return ScanPlan(
        (
            _group("transversal", (1, 0, 0), post, 27, 4.0, 0.8, (200.0, 230.0), "T > C -9.3"),
            _group("coronal", (1, 0, 0), down, 33, 4.0, 0.8, (200.0, 200.0), "C > T 9.3"),
            _group("sagittal", post, down, 25, 4.0, 0.8, (230.0, 230.0), "S"),
        ),
        align="callosum",
        center="roi",
        frame_of_reference="1.2.3",
    )


def everything(axes=AXIAL, yaw=0.0, **kwargs):
    volume = head(grid(turned(axes, yaw), **kwargs))
    plane = midsagittal(yaw)
    cc = callosum(plane)
    return {
        "head": volume,
        "bias": bias(volume),
        "brain": brain(volume),
        "midsagittal": plane,
        "callosum": cc,
        "localization": localization(),
        "measurements": measurements(cc),
        "scan_plan": scan_plan(),
    }


STEP_OF = {
    "bias": "correct_bias",
    "brain": "extract_brain",
    "midsagittal": "find_midsagittal",
    "callosum": "segment_callosum",
    "localization": "localize_roi",
    "measurements": "measure_callosum",
    "scan_plan": "plan_scan",
}
WARNINGS = (
    Warn(Code.MISSING_SLICE, "Slice 115 of 176 was missing; it was interpolated from its neighbours.", {"index": 115}),
    Warn(Code.OUTSIDE_NORMAL, "Circularity 0.231 is below the published range 0.24 to 0.36.", {"value": 0.231}),
)


def case(values=None, *, status="done", reason="", name="child10", warnings=WARNINGS, score=0.88):
    values = everything() if values is None else values
    located = values.get("localization")
    measured = values.get("measurements")
    volume = values.get("head")
    return rec.CaseRecord(
        status=status,
        reason=reason,
        case=name,
        recipe=rec.RecipeRecord(
            name="corpus-callosum",
            sha256="ab" * 32,
            parameters={step: {} for step in STEP_OF.values()}
            | {"localize_roi": {"method": "robust"}, "plan_scan": {"align": "callosum", "center": "roi"}},
        ),
        mediseg="0.1.0",
        input=[
            rec.InputRecord(path=f"child10/IM{n:04d}", sha256=f"{n:064x}", series_uid="1.2.3.4") for n in range(176)
        ],
        source=rec.source_record(volume, 2.1) if volume else None,
        steps=[
            rec.StepRecord(
                name=step, seconds=1.234 + n, peak_mb=612.5 + n,
                model=rec.ModelRecord(name="brain", version="0.1.0", sha256="cd" * 32, licence="CC-BY-NC-SA-4.0")
                if key in ("brain", "callosum") else None,
            )
            for n, (key, step) in enumerate(STEP_OF.items()) if key in values
        ],
        measurements=[rec.measurement_record(m) for m in measured.values] if measured else [],
        roi=rec.roi_record(located, values.get("callosum")) if located else None,
        quality=replace_score(rec.quality_record([], warnings), score),
        warnings=[rec.warning_record(w) for w in warnings],
        outputs=[
            rec.OutputRecord(path="brain_mask.nii.gz", kind="segmentation", sha256="ef" * 32),
            rec.OutputRecord(path="report.html", kind="html", sha256="ab" * 32),
        ],
    )  # fmt: skip


def replace_score(quality, score):
    return quality.model_copy(update={"score": score})


def one_slice():
    """The values of a case that is a single sagittal slice."""
    plane = replace(midsagittal(), is_source_slice=True)
    cc = callosum(plane)
    return {"head": plane.image, "midsagittal": plane, "callosum": cc, "localization": localization()}
