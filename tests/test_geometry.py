"""Grids and motions, against hand-made values, nibabel, SimpleITK and highdicom."""

from __future__ import annotations

import itertools

import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mediseg.geometry import Geometry, Plane, Rigid, axial_grid_around

FLIP = np.diag([-1.0, -1, 1, 1])  # LPS from RAS and back
SHAPE = (4, 5, 6)
ORIENTATIONS = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "IS"))
    for signs in itertools.product((0, 1), repeat=3)
]


def axes_of(codes: str) -> np.ndarray:
    axes = np.zeros((3, 3))
    for index, letter in enumerate(codes):
        axes["RLAPIS".index(letter) // 2, index] = 1 if letter in "LPS" else -1
    return axes


def grid(codes: str = "LPS", frame: str | None = "1.2.3") -> Geometry:
    return Geometry.from_axes(SHAPE, axes_of(codes), (1, 2, 3), center_lps_mm=(7, -8, 9), frame_of_reference=frame)


angles = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.2, 8)] * 3)
points = st.tuples(*[st.floats(-300, 300)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def geometries(draw) -> Geometry:
    axes = Rotation.from_euler("xyz", draw(angles), degrees=True).as_matrix()
    if draw(st.booleans()):
        axes[:, 1] *= -1
    return Geometry.from_axes(draw(shapes), axes, draw(spacings), center_lps_mm=draw(points))


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_codes_agree_with_nibabel(codes):
    geometry = grid(codes)
    assert geometry.codes == codes
    assert "".join(nib.aff2axcodes(FLIP @ geometry.affine_lps)) == codes
    assert geometry.is_right_handed == (np.linalg.det(axes_of(codes)) > 0)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_reorient_keeps_every_voxel_where_it_is(codes):
    start = grid("PIR")
    turned = start.reorient(codes)
    assert turned.codes == codes
    order, flips = start.axis_steps(codes)
    index = np.array([1, 3, 4])
    moved = [
        start.shape[axis] - 1 - index[axis] if flip else index[axis] for axis, flip in zip(order, flips, strict=True)
    ]
    np.testing.assert_allclose(turned.lps_from_ijk(moved), start.lps_from_ijk(index), atol=1e-12)
    back = turned.reorient("PIR")
    assert back.shape == start.shape
    np.testing.assert_allclose(back.affine_lps, start.affine_lps, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(geometries(), points)
def test_there_and_back(geometry, point):
    index = geometry.ijk_from_lps(point)
    np.testing.assert_allclose(geometry.lps_from_ijk(index), point, atol=1e-8)
    np.testing.assert_allclose(geometry.lps_from_ijk((0, 0, 0)), geometry.origin_lps_mm)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.tuples(*[st.floats(-5, 12)] * 3))
def test_points_agree_with_nibabel_and_simpleitk(geometry, index):
    here = geometry.lps_from_ijk(index)
    ras = nib.affines.apply_affine(FLIP @ geometry.affine_lps, index)
    np.testing.assert_allclose(here, ras * (-1, -1, 1), atol=1e-9)
    image = SimpleITK.Image(*geometry.shape, SimpleITK.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection(geometry.axes_lps.ravel().tolist())
    image.SetOrigin(geometry.origin_lps_mm.tolist())
    np.testing.assert_allclose(here, image.TransformContinuousIndexToPhysicalPoint(index), atol=1e-6)


@pytest.mark.parametrize("codes", ["LPS", "PIR", "RAS", "SLP"])
def test_grid_agrees_with_highdicom(codes):
    ours = grid(codes)
    k, j, i = ours.shape[::-1]
    # highdicom's array is (slice, row, column), so its affine's columns are ours from the last to the first
    theirs = highdicom.VolumeGeometry(
        affine=ours.affine_lps[:, [2, 1, 0, 3]],
        spatial_shape=(k, j, i),
        coordinate_system="PATIENT",
        frame_of_reference_uid=ours.frame_of_reference,
    )
    assert theirs.spacing == pytest.approx(ours.spacing_mm[::-1])
    np.testing.assert_allclose(theirs.position, ours.origin_lps_mm)
    np.testing.assert_allclose(theirs.center_position, ours.center_lps_mm)
    np.testing.assert_allclose(theirs.map_indices_to_reference(np.array([[5, 1, 3]]))[0], ours.lps_from_ijk((3, 1, 5)))
    assert theirs.frame_of_reference_uid == ours.frame_of_reference


def test_from_axes_by_hand():
    geometry = grid()
    assert geometry.affine_lps.tolist() == [[1, 0, 0, 5.5], [0, 2, 0, -12], [0, 0, 3, 1.5], [0, 0, 0, 1]]
    assert geometry.center_lps_mm.tolist() == [7, -8, 9]
    assert geometry.voxel_mm3 == pytest.approx(6)
    assert geometry.corners_lps_mm().min(axis=0).tolist() == [5, -13, 0]
    assert geometry.corners_lps_mm().max(axis=0).tolist() == [9, -3, 18]


def test_frames_of_reference_are_carried_and_compared():
    one, same, other, none = grid(), grid(), grid(frame="9.9"), grid(frame=None)
    assert one.same_space(same)
    assert one == same
    assert hash(one) == hash(same)
    assert hash(Geometry((1, 1, 1), -np.diag([-1.0, -1, -1, -1]))) == hash(Geometry((1, 1, 1), np.eye(4)))  # -0.0
    assert not one.same_space(other)
    assert not one.same_grid(other)
    assert one != other
    assert one.same_space(none)
    assert one.same_grid(none)
    for made in (one.reorient("RAS"), one.crop((0, 0, 0), (1, 1, 1)), one.pad((1, 1, 1), (1, 1, 1))):
        assert made.frame_of_reference == "1.2.3"
    assert one.with_spacing((1, 1, 1)).frame_of_reference == "1.2.3"
    assert axial_grid_around(one, 1).frame_of_reference == "1.2.3"
    assert one != "something else"


def test_same_grid_has_a_tolerance():
    near = Geometry(SHAPE, grid().affine_lps + np.diag([1e-5, 0, 0, 0]), "1.2.3")
    assert near.same_grid(grid())
    assert not near.same_grid(grid(), 1e-6)
    assert not Geometry((4, 5, 7), grid().affine_lps).same_grid(grid())


def test_crop_and_pad_move_the_origin_only():
    cropped = grid().crop((1, 2, 3), (4, 5, 6))
    assert cropped.shape == (3, 3, 3)
    np.testing.assert_allclose(cropped.lps_from_ijk((0, 0, 0)), grid().lps_from_ijk((1, 2, 3)))
    assert cropped.pad((1, 2, 3), (0, 0, 0)).same_grid(grid(), 1e-12)
    assert grid().crop((-1, 0, 0), (5, 5, 6)).shape == (6, 5, 6)


@settings(max_examples=40, deadline=None)
@given(geometries(), st.floats(0.3, 5))
def test_new_grids_hold_the_old_block(geometry, spacing):
    for made in (geometry.with_spacing((spacing,) * 3), axial_grid_around(geometry, spacing)):
        index = made.ijk_from_lps(geometry.corners_lps_mm())
        assert (index >= -0.5 - 1e-5).all()
        assert (index <= np.array(made.shape) - 0.5 + 1e-5).all()
        assert made.spacing_mm == pytest.approx((spacing,) * 3)


def test_axial_grid_around_takes_any_codes():
    assert [axial_grid_around(grid("PIR"), 1, codes).codes for codes in ("RAS", "LPS", "SAR")] == ["RAS", "LPS", "SAR"]


def test_shear_is_held_and_told():
    affine = np.eye(4)
    affine[:3, 2] = (0, np.sin(0.2), np.cos(0.2))
    assert not Geometry(SHAPE, affine).is_orthogonal
    assert grid("PIR").is_orthogonal


def test_arrays_are_read_only():
    for array in (grid().affine_lps, grid().ijk_from_lps_matrix):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 5


@pytest.mark.parametrize(
    ("shape", "affine", "why"),
    [
        ((0, 1, 1), np.eye(4), "at least 1"),
        ((1, 1), np.eye(4), "three sizes"),
        (SHAPE, np.eye(3), "must have shape"),
        (SHAPE, np.full((4, 4), np.nan), "must be finite"),
        (SHAPE, np.diag([1.0, 1, 1, 2]), "last row"),
        (SHAPE, np.diag([1.0, 0, 1, 1]), "singular"),
        (SHAPE, np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_impossible_grids_are_not_made(shape, affine, why):
    with pytest.raises(ValueError, match=why):
        Geometry(shape, affine)


@pytest.mark.parametrize("codes", ["", "LP", "LRS", "XYZ", "LPSA", "lps"])
def test_impossible_orientations_are_told(codes):
    with pytest.raises(ValueError, match="is no orientation"):
        grid().axis_steps(codes)


def test_planes_by_hand():
    plane = Plane(np.array([1.0, 2, 3]), np.array([0.0, 0, 5]))
    assert plane.normal_lps.tolist() == [0, 0, 1]
    assert plane.distance_mm([[9, 9, 3], [0, 0, 1]]).tolist() == [0, -2]
    assert plane.angle_to_deg((0, 0, -2)) == pytest.approx(0)
    assert plane.angle_to_deg((1, 0, 1)) == pytest.approx(45)
    for normal in ((0, 0, 0), (np.nan, 0, 1), (1, 0)):
        with pytest.raises(ValueError, match="normal_lps"):
            Plane(np.zeros(3), np.array(normal, float))


@settings(max_examples=40, deadline=None)
@given(angles, points, angles, points, points)
def test_motions_compose_and_undo(turn, shift, turn2, shift2, point):
    def motion(angle, vector):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("xyz", angle, degrees=True).as_matrix()
        matrix[:3, 3] = vector
        return Rigid(matrix)

    first, then = motion(turn, shift), motion(turn2, shift2)
    np.testing.assert_allclose(first.inverse().apply(first.apply(point)), point, atol=1e-8)
    np.testing.assert_allclose(then.after(first).apply(point), then.apply(first.apply(point)), atol=1e-8)


@pytest.mark.parametrize("matrix", [np.diag([2.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])])
def test_only_rotations_are_rigid(matrix):
    with pytest.raises(ValueError, match="proper rotation"):
        Rigid(matrix)
