import math

import numpy as np
import pytest
from scipy import ndimage

from mediseg.evaluate.metrics import (
    FrameError,
    Overlap,
    acpc_frame,
    as_callosum,
    frame_error,
    overlap,
    roi_axis,
    roi_error,
    surface_distances,
    turn_deg,
)
from mediseg.results import Frame
from tests.shapes import callosum_of, covered, ellipse, soft_bar, turned

EMPTY = np.zeros((4, 5), bool)
ONE = EMPTY.copy()
ONE[1, 2] = True


def _rectangle(rows, columns):
    mask = np.zeros((20, 30), bool)
    mask[rows, columns] = True
    return mask


def test_two_shifted_rectangles_by_hand():
    # 5 x 10 pixels, shifted by 2 columns of 2 mm: 8/10 in common; borders 26 pixels each
    found, reference = _rectangle(slice(5, 10), slice(7, 17)), _rectangle(slice(5, 10), slice(5, 15))
    result = overlap(found, reference, (0.5, 2.0))
    assert result.dice == pytest.approx(0.8)
    assert result.hd95_mm == pytest.approx(4.0)  # more than 5 % of the border lies two columns beyond
    assert result.size_error_percent == 0
    # of each border: the far end's column (5 pixels) 4 mm, the next one's two ends 2 mm, 16 pixels on the other's
    # border, and the near end's three inner pixels lie inside, 1 mm (2 rows) or 0.5 mm (1 row) from it
    assert result.assd_mm == pytest.approx((5 * 4 + 2 * 2 + 1.0 + 2 * 0.5 + 16 * 0) / 26)


def test_one_voxel_apart_in_three_dimensions():
    found, reference = np.zeros((2, 5, 5, 5), bool)
    found[1, 2, 3] = reference[2, 2, 1] = True
    assert overlap(found, reference, (1.0, 1.0, 2.0)) == Overlap(0.0, math.sqrt(17), math.sqrt(17), 0.0)


def test_size_error_is_signed():
    small, large = _rectangle(slice(5, 10), slice(5, 13)), _rectangle(slice(5, 10), slice(5, 15))
    assert overlap(small, large, (1, 1)).size_error_percent == pytest.approx(-20)
    assert overlap(large, small, (1, 1)).size_error_percent == pytest.approx(25)


@pytest.mark.parametrize(
    ("found", "reference", "expected"),
    [
        (EMPTY, EMPTY, Overlap(1.0, 0.0, 0.0, 0.0)),
        (EMPTY, ONE, Overlap(0.0, math.inf, math.inf, -100.0)),
        (ONE, EMPTY, Overlap(0.0, math.inf, math.inf, math.inf)),
        (ONE, ONE, Overlap(1.0, 0.0, 0.0, 0.0)),
        (~EMPTY, ~EMPTY, Overlap(1.0, 0.0, 0.0, 0.0)),  # touches every edge
    ],
)
def test_empty_and_single_masks(found, reference, expected):
    assert overlap(found, reference, (0.7, 1.3)) == expected


def test_one_slice_is_judged_in_its_plane():
    found, reference = _rectangle(slice(5, 10), slice(7, 17)), _rectangle(slice(5, 10), slice(5, 15))
    flat = overlap(found, reference, (0.5, 2.0))
    assert overlap(found[None], reference[None], (7.0, 0.5, 2.0)) == flat
    assert overlap(found[:, None], reference[:, None], (0.5, 7.0, 2.0)) == flat


def test_masks_that_do_not_fit_are_a_fault():
    with pytest.raises(ValueError, match="do not fit"):
        overlap(EMPTY, ONE.T, (1, 1))
    with pytest.raises(ValueError, match="do not fit"):
        overlap(EMPTY, ONE, (1, 1, 1))


def _blobs(shape, seed):
    rng = np.random.default_rng(seed)
    return [ndimage.gaussian_filter(rng.normal(size=shape), 3) > 0.02 for _ in range(2)]


@pytest.mark.parametrize(("shape", "spacing"), [((40, 50), (0.7, 1.9)), ((20, 24, 30), (1.0, 0.8, 3.0))])
def test_simpleitk_agrees(shape, spacing):
    import SimpleITK as sitk  # noqa: N813 -- the library's own short name

    masks = _blobs(shape, 1)
    distances = []
    for mine, other in (masks, masks[::-1]):
        edge = mine & ~ndimage.binary_erosion(mine)
        target = sitk.GetImageFromArray((other & ~ndimage.binary_erosion(other)).astype(np.uint8))
        target.SetSpacing(spacing[::-1])
        away = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(target, squaredDistance=False, useImageSpacing=True))
        distances.append(np.maximum(away, 0)[edge])
    hd95, assd = surface_distances(*masks, spacing)
    assert hd95 == pytest.approx(max(np.percentile(d, 95) for d in distances), abs=1e-4)
    assert assd == pytest.approx(np.concatenate(distances).mean(), abs=1e-4)


@pytest.mark.parametrize(("shape", "spacing"), [((40, 50), (0.7, 1.9)), ((20, 24, 30), (1.0, 0.8, 3.0))])
@pytest.mark.train
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_monai_agrees(shape, spacing):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    masks = _blobs(shape, 2)
    pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]
    hd95 = metrics.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    assd = metrics.compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=spacing)
    dice = metrics.compute_dice(*pair, include_background=True)
    result = overlap(*masks, spacing)
    assert (result.dice, result.hd95_mm, result.assd_mm) == pytest.approx(
        (float(dice), float(hd95), float(assd)), abs=1e-5
    )


@pytest.mark.parametrize("angle", [-20.0, 3.0, 25.0])
def test_the_references_axis_is_its_second_moments(angle):
    mask = covered(turned(ellipse(30, 9), angle, (4.0, -6.0)), 0.25, pieces=3) >= 0.5
    center, axis, _ = roi_axis(as_callosum(callosum_of(mask.astype(float), 0.25).mask))
    assert turn_deg(np.array([0.0, 1.0, 0.0]), axis) == pytest.approx(angle, abs=0.05)
    assert center == pytest.approx((0, 4.0, 6.0), abs=0.1)  # x to posterior is +y, y to inferior is -z


def test_roi_error_is_signed_and_in_mm():
    reference = callosum_of(soft_bar((200, 240), 0.5, 60, 12, 4.0, (1.0, 2.0)), 0.5).mask
    found = callosum_of(soft_bar((200, 240), 0.5, 60, 12, 10.0, (4.0, -2.0)), 0.5)
    error = roi_error(found, reference)
    assert error.angle_deg == pytest.approx(6.0, abs=0.1)
    assert error.center_mm == pytest.approx(5.0, abs=0.1)


def test_the_acpc_frame_stands_where_the_manifest_says():
    geometry = callosum_of(np.zeros((40, 60)), 0.5).mask.geometry.reorient("RAS")
    truth = acpc_frame(geometry, (3.0, 4.0), 30.0)
    assert truth.center_lps_mm == pytest.approx((0, 3.0, -4.0))
    assert truth.direction_lps == pytest.approx((0, math.sqrt(3) / 2, -0.5))
    found = Frame(np.array([0, 3.0, -9.0]), np.array([0, 1.0, 0]))
    assert frame_error(found, truth) == FrameError(pytest.approx(-30.0), pytest.approx(5.0))
    assert math.isnan(frame_error(None, truth).angle_deg)
    assert math.isnan(frame_error(found, None).center_mm)


def test_roi_error_without_a_reference_is_no_number():
    nothing = callosum_of(np.zeros((40, 40)), 0.5).mask
    error = roi_error(callosum_of(soft_bar((200, 240), 0.5, 60, 12, 10.0), 0.5), nothing)
    assert math.isnan(error.angle_deg)
    assert math.isnan(error.center_mm)


@pytest.mark.parametrize(("start", "end", "turn"), [(0, 30, 30), (80, -80, 20), (-80, 80, -20), (10, 100, 90)])
def test_a_turn_is_the_short_way_round(start, end, turn):
    axes = [np.array([0, math.cos(math.radians(a)), -math.sin(math.radians(a))]) for a in (start, end)]
    assert turn_deg(*axes) == pytest.approx(turn)
