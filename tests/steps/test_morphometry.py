from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mediseg import Refusal
from mediseg.errors import Code
from mediseg.numerics.partition import FREESURFER, SCHEMES
from mediseg.steps.morphometry import measure_callosum
from tests.shapes import arch, callosum_of, covered, ellipse, ring, soft_bar, turned

HALF = np.pi / 2
SOLID = {
    "ellipse": (ellipse(34, 9), np.pi * 34 * 9),
    "small ellipse": (ellipse(12, 6), np.pi * 72),
    "ring": (ring(24, 32), np.pi * (32**2 - 24**2)),
    "half ring": (ring(26, 34, open_below=True), HALF * (34**2 - 26**2)),
}


def areas(found, scheme):
    return [m.value for m in found.values if m.name.startswith(f"area_{scheme}_")]


def disc(radius, spacing=0.5):
    return covered(ellipse(radius, radius), spacing)


# ---------------------------------------------------------------- against analytic truth


@pytest.mark.parametrize("name", SOLID)
@pytest.mark.parametrize("spacing", [0.5, 1.0, 1.5])
def test_area_is_the_shapes_own_at_every_resolution_and_turn(name, spacing):
    inside, area = SOLID[name]
    for angle in (17, 45):
        soft = covered(turned(inside, angle, (0.31, -0.22)), spacing)
        assert measure_callosum(callosum_of(soft, spacing))["area"].value == pytest.approx(area, rel=5e-3)


@pytest.mark.parametrize("spacing", [0.5, 1.0, 1.5])
def test_area_does_not_suffer_from_a_soft_scanner(spacing):
    inside, area = SOLID["half ring"]
    soft = ndimage.gaussian_filter(covered(turned(inside, 23), spacing), 0.5)
    assert measure_callosum(callosum_of(soft, spacing))["area"].value == pytest.approx(area, rel=5e-3)


@pytest.mark.parametrize(("spacing", "within"), [(0.5, 0.005), (1.0, 0.01), (1.5, 0.02)])
def test_an_ellipse_measures_what_was_drawn(spacing, within):
    from scipy.special import ellipe

    found = measure_callosum(callosum_of(covered(turned(ellipse(34, 9), 20), spacing), spacing))
    perimeter = 4 * 34 * ellipe(1 - (9 / 34) ** 2)
    assert found["perimeter"].value == pytest.approx(perimeter, rel=within)
    assert found["circularity"].value == pytest.approx(4 * np.pi * SOLID["ellipse"][1] / perimeter**2, rel=2 * within)
    assert found["length"].value == pytest.approx(68, rel=within)
    assert found["medial_line_length"].value == pytest.approx(68, rel=2 * within)
    assert found["thickness_max"].value == pytest.approx(18, rel=within)
    assert found["curvature_body"].value == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("angle", [0, 35])
@pytest.mark.parametrize(("spacing", "within"), [(0.5, 0.01), (1.0, 0.015), (1.5, 0.02)])
def test_half_a_ring_is_as_thick_long_and_bent_as_it_was_drawn(angle, spacing, within):
    soft = covered(turned(ring(26, 34, open_below=True), angle), spacing)
    found = measure_callosum(callosum_of(soft, spacing))
    assert found.thickness_mm[15:-15] == pytest.approx(8.0, rel=2 * within)
    # the potential in a ring goes with the logarithm of the radius: its middle lies at the geometric mean
    radius = np.sqrt(26 * 34)
    assert found["medial_line_length"].value == pytest.approx(np.pi * radius, rel=within)
    assert found["curvature_body"].value == pytest.approx(1 / radius, rel=3 * within)


def test_the_index_of_half_a_ring():
    found = measure_callosum(callosum_of(covered(ring(26, 34, open_below=True), 0.5), 0.5))
    # the longest line is the cut: both widths on it are 8 mm, and so is the width at its middle
    assert found["cc_index"].value == pytest.approx(3 * 8 / 68, rel=0.02)
    longest, *widths = np.linalg.norm(np.diff(found.lines_lps_mm["cc_index"], axis=1)[:, 0], axis=1)
    assert longest == pytest.approx(68, abs=0.4)
    assert widths == pytest.approx([8, 8, 8], abs=0.2)


def test_a_bar_measures_what_was_drawn():
    found = measure_callosum(callosum_of(soft_bar((200, 240), 0.5, 70, 10, 8.0), 0.5))
    assert found["area"].value == pytest.approx(700, rel=5e-3)
    assert found["perimeter"].value == pytest.approx(160, rel=0.01)
    assert found["length"].value == pytest.approx(70, abs=0.4)
    assert found["medial_line_length"].value == pytest.approx(70, abs=0.4)
    assert found["circularity"].value == pytest.approx(4 * np.pi * 700 / 160**2, rel=0.02)
    assert {m.unit for m in found.values} == {"mm2", "mm", "1", "/mm"}
    assert "cc_index" not in {m.name for m in found.values}  # the longest line never leaves the bar


@pytest.mark.parametrize("scheme", ["witelson", "hofer_frahm", "medial"])
def test_parts_of_a_bar_follow_the_schemes_fractions(scheme):
    found = measure_callosum(callosum_of(soft_bar((120, 240), 0.5, 72, 12, 0.0), 0.5), parts=scheme)
    expected = np.diff([0.0, *[fraction for _, fraction in SCHEMES[scheme]]]) * 72 * 12
    assert areas(found, scheme) == pytest.approx(expected, rel=0.02)
    assert set(np.unique(found.parts.labels)) == {0, 1, 2, 3, 4, 5}
    counts = [np.count_nonzero(found.parts.labels == n) * 0.25 for n in range(1, 6)]
    assert counts == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_parts_of_half_a_ring(spacing):
    found = measure_callosum(callosum_of(covered(ring(26, 34, open_below=True), spacing), spacing))
    whole = SOLID["half ring"][1]
    # about the middle of the cut, sectors and shares of the medial line are shares of the angle
    assert areas(found, "angular") == pytest.approx([whole / 5] * 5, rel=0.03)
    assert areas(found, "medial") == pytest.approx(np.diff([0, 1 / 6, 1 / 2, 2 / 3, 3 / 4, 1]) * whole, rel=0.03)
    # cuts at right angles to the cut: the part left of x is made of two segments of circles
    left = [_half_ring_left_of(-34 + 68 * share) for share in (0, 1 / 6, 1 / 2, 2 / 3, 3 / 4, 1)]
    assert areas(found, "hofer_frahm") == pytest.approx(np.diff(left), rel=0.03)
    assert areas(found, "vertical") == pytest.approx(np.diff(left), rel=0.03)


def _half_ring_left_of(x):
    def half_disc(radius):
        u = np.clip(x / radius, -1, 1)
        return radius**2 / 2 * (np.arcsin(u) + u * np.sqrt(1 - u**2) + HALF)

    return half_disc(34) - half_disc(26)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_parts_make_up_the_whole(scheme):
    found = measure_callosum(callosum_of(arch(), 0.5), parts=scheme)
    assert sum(areas(found, scheme)) == pytest.approx(found["area"].value, rel=1e-9)
    assert len(found.parts.segments) == 5


# ---------------------------------------------------------------- where things lie


def test_medial_line_lies_in_patient_space_from_front_to_back():
    found = measure_callosum(callosum_of(arch(), 0.5))
    y = found.medial_line_lps_mm[:, 1]
    assert y[0] < -25
    assert y[-1] > 25
    assert found.medial_line_lps_mm[:, 0] == pytest.approx(0, abs=1e-6)
    assert found.medial_line_lps_mm[50, 2] == pytest.approx(32, abs=0.8)  # top of the arch
    lines = found.lines_lps_mm["thickness"]
    assert lines.shape == (100, 2, 3)
    assert np.linalg.norm(lines[50, 1] - lines[50, 0]) == pytest.approx(8, abs=0.1)


def test_parts_lie_on_the_masks_own_grid():
    callosum = callosum_of(arch(), 0.5)
    found = measure_callosum(callosum)
    for labels in (found.parts, found.fastsurfer_parts):
        assert labels.geometry.same_grid(callosum.mask.geometry)
        assert np.array_equal(labels.mask(), callosum.mask.mask())


def test_freesurfers_numbers_run_from_back_to_front():
    found = measure_callosum(callosum_of(arch(), 0.5), parts="medial")
    labels = found.fastsurfer_parts
    assert [(s.number, s.name) for s in labels.segments] == list(reversed(FREESURFER))
    posterior = labels.geometry.lps_from_ijk(np.argwhere(labels.labels == 251))[:, 1]
    anterior = labels.geometry.lps_from_ijk(np.argwhere(labels.labels == 255))[:, 1]
    assert posterior.min() > anterior.max()
    assert np.array_equal(labels.labels[labels.mask()], 256 - found.parts.labels[labels.mask()].astype(int))


def test_measures_hardly_depend_on_the_matrix():
    fine = measure_callosum(callosum_of(arch(0.5), 0.5))
    coarse = measure_callosum(callosum_of(arch(1.0), 1.0))
    assert coarse["area"].value == pytest.approx(fine["area"].value, rel=0.01)
    assert coarse["thickness_mean"].value == pytest.approx(fine["thickness_mean"].value, rel=0.01)


def test_pixels_need_not_be_square():
    callosum = callosum_of(covered(ring(26, 34, open_below=True), 0.5), 0.5)
    grid = callosum.probability.geometry.with_spacing((0.5, 1.0, 1.0))
    narrow = replace(callosum, probability=callosum.probability.resample(grid))
    found = measure_callosum(narrow)
    assert found["area"].value == pytest.approx(SOLID["half ring"][1], rel=5e-3)
    assert found.thickness_mm[50] == pytest.approx(8, abs=0.15)


# ---------------------------------------------------------------- normal range


def test_no_range_without_the_patients_age():
    assert all(m.low is None and m.high is None for m in measure_callosum(callosum_of(arch(), 0.5)).values)


def test_the_area_has_its_papers_range():
    found = measure_callosum(callosum_of(arch(thickness_mm=6.2), 0.5), age_years=30)
    area = found["area"]
    assert (area.low, area.high) == (450.6, 803.4)
    assert "Mitchell et al. 2003" in area.source
    assert not found.warnings
    assert [m.name for m in found.values if m.low is not None] == ["area"]


def test_an_area_outside_of_its_range_is_told():
    found = measure_callosum(callosum_of(arch(thickness_mm=3), 0.5), age_years=30)
    (warning,) = found.warnings
    assert warning.code is Code.OUTSIDE_NORMAL
    assert "outside 451 to 803 mm2" in warning.message


@pytest.mark.parametrize("age", [13.9, 68.1, 90])
def test_no_range_for_ages_that_the_paper_did_not_see(age):
    assert measure_callosum(callosum_of(arch(), 0.5), age_years=age)["area"].low is None


# ---------------------------------------------------------------- odd shapes

LETTER_L = np.pad(np.block([[np.ones((40, 8)), np.zeros((40, 40))], [np.ones((8, 8)), np.ones((8, 40))]]), 5)
ODD = {
    "ball": disc(15),
    "tiny ball": disc(2.2),
    "straight bar": soft_bar((120, 240), 0.5, 72, 12, 0.0),
    "upright bar": soft_bar((240, 120), 0.5, 72, 12, 90.0),
    "bar of a pixel or two": soft_bar((120, 240), 0.5, 72, 1.0, 7.0),
    "one row": np.pad(np.ones((1, 60)), 10),
    "diagonal pixels": np.pad(np.eye(60), 3),
    "every pixel": np.ones((60, 80)),
    "letter L": LETTER_L,
    "hard arch": (arch() >= 0.5).astype(float),
    "noise": (np.random.default_rng(0).random((80, 80)) > 0.45).astype(float),
    "samples of a closed ring": covered(ring(20, 30), 0.5),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("samples", [10, 100])
def test_an_odd_shape_gets_finite_answers(name, samples):
    found = measure_callosum(callosum_of(ODD[name], 0.5), samples=samples)
    assert np.isfinite([m.value for m in found.values]).all()
    assert all(m.value >= 0 for m in found.values)
    assert np.isfinite(found.thickness_mm).all()
    assert found.medial_line_lps_mm.shape == (samples, 3)
    assert np.isfinite(found.medial_line_lps_mm).all()
    assert len(found.values) in (35, 36)  # the index is left out where it is not defined


def test_a_ball_is_a_ball():
    found = measure_callosum(callosum_of(disc(15), 0.5))
    assert found["circularity"].value == pytest.approx(1, abs=0.01)
    assert found["thickness_max"].value == pytest.approx(30, abs=0.1)
    assert found["medial_line_length"].value == pytest.approx(30, abs=0.2)


def test_only_the_largest_part_is_measured_and_the_rest_told():
    two = np.maximum(covered(turned(ellipse(20, 8), 0, (-15, 0)), 0.5), covered(turned(ellipse(6, 6), 0, (30, 0)), 0.5))
    found = measure_callosum(callosum_of(two, 0.5))
    assert found["area"].value == pytest.approx(np.pi * 160, rel=5e-3)
    (warning,) = found.warnings
    assert warning.code is Code.LOW_CONFIDENCE
    assert warning.detail["lost_mm2"] == pytest.approx(np.pi * 36, rel=0.02)


def test_a_hole_is_no_callosum_and_is_told():
    holed = covered(ellipse(34, 9), 0.5) - covered(ellipse(3, 3), 0.5)
    found = measure_callosum(callosum_of(holed, 0.5))
    assert found["area"].value == pytest.approx(np.pi * (34 * 9 - 9), rel=5e-3)
    assert "hole of 28 mm2" in found.warnings[0].message


def test_the_images_edge_is_told_once():
    cut = arch()[140:, :250]
    (warning,) = measure_callosum(callosum_of(cut, 0.5)).warnings
    assert warning.code is Code.MASK_TOUCHES_EDGE
    known = replace(callosum_of(cut, 0.5), warnings=(warning,))
    assert measure_callosum(known).warnings == ()


def test_too_little_to_measure_is_refused():
    speck = np.zeros((40, 40))
    with pytest.raises(Refusal, match="too small to measure"):
        measure_callosum(callosum_of(speck, 0.5))
    speck[20, 20] = 1
    with pytest.raises(Refusal, match="too small to measure"):
        measure_callosum(callosum_of(speck, 0.5))


def test_a_map_with_nan_is_refused():
    broken = arch()
    broken[3, 3] = np.nan
    with pytest.raises(Refusal, match="not finite"):
        measure_callosum(callosum_of(broken, 0.5))


def test_more_than_one_slice_is_refused():
    callosum = callosum_of(arch(), 0.5)
    grid = callosum.probability.geometry.with_spacing((0.5, 0.5, 0.5))
    with pytest.raises(Refusal, match="one sagittal slice"):
        measure_callosum(replace(callosum, probability=callosum.probability.resample(grid)))


def test_every_value_says_how_it_was_made():
    assert all(m.method for m in measure_callosum(callosum_of(arch(), 0.5)).values)
