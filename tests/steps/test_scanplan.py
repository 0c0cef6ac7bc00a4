import numpy as np
import pytest

from mediseg import Brain, Geometry, Refusal, RotatedROI, Segment, Segmentation, Volume
from mediseg.results import Callosum, Frame
from mediseg.steps.scanplan import angulation, plan_scan

UPRIGHT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def _roi(angle_deg: float = 0.0, frame: str | None = None) -> RotatedROI:
    a = np.radians(angle_deg)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return RotatedROI(np.array([1.0, 2.0, 3.0]), UPRIGHT @ turn, (70, 25, 20), frame)


def _ball(radius_mm: float, center: tuple[float, float, float], frame: str | None = None) -> Brain:
    grid = Geometry.from_axes((60, 60, 60), np.eye(3), (4, 4, 4), center_lps_mm=center, frame_of_reference=frame)
    distance = np.linalg.norm(grid.lps_from_ijk(np.argwhere(np.ones(grid.shape))) - center, axis=1) - radius_mm
    array = distance.reshape(grid.shape).astype(np.float32)
    mask = Segmentation((array <= 0).astype(np.uint8), grid, (Segment(1, "brain"),))
    return Brain(mask, Volume(array, grid), 1.0)


def test_groups_follow_the_roi():
    groups = {g.name: g for g in plan_scan(_roi(10.0)).groups}
    a = np.radians(10)
    assert groups["transversal"].image_orientation[:3] == pytest.approx((1, 0, 0))
    assert groups["transversal"].image_orientation[3:] == pytest.approx((0, np.cos(a), -np.sin(a)))
    assert groups["transversal"].normal_lps == pytest.approx((0, np.sin(a), np.cos(a)))
    assert groups["coronal"].normal_lps == pytest.approx((0, np.cos(a), -np.sin(a)))
    assert np.abs(groups["sagittal"].normal_lps) == pytest.approx((1, 0, 0))


def test_first_pixel_first_slice_and_centre_fit_together():
    for group in plan_scan(_roi(-7.0), _ball(80, (0, 0, 0))).groups:
        row, column = np.array(group.image_orientation[:3]), np.array(group.image_orientation[3:])
        pixels = np.array(group.fov_mm) / group.pixel_mm
        middle = (
            np.array(group.image_position_mm)
            + (row * (pixels[0] - 1) + column * (pixels[1] - 1)) * group.pixel_mm / 2
            + np.array(group.normal_lps) * (group.slices - 1) * (group.thickness_mm + group.gap_mm) / 2
        )
        assert middle == pytest.approx(group.center_lps_mm, abs=1e-4)
        assert np.cross(row, column) == pytest.approx(group.normal_lps, abs=1e-5)


def test_slices_cover_the_brain_and_its_margin():
    plan = plan_scan(_roi(), _ball(80, (1, 2, 3)), margin_mm=5, thickness_mm=4, gap_mm=1)
    for group in plan.groups:
        covered = group.slices * 5 - 1
        assert covered >= 2 * (78 + 5)  # the ball's voxel centres reach 78 to 80 mm
        assert covered <= 2 * (80 + 5) + 5


def _callosum(direction_lps: tuple[float, float, float] | None) -> Callosum:
    grid = Geometry.from_axes((4, 4, 1), UPRIGHT, (1, 1, 1), center_lps_mm=(0, 0, 0))
    mask = Segmentation(np.ones(grid.shape, np.uint8), grid, (Segment(1, "corpus callosum"),))
    frame = None if direction_lps is None else Frame(np.zeros(3), np.array(direction_lps))
    return Callosum(mask, Volume(np.ones(grid.shape, np.float32), grid), frame)


def test_slices_along_the_acpc_line_wherever_the_roi_points():
    a = np.radians(4)
    callosum = _callosum((0.0, np.cos(a), np.sin(a)))
    plans = [plan_scan(_roi(angle), None, callosum, align="acpc") for angle in (10.0, -7.0)]
    for plan in plans:
        groups = {g.name: g for g in plan.groups}
        assert plan.align == "acpc"
        assert groups["transversal"].image_orientation == pytest.approx((1, 0, 0, 0, np.cos(a), np.sin(a)))
        assert groups["coronal"].normal_lps == pytest.approx((0, np.cos(a), np.sin(a)))
        assert np.abs(groups["sagittal"].normal_lps) == pytest.approx((1, 0, 0))
        assert groups["transversal"].center_lps_mm == pytest.approx((1, 2, 3))


def test_an_acpc_line_off_the_rois_plane_is_laid_into_it():
    plan = plan_scan(_roi(), None, _callosum((0.3, 0.9, 0.1)), align="acpc")
    sagittal = next(g for g in plan.groups if g.name == "sagittal")
    assert np.abs(sagittal.normal_lps) == pytest.approx((1, 0, 0))


@pytest.mark.parametrize("callosum", [None, _callosum(None)])
def test_no_acpc_line_is_refused(callosum):
    with pytest.raises(Refusal, match="needs the AC-PC frame"):
        plan_scan(_roi(), None, callosum, align="acpc")


def test_centre_on_the_brain():
    plan = plan_scan(_roi(), _ball(60, (5, -10, 20)), center="brain")
    assert plan.groups[0].center_lps_mm == pytest.approx((5, -10, 20), abs=0.5)


def test_centre_on_a_brain_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match="needs a brain mask"):
        plan_scan(_roi(), center="brain")


def test_roi_and_brain_of_different_frames_are_refused():
    with pytest.raises(Refusal, match="different frames of reference"):
        plan_scan(_roi(frame="1.2"), _ball(60, (0, 0, 0), "1.3"))


@pytest.mark.parametrize(
    ("normal", "text"),
    [
        ((0, 0, 1), "T"),
        ((0, 1, 0), "C"),
        ((-1, 0, 0), "S"),
        ((0, np.sin(np.radians(12.3)), np.cos(np.radians(12.3))), "T > C 12.3"),
        ((0, -np.sin(np.radians(12.3)), np.cos(np.radians(12.3))), "T > C -12.3"),
    ],
)
def test_angulation_reads_like_a_console(normal, text):
    assert angulation(normal) == text
