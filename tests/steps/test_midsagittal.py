import numpy as np
import pytest
from scipy import ndimage

from mediseg import Geometry, Refusal, Volume, find_midsagittal
from mediseg.errors import Code

SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def _normal(yaw_deg: float, roll_deg: float) -> np.ndarray:
    yaw, roll = np.radians([yaw_deg, roll_deg])
    return np.array([np.cos(yaw) * np.cos(roll), np.sin(yaw) * np.cos(roll), np.sin(roll)])


def _mirror_head(
    geometry: Geometry, yaw_deg: float = 0.0, roll_deg: float = 0.0, offset_mm: float = 0.0, seed: int = 3
) -> Volume:
    """An egg-shaped head of smooth random texture that mirrors itself about a known plane."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 90, 90)), 2.5)
    texture = texture / texture.std()
    points = geometry.lps_from_ijk(np.argwhere(np.ones(geometry.shape)))
    normal = _normal(yaw_deg, roll_deg)
    away = points @ normal - offset_mm
    flat = points - away[:, None] * normal
    index = np.stack([np.abs(away) / 2, flat[:, 1] / 2 + 45, flat[:, 2] / 2 + 45])
    value = 100 + 25 * ndimage.map_coordinates(texture, index, order=1)
    inside = (away / 68) ** 2 + (flat[:, 1] / 85) ** 2 + (flat[:, 2] / 75) ** 2 < 1
    return Volume(np.where(inside, value, 0).reshape(geometry.shape).astype(np.float32), geometry)


def _grid(axes: np.ndarray, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    return Geometry.from_axes(shape, axes, spacing, center_lps_mm=(2.0, -3.0, 4.0), frame_of_reference="1.2.3")


@pytest.mark.parametrize(
    ("yaw", "roll", "offset"), [(0, 0, 0), (8, -5, 7.5), (-14, 10, -12)], ids=["straight", "turned", "far turned"]
)
def test_the_plane_is_found_where_it_was_put(yaw, roll, offset):
    head = _mirror_head(_grid(np.eye(3), (70, 84, 74), (2.5, 2.5, 2.5)), yaw, roll, offset)
    found = find_midsagittal(head)
    assert found.plane.angle_to_deg(_normal(yaw, roll)) < 0.5
    assert float(found.plane.normal_lps @ _normal(yaw, roll)) > 0  # to the patient's left
    assert float(found.plane.point_lps_mm @ _normal(yaw, roll)) == pytest.approx(offset, abs=0.4)
    assert not found.is_source_slice


def test_the_image_lies_on_the_plane_face_left_and_upright():
    head = _mirror_head(_grid(np.eye(3), (70, 84, 74), (2.5, 2.5, 2.5)), 8, -5, 7.5)
    found = find_midsagittal(head)
    geometry = found.image.geometry
    assert geometry.codes == "PIR"
    assert geometry.shape[2] == 1
    assert geometry.is_right_handed
    assert geometry.frame_of_reference == "1.2.3"
    assert geometry.spacing_mm[:2] == pytest.approx((2.5, 2.5))
    corners = geometry.lps_from_ijk([[0, 0, 0], [geometry.shape[0] - 1, 0, 0], [0, geometry.shape[1] - 1, 0]])
    assert found.plane.distance_mm(corners) == pytest.approx(0, abs=1e-6)
    # what the image shows is what the head holds there
    middle = np.array([[geometry.shape[0] // 2, geometry.shape[1] // 2, 0]])
    at = head.geometry.ijk_from_lps(geometry.lps_from_ijk(middle)).T
    expected = ndimage.map_coordinates(head.array, at, order=1)
    assert found.image.array[middle[0, 0], middle[0, 1], 0] == pytest.approx(expected[0], rel=1e-4)


@pytest.mark.parametrize("codes", ["RAS", "AIL"])
def test_the_plane_does_not_depend_on_the_axis_order(codes):
    head = _mirror_head(_grid(np.eye(3), (56, 68, 60), (3, 3, 3)), 6, 4, 5)
    found, turned = find_midsagittal(head), find_midsagittal(head.reorient(codes))
    assert found.plane.normal_lps == pytest.approx(turned.plane.normal_lps, abs=2e-3)
    assert float(turned.plane.distance_mm(found.plane.point_lps_mm)) == pytest.approx(0, abs=0.1)


def test_of_a_thick_stack_the_nearest_slice_is_taken_as_acquired():
    grid = _grid(SAGITTAL, (84, 74, 31), (2.0, 2.0, 5.0))
    head = _mirror_head(grid, 0.5, 0.3, 7.8)
    found = find_midsagittal(head)
    assert found.is_source_slice
    # slices lie at x = 2 + 5 n: 7.8 is nearest to 7
    assert found.image.geometry.center_lps_mm[0] == pytest.approx(7.0)
    index = round((2.0 + 75.0 - 7.0) / 5)
    assert np.array_equal(found.image.array[:, :, 0], head.array[:, :, index])


def test_a_tilted_thick_stack_is_refused():
    head = _mirror_head(_grid(SAGITTAL, (84, 74, 31), (2.0, 2.0, 5.0)), 14, 4, 3)
    with pytest.raises(Refusal, match="no slice is truly mid-sagittal") as told:
        find_midsagittal(head)
    assert [w.code for w in told.value.warnings] == [Code.NO_TRUE_MIDSAGITTAL]
    assert find_midsagittal(head, max_off_plane_mm=20).is_source_slice


def test_one_sagittal_slice_passes_through():
    geometry = _grid(SAGITTAL, (30, 40, 1), (1.0, 1.0, 5.0))
    slice_ = Volume(np.arange(1200, dtype=np.float32).reshape(30, 40, 1), geometry)
    found = find_midsagittal(slice_.reorient("SAL"))
    assert np.array_equal(found.image.array, slice_.array)
    assert found.image.geometry.same_grid(geometry)
    assert found.is_source_slice
    assert found.plane.normal_lps[0] == pytest.approx(1)


def test_one_slice_that_is_not_sagittal_is_refused():
    axial = Volume(np.ones((30, 40, 1), np.float32), _grid(np.eye(3), (30, 40, 1), (1.0, 1.0, 5.0)))
    with pytest.raises(Refusal, match="not sagittal: its normal is 90 degrees"):
        find_midsagittal(axial)


def test_a_slice_turned_by_40_degrees_still_passes():
    a = np.radians(40)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    slice_ = Volume(np.ones((30, 40, 1), np.float32), _grid(turn @ SAGITTAL, (30, 40, 1), (1.0, 1.0, 5.0)))
    assert find_midsagittal(slice_).image.geometry.shape == (30, 40, 1)


def test_thick_axial_slices_are_too_coarse():
    head = _mirror_head(_grid(np.eye(3), (70, 84, 27), (2.5, 2.5, 7.0)))
    with pytest.raises(Refusal, match="too coarse to show the corpus callosum"):
        find_midsagittal(head)


def test_axial_slices_of_3_mm_are_told_to_be_rough():
    head = _mirror_head(_grid(np.eye(3), (70, 84, 60), (2.5, 2.5, 3.0)))
    assert [w.code for w in find_midsagittal(head).warnings] == [Code.LOW_RESOLUTION]


def test_an_empty_volume_is_refused():
    with pytest.raises(Refusal, match="too little of a head"):
        find_midsagittal(Volume(np.zeros((20, 20, 20), np.float32), _grid(np.eye(3), (20, 20, 20), (5, 5, 5))))
