import cv2
import numpy as np
import pytest

from mediseg import Refusal, RotatedROI
from mediseg.errors import Code, Warn
from mediseg.results import Estimate
from mediseg.steps.localize import estimate_all, localize_roi, mean_of
from tests.shapes import arch, callosum_of, soft_bar


@pytest.mark.parametrize("angle", [-30.0, -5.0, 0.0, 12.5, 40.0])
def test_every_estimate_of_a_bar_has_its_angle_and_centre(angle):
    found = estimate_all(soft_bar((200, 240), 0.5, 70, 12, angle, (6.0, -4.0)), 0.5)
    for name in ("box", "robust"):
        assert found[name].angle_deg == pytest.approx(angle, abs=0.6), name
        assert found[name].center_mm == pytest.approx((6.0, -4.0), abs=0.4), name
    assert found["robust"].angle_deg == pytest.approx(angle, abs=0.02)
    assert found["robust"].size_mm == pytest.approx((70, 12), abs=0.3)


def test_the_line_joins_the_outermost_columns():
    mask = np.zeros((30, 40))
    mask[10:13, 5:30] = 1.0  # most anterior column 5, rows 10..12
    mask[10:21, 29] = 1.0  # most posterior column 29, rows 10..20
    line = estimate_all(mask, 1.0)["line"]
    # ends (5, 11) and (29, 15); the picture's middle is (19.5, 14.5)
    assert line.center_mm == pytest.approx((17 - 19.5, 13 - 14.5))
    assert line.angle_deg == pytest.approx(np.degrees(np.arctan2(4, 24)))
    assert line.size_mm[1] == 0


# The notes' own numbers (localisation.md): final = mean of box and line.
@pytest.mark.parametrize(
    ("box_deg", "line_deg", "final_deg"),
    [(-6.51999, -5.02422, -5.77211), (-1.59119, -7.7654, -4.67829), (-3.87863, -2.57344, -3.22603)],
)
def test_final_angle_is_the_notes(box_deg, line_deg, final_deg):
    final = mean_of(Estimate((0, 0), box_deg, (1, 1)), Estimate((0, 0), line_deg, (1, 0)))
    assert final.angle_deg == pytest.approx(final_deg, abs=6e-6)


@pytest.mark.parametrize(
    ("box", "line", "final"),
    [
        ((-24.7409, -10.3582), (-25.5, -17), (-25.1205, -13.6791)),
        ((-19.9649, 42.2629), (-20, 41), (-19.9825, 41.6315)),
    ],
)
def test_final_centre_is_the_notes(box, line, final):
    found = mean_of(Estimate(box, 0, (1, 1)), Estimate(line, 0, (1, 0)))
    assert found.center_mm == pytest.approx(final, abs=6e-5)


def test_robust_angle_hardly_moves_between_matrices():
    fine = estimate_all(soft_bar((384, 384), 0.5, 70, 14, 7.3), 0.5)["robust"]
    coarse = estimate_all(soft_bar((192, 192), 1.0, 70, 14, 7.3), 1.0)["robust"]
    assert fine.angle_deg == pytest.approx(coarse.angle_deg, abs=0.05)
    assert fine.center_mm == pytest.approx(coarse.center_mm, abs=0.1)


def test_a_second_dim_blob_does_not_pull_the_axis():
    clean = soft_bar((200, 240), 0.5, 70, 12, 5.0)
    with_blob = clean.copy()
    with_blob[180:195, 200:230] = 0.4
    assert estimate_all(with_blob, 0.5)["robust"].angle_deg == pytest.approx(
        estimate_all(clean, 0.5)["robust"].angle_deg, abs=1e-9
    )


def test_the_roi_lies_in_patient_space():
    # face left, middle at the origin: 10 mm to posterior is +y, 6 mm to inferior is -z in LPS
    where = localize_roi(callosum_of(soft_bar((200, 240), 0.5, 70, 12, 10.0, (10.0, 6.0)), 0.5))
    assert where.roi.center_lps_mm == pytest.approx([0, 10, -6], abs=0.1)
    a = np.radians(10)
    assert where.roi.axes_lps[:, 0] == pytest.approx([0, np.cos(a), -np.sin(a)], abs=2e-3)
    assert where.roi.axes_lps[:, 1] == pytest.approx([0, -np.sin(a), -np.cos(a)], abs=2e-3)
    assert where.method == "robust"
    # a thick bar's line joins corners, so the methods differ by 8.8 degrees
    assert 0.8 < where.confidence < 0.9


def test_estimates_do_not_depend_on_how_the_slice_is_stored():
    callosum = callosum_of(arch(), 0.5)
    turned = type(callosum)(callosum.mask, callosum.probability.reorient("SAL"), plausibility=1.0, certainty=1.0)
    a, b = localize_roi(callosum), localize_roi(turned)
    assert a.roi.center_lps_mm == pytest.approx(b.roi.center_lps_mm)
    assert a.roi.axes_lps == pytest.approx(b.roi.axes_lps)


def test_an_implausible_shape_is_refused():
    with pytest.raises(Refusal, match=r"not trustworthy: confidence 0\.00"):
        localize_roi(callosum_of(arch(), 0.5, plausibility=0.0))


def test_low_confidence_is_told_before_it_is_refused():
    where = localize_roi(callosum_of(arch(), 0.5, plausibility=0.5))
    assert [w.code for w in where.warnings] == [Code.LOW_CONFIDENCE]


def test_a_callosum_at_the_edge_is_trusted_less():
    callosum = callosum_of(arch(), 0.5)
    edge = type(callosum)(callosum.mask, callosum.probability, warnings=(Warn(Code.MASK_TOUCHES_EDGE, "at the edge"),))
    assert localize_roi(edge).confidence < localize_roi(callosum).confidence


def test_an_empty_map_is_refused():
    with pytest.raises(Refusal, match="no corpus callosum"):
        estimate_all(np.zeros((20, 20)), 1.0)


def test_one_pixel_still_gives_estimates_at_its_place():
    values = np.zeros((11, 11))
    values[5, 8] = 1.0
    found = estimate_all(values, 1.0)
    assert all(e.center_mm == pytest.approx((3, 0), abs=1e-6) for e in found.values())


def test_a_users_roi_is_taken_as_it_is():
    mine = RotatedROI(np.array([1.0, 2, 3]), np.eye(3), (70, 30, 20))
    where = localize_roi(callosum_of(arch(), 0.5), roi=mine)
    assert where.roi is mine
    assert where.method == "given"


def test_a_users_roi_of_another_frame_is_refused():
    callosum = callosum_of(arch(), 0.5)
    geometry = type(callosum.probability.geometry)(
        callosum.probability.geometry.shape, callosum.probability.geometry.affine_lps, "1.2.3"
    )
    framed = type(callosum)(callosum.mask, type(callosum.probability)(callosum.probability.array, geometry))
    mine = RotatedROI(np.zeros(3), np.eye(3), (70, 30, 20), "1.2.4")
    with pytest.raises(Refusal, match="another frame of reference"):
        localize_roi(framed, roi=mine)


@pytest.mark.shared
def test_a_callosum_that_faces_backward_is_trusted_less_and_told(shared_data):
    path = sorted((shared_data / "cc_msp" / "masks").glob("*.png"))[0]
    mask = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(float)
    as_said, mirrored = localize_roi(callosum_of(mask, 0.5)), localize_roi(callosum_of(mask[:, ::-1], 0.5))
    assert as_said.warnings == ()
    assert mirrored.confidence == pytest.approx(as_said.confidence / 2, abs=0.001)
    assert [warn.code for warn in mirrored.warnings] == [Code.LATERALITY_UNSURE, Code.LOW_CONFIDENCE]
    assert "faces backward" in mirrored.warnings[0].message
