"""The head phantom: same parameters, same numbers; an image that its truth fits; a truth that moves along."""

import inspect

import numpy as np
import pytest

from mediseg.errors import UsageError
from mediseg.geometry import Geometry
from mediseg.phantom import head_labels, head_truth, phantom_head
from mediseg.phantom._paint import CONTRASTS, Tissue

STRAIGHT = {"yaw_deg": 0.0, "roll_deg": 0.0, "pitch_deg": 0.0, "offset_mm": (0.0, 0.0, 0.0)}
CLEAN = {"noise": 0.0, "bias": 0.0}


@pytest.fixture(scope="module")
def coarse():
    return phantom_head(spacing_mm=4.0)


@pytest.fixture(scope="module")
def truth():
    return head_truth(spacing_mm=4.0)


def test_same_parameters_give_the_same_bytes(coarse):
    again = phantom_head(spacing_mm=4.0)
    assert np.array_equal(coarse.array, again.array)
    assert coarse.geometry == again.geometry


def test_the_seed_changes_noise_and_shading_only(coarse):
    assert not np.array_equal(coarse.array, phantom_head(spacing_mm=4.0, seed=1).array)
    a, b = (phantom_head(spacing_mm=12.0, seed=s, **CLEAN) for s in (0, 1))
    assert np.array_equal(a.array, b.array)


def test_image_and_truth_share_the_grid(coarse, truth):
    assert coarse.geometry == truth.brain.geometry == truth.bias.geometry
    assert coarse.geometry.codes == "PIR"
    assert coarse.array.dtype == np.uint16
    assert coarse.source is not None
    assert coarse.source.modality == "MR"


def test_functions_share_their_parameters():
    mine, its = (inspect.signature(f).parameters for f in (phantom_head, head_truth))
    assert dict(mine) == dict(its)
    assert all(mine[name] == p for name, p in inspect.signature(head_labels).parameters.items())


def test_brain_has_an_adults_size_and_lies_within_the_scan(truth):
    assert 1300 <= truth.brain_ml <= 1500
    i, j, k = np.nonzero(truth.brain.mask())
    for index, size in zip((i, j, k), truth.brain.geometry.shape, strict=True):
        assert index.min() > 0
        assert index.max() < size - 1


@pytest.mark.parametrize("spacing", [2.0, 4.0, (1.5, 1.5, 5.0)])
def test_brain_volume_does_not_depend_on_the_grid(truth, spacing):
    assert head_truth(spacing_mm=spacing).brain_ml == pytest.approx(truth.brain_ml, rel=0.01)


@pytest.mark.parametrize(("spacing", "shape"), [(2.0, (120, 128, 96)), ((2.0, 4.0, 6.0), (120, 64, 32))])
def test_spacing_sets_the_matrix(spacing, shape):
    head = phantom_head(spacing_mm=spacing)
    assert head.geometry.shape == shape
    wanted = spacing if isinstance(spacing, tuple) else (spacing,) * 3
    assert head.geometry.spacing_mm == pytest.approx(wanted)


def test_coarse_voxels_are_averages_of_fine_ones():
    fine, thick = (phantom_head(spacing_mm=s, **CLEAN).array.astype(float) for s in (2.0, (2.0, 2.0, 6.0)))
    averaged = fine.reshape(120, 128, 32, 3).mean(axis=3)
    assert np.abs(averaged - thick).max() <= 1.0  # both are rounded


def test_left_and_right_mirror_each_other_outside_of_the_cortex():
    labels = head_labels(spacing_mm=4.0, **STRAIGHT).labels
    image = phantom_head(spacing_mm=4.0, **STRAIGHT, **CLEAN).array.astype(float)
    symmetric = ~np.isin(labels, (Tissue.CSF, Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.DURA, Tissue.AIR))
    symmetric &= symmetric[:, :, ::-1]
    off = np.abs(image - image[:, :, ::-1])[symmetric]
    assert symmetric.sum() > 20_000
    assert np.median(off) < 1.0
    assert np.mean(off > 60) < 0.02


def test_plane_holds_the_middle_of_the_brain(truth):
    points = truth.brain.geometry.lps_from_ijk(np.argwhere(truth.brain.mask()))
    assert np.linalg.norm(truth.plane.normal_lps) == pytest.approx(1.0)
    assert truth.plane.normal_lps[0] > 0.9  # to the patient's left
    assert abs(truth.plane.distance_mm(points).mean()) < 0.2


def test_default_midplane_has_to_be_found(truth):
    grid = truth.brain.geometry
    assert truth.plane.angle_to_deg(grid.axes_lps[:, 2]) == pytest.approx(3.6, abs=0.1)
    assert abs(truth.plane.point_lps_mm[0] - grid.center_lps_mm[0]) == pytest.approx(4.0)


def test_shading_divides_out(truth):
    shaded = phantom_head(spacing_mm=4.0, noise=0.0)
    plain = phantom_head(spacing_mm=4.0, **CLEAN)
    corrected = shaded.array / truth.bias.array
    assert np.abs(corrected - plain.array.astype(float)).max() < 1.5
    assert truth.bias.array[truth.brain.mask()].mean() == pytest.approx(1.0, abs=0.01)


def test_noise_is_rician_in_air():
    head = phantom_head(spacing_mm=4.0, noise=0.05, bias=0.0, **STRAIGHT)
    air = head.array[:8, :8, :8].astype(float)
    assert air.mean() == pytest.approx(0.05 * 600 * np.sqrt(np.pi / 2), rel=0.06)


def test_tissues_have_their_order_of_brightness(truth):
    image = phantom_head(spacing_mm=2.0, **CLEAN).array
    labels = head_labels(spacing_mm=2.0)
    level = {t: float(np.median(image[labels.mask(int(t))])) for t in Tissue if labels.mask(int(t)).sum() > 200}
    order = (Tissue.BONE, Tissue.CSF, Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CALLOSUM, Tissue.FAT)
    assert [level[t] for t in order] == sorted(level[t] for t in order)
    within = truth.brain.resample(labels.geometry).mask()
    for tissue in (Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.VENTRICLE, Tissue.CEREBELLAR_GREY):
        inside = within[labels.mask(int(tissue))]
        assert inside.mean() > 0.97, tissue.name


def test_t2_shows_csf_brighter_than_white_matter():
    labels = head_labels(spacing_mm=4.0).labels
    image = phantom_head(spacing_mm=4.0, contrast="t2", **CLEAN).array
    assert np.median(image[labels == Tissue.VENTRICLE]) > 2 * np.median(image[labels == Tissue.WHITE_MATTER])


def test_callosum_mask_matches_its_outline(truth):
    counted = truth.callosum.mask().sum() * 0.25
    assert counted == pytest.approx(truth.callosum_area_mm2, rel=0.01)
    assert truth.callosum.geometry.shape[2] == 1
    assert np.abs(truth.plane.distance_mm(truth.callosum_contour_lps_mm)).max() < 1e-9
    corners = truth.callosum.geometry.lps_from_ijk([(0, 0, 0), (255, 255, 0)])
    assert np.abs(truth.plane.distance_mm(corners)).max() < 1e-9


def test_callosum_is_where_the_image_is_bright(truth):
    head = phantom_head(**CLEAN, spacing_mm=2.0)
    on_plane = head.resample(truth.callosum.geometry).array[:, :, 0]
    inside = truth.callosum.mask()[:, :, 0]
    from scipy import ndimage

    deep = ndimage.binary_erosion(inside, iterations=3)
    ring = ndimage.binary_dilation(inside, iterations=10) & ~ndimage.binary_dilation(inside, iterations=5)
    assert np.median(on_plane[deep]) > 1.5 * np.median(on_plane[ring])


def test_callosum_stands_out_in_the_truth_of_the_labels(truth):
    labels = head_labels(spacing_mm=2.0)
    on_plane = labels.resample(truth.callosum.geometry).labels[:, :, 0] == Tissue.CALLOSUM
    inside = truth.callosum.mask()[:, :, 0]
    assert 2 * (on_plane & inside).sum() / (on_plane.sum() + inside.sum()) > 0.85


def test_pitch_turns_every_estimate_by_itself():
    level, tipped = (head_truth(spacing_mm=12.0, **{**STRAIGHT, "pitch_deg": p}) for p in (0.0, 9.0))
    for name in ("box", "robust"):
        turned = tipped.estimates[name].angle_deg - level.estimates[name].angle_deg
        assert turned == pytest.approx(9.0, abs=1e-6), name
        assert tipped.estimates[name].size_mm == pytest.approx(level.estimates[name].size_mm)


def test_line_and_final_follow_their_rules(truth):
    box, line, final = (truth.estimates[n] for n in ("box", "line", "final"))
    contour = truth.callosum.geometry.ijk_from_lps(truth.callosum_contour_lps_mm)[:, :2] * 0.5
    front, back = contour[contour[:, 0].argmin()], contour[contour[:, 0].argmax()]
    assert line.angle_deg == pytest.approx(np.degrees(np.arctan2(*(back - front)[::-1])))
    assert final.angle_deg == pytest.approx((box.angle_deg + line.angle_deg) / 2)
    assert np.prod(box.size_mm) <= np.prod(truth.estimates["robust"].size_mm)


def test_offset_moves_everything():
    here, there = (
        head_truth(spacing_mm=6.0, **{**STRAIGHT, "offset_mm": o}) for o in ((0.0, 0, 0), (6.0, -12.0, 12.0))
    )
    assert there.plane.point_lps_mm - here.plane.point_lps_mm == pytest.approx([6, -12, 12])
    assert there.roi.center_lps_mm - here.roi.center_lps_mm == pytest.approx([6, -12, 12])
    # whole voxels: i to posterior, j to inferior, k to the right
    assert np.array_equal(np.roll(here.brain.labels, (-2, -2, -1), (0, 1, 2)), there.brain.labels)


def test_roi_lies_around_the_callosum(truth):
    along = (truth.callosum_contour_lps_mm - truth.roi.center_lps_mm) @ truth.roi.axes_lps
    half = np.array(truth.roi.size_mm) / 2
    assert along.max(axis=0)[:2] == pytest.approx(half[:2])
    assert along.min(axis=0)[:2] == pytest.approx(-half[:2])
    assert np.abs(along[:, 2]).max() < 1e-9
    assert truth.roi.axes_lps[1, 0] > 0.9  # the long axis points to posterior
    assert np.linalg.det(truth.roi.axes_lps) == pytest.approx(1.0)


def test_callosum_does_not_depend_on_the_scan():
    a, b = head_truth(spacing_mm=12.0), head_truth(spacing_mm=(3.0, 3.0, 6.0))
    assert a.callosum_area_mm2 == b.callosum_area_mm2
    assert np.array_equal(a.callosum.labels, b.callosum.labels)


def test_unknown_contrast_is_answered_with_a_suggestion():
    assert CONTRASTS == ("t1", "t2")
    with pytest.raises(UsageError, match=r'no contrast "t3"'):
        phantom_head(contrast="t3")


@pytest.mark.parametrize("wrong", [{"noise": -0.1}, {"noise": 1.5}, {"bias": 2.5}, {"bias": float("nan")}])
@pytest.mark.parametrize("function", [phantom_head, head_truth])
def test_strengths_out_of_range_are_refused(function, wrong):
    with pytest.raises(UsageError, match="noise must be 0 to 1 and its bias 0 to 2"):
        function(spacing_mm=12.0, **wrong)


def test_one_slice_thick_voxels_still_make_a_grid():
    assert isinstance(phantom_head(spacing_mm=12.0, noise=0.0).geometry, Geometry)
