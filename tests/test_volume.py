"""Volumes: exact reordering, resampling there and back, refusals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mediseg.errors import Refusal
from mediseg.geometry import Geometry, Plane, Rigid
from mediseg.results import Frame
from mediseg.volume import RotatedROI, Segment, Segmentation, Source, Volume, as_geometry
from tests.test_geometry import ORIENTATIONS, axes_of, grid

SHAPE = (4, 5, 6)
RAMP = np.arange(120, dtype=np.int16).reshape(SHAPE)


def volume(codes: str = "PIR", frame: str | None = "1.2.3") -> Volume:
    return Volume(RAMP, grid(codes, frame), Source(kind="array"))


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_reorient_is_exact_there_and_back(codes):
    start = volume()
    turned = start.reorient(codes)
    assert turned.geometry.codes == codes
    assert turned.source is start.source
    index = np.array([(0, 0, 0), (3, 4, 5), (1, 3, 2)])
    there = np.rint(turned.geometry.ijk_from_lps(start.geometry.lps_from_ijk(index))).astype(int)
    np.testing.assert_array_equal(turned.array[tuple(there.T)], RAMP[tuple(index.T)])
    np.testing.assert_array_equal(turned.reorient("PIR").array, RAMP)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_resample_onto_a_reordered_grid_copies_voxels(codes):
    target = grid("PIR").reorient(codes)
    moved = volume().resample(target)
    assert moved.array.dtype == np.int16
    np.testing.assert_array_equal(moved.array, volume().reorient(codes).array)
    back = moved.resample(volume())
    np.testing.assert_array_equal(back.array, RAMP)
    assert back.geometry == volume().geometry


@settings(max_examples=25, deadline=None)
@given(
    start=st.tuples(*[st.integers(-3, 3)] * 3),
    size=st.tuples(*[st.integers(1, 9)] * 3),
    codes=st.sampled_from(ORIENTATIONS),
)
def test_crop_pad_and_flip_in_one_go_copy_voxels(start, size, codes):
    target = grid("PIR").crop(start, np.add(start, size)).reorient(codes)
    moved = volume().resample(target, fill=-1)
    for index in itertools.product(*(range(n) for n in target.shape)):
        i, j, k = np.rint(grid("PIR").ijk_from_lps(target.lps_from_ijk(index))).astype(int)
        inside = 0 <= i < 4 and 0 <= j < 5 and 0 <= k < 6
        assert moved.array[index] == (RAMP[i, j, k] if inside else -1)


def smooth(geometry: Geometry) -> np.ndarray:
    points = geometry.lps_from_ijk(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1))
    return (np.sin(points / 9).sum(axis=-1) * 100).astype(np.float32)


@pytest.mark.parametrize("is_left_handed", [False, True])
@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -20, 30), (95, 40, -170)])
def test_oblique_there_and_back(angles, is_left_handed):
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    axes[:, 2] *= -1 if is_left_handed else 1
    start = Geometry.from_axes((30, 34, 26), axes, (1.0, 0.8, 1.3), center_lps_mm=(3, 4, 5))
    fine = Geometry.from_axes((80, 80, 80), np.eye(3), (0.7, 0.7, 0.7), center_lps_mm=(3, 4, 5))
    image = Volume(smooth(start), start)
    there = image.resample(fine, order=3)
    back = there.resample(image, order=3)
    inner = (slice(4, -4),) * 3
    assert back.geometry == start
    assert np.abs(back.array - image.array)[inner].max() < 0.5  # of a range of 600
    middle = (slice(30, 50),) * 3
    assert np.abs(there.array - smooth(fine))[middle].max() < 0.3


def test_linear_agrees_with_simpleitk():
    axes = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    start = Geometry.from_axes((20, 21, 22), axes, (1.0, 1.5, 2.0), center_lps_mm=(1, 2, 3))
    target = Geometry.from_axes((15, 15, 15), np.eye(3), (0.9, 0.9, 0.9), center_lps_mm=(1, 2, 3))
    pixels = np.random.default_rng(0).normal(size=start.shape).astype(np.float32)

    def image(geometry: Geometry, array: np.ndarray) -> SimpleITK.Image:
        made = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
        made.SetSpacing(geometry.spacing_mm)
        made.SetOrigin(geometry.origin_lps_mm.tolist())
        made.SetDirection(geometry.axes_lps.ravel().tolist())
        return made

    theirs = SimpleITK.Resample(image(start, pixels), image(target, np.zeros(target.shape, np.float32)))
    ours = Volume(pixels, start).resample(target)
    np.testing.assert_allclose(ours.array, SimpleITK.GetArrayFromImage(theirs).transpose(2, 1, 0), atol=2e-4)


def test_a_voxel_reaches_half_a_spacing_beyond_its_centre():
    one = Volume(np.full((1, 1, 1), 5, np.float32), Geometry((1, 1, 1), np.eye(4)))
    target = Geometry.from_axes((5, 1, 1), np.eye(3), (0.4, 1, 1), center_lps_mm=(0, 0, 0))
    assert one.resample(target, fill=-1).array.ravel().tolist() == [-1, 5, 5, 5, -1]


def test_a_coarser_grid_averages_thin_structures():
    array = np.zeros((40, 40, 40), np.float32)
    array[::4] = 4
    image = Volume(array, Geometry(array.shape, np.eye(4)))
    coarse = image.resample(image.geometry.with_spacing((4, 4, 4)))
    assert coarse.array[2:-2, 2:-2, 2:-2].std() < 0.4
    assert coarse.array[2:-2, 2:-2, 2:-2].mean() == pytest.approx(1, abs=0.15)


def test_nearest_keeps_the_labels_and_their_type():
    labels = (RAMP % 3).astype(np.uint8)
    made = Segmentation(labels, grid(), (Segment(1, "one"), Segment(2, "two")))
    fine = made.resample(grid().with_spacing((0.7, 0.9, 1.1)))
    assert fine.labels.dtype == np.uint8
    assert set(np.unique(fine.labels)) <= {0, 1, 2}
    assert made.volume_ml(1) == pytest.approx(40 * 6 / 1000)
    assert made.volume_ml() == pytest.approx(80 * 6 / 1000)
    assert np.count_nonzero(made.mask(2)) == 40
    np.testing.assert_array_equal(fine.resample(made).labels, labels)


def test_other_frames_of_reference_are_refused():
    with pytest.raises(Refusal, match="different frames of reference"):
        volume().resample(grid("PIR", "9.9"))
    assert volume().resample(grid("PIR", None)).array.shape == SHAPE


def test_from_affine_takes_either_hand_and_flat_images():
    for codes in ("LPS", "RAS", "RPS"):
        made = Volume.from_affine(RAMP, grid(codes).affine_lps, frame_of_reference="1.2.3")
        assert made.geometry.same_grid(grid(codes), 1e-12)
        assert made.geometry.is_right_handed == (np.linalg.det(axes_of(codes)) > 0)
    assert Volume.from_affine(np.zeros((3, 4)), np.eye(4)).array.shape == (3, 4, 1)
    for shape in ((3,), (2, 2, 2, 2)):
        with pytest.raises(ValueError, match="2 or 3 dimensions"):
            Volume.from_affine(np.zeros(shape), np.eye(4))


def test_shapes_must_agree_and_arrays_are_read_only():
    with pytest.raises(ValueError, match="array has shape"):
        Volume(np.zeros((2, 2, 2)), grid())
    with pytest.raises(ValueError, match="labels have shape"):
        Segmentation(np.zeros((2, 2, 2), np.uint8), grid(), ())
    with pytest.raises(ValueError, match="read-only"):
        volume().array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        Segmentation(np.zeros(SHAPE, np.uint8), grid(), ()).labels[0, 0, 0] = 1


@pytest.mark.parametrize("value", [256, -1, 0.5, np.nan])
def test_what_is_no_label_is_told_not_wrapped_round(value):
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        Segmentation(np.full((1, 1, 1), value), Geometry((1, 1, 1), np.eye(4)), ())


def test_a_volume_stands_for_its_grid():
    assert as_geometry(volume()) is volume().geometry or as_geometry(volume()) == grid("PIR")
    assert as_geometry(grid()) == grid()


def test_values_that_hold_arrays_can_be_compared_and_kept_in_sets():
    rigid, plane = Rigid(np.eye(4)), Plane(np.zeros(3), np.eye(3)[0])
    roi, frame = RotatedROI(np.zeros(3), np.eye(3), (1, 1, 1)), Frame(np.zeros(3), np.eye(3)[0])
    for one in (rigid, plane, roi, frame):
        assert one in {rigid, plane, roi, frame}
        assert one != replace(one)


def test_rois_by_hand():
    roi = RotatedROI(np.array([1.0, 2, 3]), np.eye(3), (4, 2, 9))
    assert roi.corners_lps_mm().tolist() == [[-1, 1, 3], [3, 1, 3], [3, 3, 3], [-1, 3, 3]]
    with pytest.raises(ValueError, match="right angles"):
        RotatedROI(np.zeros(3), np.ones((3, 3)), (1, 1, 1))
    with pytest.raises(ValueError, match="must not be negative"):
        RotatedROI(np.zeros(3), np.eye(3), (1, -1, 1))
    with pytest.raises(ValueError, match="centre of 3"):
        RotatedROI(np.zeros(2), np.eye(3), (1, 1, 1))


def test_one_slice_is_taken_half_a_slice_to_either_side():
    one = Volume.from_affine(np.array([[[5.0]], [[7.0]]], np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    grid = Geometry.from_axes((3, 1, 9), np.eye(3), (0.5, 1.0, 1.0), center_lps_mm=(0.5, 0.0, 0.0))
    found = one.resample(grid, fill=-1.0).array[:, 0, :]
    assert found[:, 4].tolist() == [5.0, 6.0, 7.0]
    assert found[0].tolist() == [-1.0, -1.0, 5.0, 5.0, 5.0, 5.0, 5.0, -1.0, -1.0]
