"""Grids in napari's world and back: no viewer."""

import numpy as np
import pytest
from napari_mediseg.frames import (
    LazyVolume,
    grid_of_layer,
    lps_from_world,
    native_labels,
    placing_of,
    shown_image,
    shown_labels,
    world_from_lps,
)

from mediseg import Geometry, Segment, Segmentation, Volume

SAGITTAL = np.column_stack([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
AXIAL = np.eye(3)


def turned(axes: np.ndarray, deg: float) -> np.ndarray:
    c, s = np.cos(np.radians(deg)), np.sin(np.radians(deg))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return about_z @ about_x @ axes


def grid(axes: np.ndarray, shape=(9, 8, 7), spacing=(1.0, 1.5, 2.0)) -> Geometry:
    return Geometry.from_axes(shape, axes, spacing, center_lps_mm=(3.0, -4.0, 50.0), frame_of_reference="1.2.3")


def labels_on(geometry: Geometry) -> Segmentation:
    random = np.random.default_rng(1).integers(0, 3, geometry.shape).astype(np.uint8)
    return Segmentation(random, geometry, (Segment(1, "one"), Segment(2, "two")))


@pytest.mark.parametrize("axes", [AXIAL, SAGITTAL], ids=["axial", "sagittal"])
def test_along_the_patients_axes_voxels_are_reordered_and_lie_at_their_places(axes):
    geometry = grid(axes)
    placing = placing_of(geometry)
    volume = Volume(np.random.default_rng(0).random(geometry.shape), geometry)
    data = shown_image(volume, placing)
    assert placing.kind == "exact"
    matrix = placing.world_from_data
    for index in [(0, 0, 0), (3, 2, 5)]:
        world = matrix[:3, :3] @ index + matrix[:3, 3]
        native = np.rint(geometry.ijk_from_lps(lps_from_world(world))).astype(int)
        assert data[index] == volume.array[tuple(native)]
        np.testing.assert_allclose(geometry.lps_from_ijk(native), lps_from_world(world), atol=1e-9)


@pytest.mark.parametrize("axes", [AXIAL, SAGITTAL, turned(AXIAL, 17), turned(SAGITTAL, -23)])
def test_labels_that_are_not_touched_keep_every_voxel(axes):
    before = labels_on(grid(axes))
    placing = placing_of(before.geometry)
    np.testing.assert_array_equal(native_labels(shown_labels(before, placing), placing, before), before.labels)


def test_what_is_painted_on_an_oblique_image_reaches_its_own_grid_and_the_rest_stays():
    before = labels_on(grid(turned(AXIAL, 20), shape=(20, 20, 20), spacing=(1.0, 1.0, 1.0)))
    placing = placing_of(before.geometry)
    painted = shown_labels(before, placing)
    at = np.rint(placing.shown.ijk_from_lps(before.geometry.center_lps_mm)).astype(int)
    painted[tuple(slice(n - 3, n + 4) for n in at)] = 7
    after = native_labels(painted, placing, before)
    assert after[9:11, 9:11, 9:11].tolist() == np.full((2, 2, 2), 7).tolist()
    away = np.ones(before.labels.shape, bool)
    away[3:17, 3:17, 3:17] = False
    np.testing.assert_array_equal(after[away], before.labels[away])


def test_one_slice_keeps_its_voxels_and_its_places_on_the_plane():
    normal = np.array([-0.99, 0.08, 0.05])
    normal /= np.linalg.norm(normal)
    down = np.array([0, 0, -1.0]) - normal[2] * -normal
    down = np.array([0, 0, -1.0]) + normal[2] * normal
    down /= np.linalg.norm(down)
    axes = np.column_stack([np.cross(down, normal), down, normal])
    geometry = Geometry.from_axes((40, 30, 1), axes, (1.0, 1.0, 1.0), center_lps_mm=(4.0, 5.0, 6.0))
    before = labels_on(geometry)
    placing = placing_of(geometry)
    assert placing.kind == "slice"
    matrix = placing.world_from_data
    corner = matrix[:3, :3] @ (0, 0, 0) + matrix[:3, 3]
    true = world_from_lps(placing.shown.lps_from_ijk((0, 0, 0)))
    np.testing.assert_allclose(corner[:2], true[:2], atol=1e-9)  # as seen from the side
    assert abs(corner[2] - true[2]) < matrix[2, 2] / 2  # within the slab
    np.testing.assert_array_equal(native_labels(shown_labels(before, placing), placing, before), before.labels)


def test_an_oblique_volume_is_interpolated_a_plane_at_a_time_and_planes_are_kept(monkeypatch):
    geometry = grid(turned(AXIAL, 15), shape=(24, 24, 24), spacing=(1.0, 1.0, 1.0))
    x, y, z = np.moveaxis(geometry.lps_from_ijk(np.stack(np.indices(geometry.shape), -1)), -1, 0)
    volume = Volume((2 * x - y + 3 * z).astype(np.float32), geometry)
    placing = placing_of(geometry)
    lazy = shown_image(volume, placing)
    assert isinstance(lazy, LazyVolume)
    at = np.rint(placing.shown.ijk_from_lps(geometry.center_lps_mm)).astype(int)
    point = placing.shown.lps_from_ijk(at)
    assert lazy[tuple(at)] == pytest.approx(2 * point[0] - point[1] + 3 * point[2], rel=1e-4)
    plane = lazy[at[0]]
    monkeypatch.setattr(Volume, "resample", lambda *_, **__: pytest.fail("resampled twice"))
    np.testing.assert_array_equal(lazy[at[0], :, :], plane)
    np.testing.assert_array_equal(lazy[at[0], 2:5, ::2], plane[2:5, ::2])


def test_the_whole_of_an_oblique_volume_is_its_planes():
    geometry = grid(turned(AXIAL, 15))
    volume = Volume(np.random.default_rng(0).random(geometry.shape).astype(np.float32), geometry)
    lazy = shown_image(volume, placing_of(geometry))
    np.testing.assert_allclose(np.asarray(lazy)[:, 3], lazy[:, 3], atol=1e-6)


def test_labels_above_255_and_another_shape_are_refused():
    before = labels_on(grid(AXIAL))
    placing = placing_of(before.geometry)
    with pytest.raises(ValueError, match="between 0 and 255"):
        native_labels(np.full(placing.shown.shape, 300), placing, before)
    with pytest.raises(ValueError, match="the layer has shape"):
        native_labels(np.zeros((2, 2, 2)), placing, before)


def test_the_grid_of_a_layer_that_napari_made():
    made = grid_of_layer((4, 5, 6), np.diag([3.0, 2.0, 1.0, 1.0]))
    np.testing.assert_allclose(made.lps_from_ijk((1, 1, 1)), (1.0, 2.0, 3.0))
