"""Order, splitting and checks of stacks, on small series with known geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from mediseg.errors import Code, Refusal
from mediseg.geometry import Geometry
from mediseg.io import open_study
from mediseg.io.dicom.read import read_stack
from mediseg.io.study import Stack
from mediseg.volume import Volume
from tests.io.dicom_factory import ramp, sagittal, write_enhanced, write_series

SHAPE = (6, 5, 60)


def only_stack(folder: Path) -> Stack:
    study = open_study(folder)
    assert len(study.stacks) == 1
    return study.stacks[0]


def codes(item: Stack | Volume) -> list[str]:
    return [warn.code.value for warn in item.warnings]


def shifted(step: np.ndarray) -> Geometry:
    """A sagittal grid whose slices step in a direction of its own."""
    plain = sagittal(SHAPE)
    affine = plain.affine_lps.copy()
    affine[:3, 2] = step
    return Geometry(SHAPE, affine, plain.frame_of_reference)


def test_voxels_and_places_come_back(tmp_path):
    grid = sagittal(SHAPE, (0.9, 1.1, 1.3))
    write_series(tmp_path, ramp(SHAPE), grid)
    stack = only_stack(tmp_path)
    volume = read_stack(stack)
    assert volume.geometry.same_grid(grid, 1e-6)
    assert volume.geometry.is_right_handed
    assert volume.geometry.frame_of_reference == grid.frame_of_reference
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, ramp(SHAPE))
    assert volume.warnings == ()


def test_source_tells_the_origin_of_every_slice(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    source = read_stack(only_stack(tmp_path)).source
    assert source.files == tuple(paths)
    assert [uid.rsplit(".", 1)[1] for uid in source.sop_uids] == [str(k + 1) for k in range(60)]
    assert (source.kind, source.modality, source.frames) == ("dicom", "MR", ())
    assert source.facts["echo_time_ms"] == 2.5
    assert source.facts["patient_position"] == "HFS"
    text = repr(source)
    assert "Nemo" not in text
    assert "77421" not in text


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    center=st.tuples(*[st.floats(-200, 200)] * 3),
    is_left_handed=st.booleans(),
)
def test_random_oblique_stacks_come_back(tmp_path_factory, angles, spacing, center, is_left_handed):
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if is_left_handed:
        axes[:, 2] *= -1
    shape = (4, 3, 5)
    grid = Geometry.from_axes(shape, axes, spacing, center_lps_mm=center, frame_of_reference="1.2.3")
    folder = tmp_path_factory.mktemp("oblique")

    def frame(_: int, dataset: Dataset) -> None:
        dataset.FrameOfReferenceUID = "1.2.3"

    write_series(folder, ramp(shape), grid, change=frame)
    volume = read_stack(only_stack(folder))
    assert volume.geometry.is_right_handed
    back = volume.geometry.crop((0, 0, 0), shape) if not is_left_handed else volume.geometry
    flipped = volume.array[:, :, ::-1] if is_left_handed else volume.array
    np.testing.assert_array_equal(flipped, ramp(shape))
    first = (0, 0, shape[2] - 1) if is_left_handed else (0, 0, 0)
    # The header holds 16 characters a number: about 1e-11 mm here, and 1e-13 for the direction cosines
    np.testing.assert_allclose(back.lps_from_ijk(first), grid.lps_from_ijk((0, 0, 0)), atol=1e-6)
    np.testing.assert_allclose(np.abs(np.linalg.det(back.affine_lps)), np.prod(spacing), rtol=1e-6)
    for i, j, k in ((3, 2, 4), (0, 2, 1), (3, 0, 2)):
        there = (i, j, shape[2] - 1 - k) if is_left_handed else (i, j, k)
        np.testing.assert_allclose(back.lps_from_ijk(there), grid.lps_from_ijk((i, j, k)), atol=1e-6)


def test_slice_thickness_and_patient_position_turn_nothing(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.PatientPosition, dataset.SliceThickness, dataset.SpacingBetweenSlices = "HFDR", 7, 2

    grid = sagittal(SHAPE, (1, 1, 3))
    write_series(tmp_path, ramp(SHAPE), grid, change=change)
    assert only_stack(tmp_path).geometry.same_grid(grid, 1e-6)


def test_pixel_spacing_is_between_rows_then_between_columns(tmp_path):
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE, (0.5, 2.0, 1.0)))
    assert only_stack(tmp_path).geometry.spacing_mm == pytest.approx((0.5, 2.0, 1.0))


def test_one_missing_slice_is_filled_and_never_referenced(tmp_path):
    array = ramp(SHAPE)
    write_series(tmp_path, array, sagittal(SHAPE), skip=(17,))
    volume = read_stack(only_stack(tmp_path))
    assert codes(volume) == ["MISSING_SLICE"]
    assert volume.warnings[0].detail["index"] == [17]
    assert volume.source.sop_uids[17] is None
    assert None not in volume.source.sop_uids[:17] + volume.source.sop_uids[18:]
    np.testing.assert_array_equal(volume.array, array)  # a ramp is linear along k, so the mean is exact
    assert volume.geometry.same_grid(sagittal(SHAPE), 1e-6)


@pytest.mark.parametrize(
    ("skip", "why"), [((17, 18), "neighbours are missing"), ((5, 20), "more than 2 %"), ((5, 20, 40), "more than 2 %")]
)
def test_more_missing_slices_are_refused(tmp_path, skip, why):
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), skip=skip)
    stack = only_stack(tmp_path)
    with pytest.raises(Refusal, match=why) as caught:
        read_stack(stack)
    assert caught.value.warnings[0].code is Code.MISSING_SLICE
    assert caught.value.warnings[0].detail["index"] == list(skip)


def test_one_missing_of_few_thick_slices_is_more_than_two_percent(tmp_path):
    shape = (6, 5, 35)
    write_series(tmp_path, ramp(shape), sagittal(shape, (1, 1, 4.8)), skip=(17,))
    with pytest.raises(Refusal, match=r"1 of 35 slices missing \(2.9 %\), index 17"):
        read_stack(only_stack(tmp_path))


def jittered(amplitude: float):
    rng = np.random.default_rng(1)
    offsets = rng.uniform(-amplitude, amplitude, SHAPE[2])

    def change(k: int, dataset: Dataset) -> None:
        position = np.array(dataset.ImagePositionPatient, float) + offsets[k] * np.array([-1.0, 0, 0])
        dataset.ImagePositionPatient = [f"{value:.8f}" for value in position]

    return change


@pytest.mark.parametrize(("amplitude", "expected"), [(0.005, []), (0.05, ["UNEQUAL_SPACING"])])
def test_small_jitter_is_told_from_rounding(tmp_path, amplitude, expected):
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=jittered(amplitude))
    volume = read_stack(only_stack(tmp_path))
    assert codes(volume) == expected
    assert volume.geometry.spacing_mm[2] == pytest.approx(1.0, abs=0.002)


def test_gross_unevenness_is_refused(tmp_path):
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=jittered(0.3))
    with pytest.raises(Refusal, match="too uneven"):
        read_stack(only_stack(tmp_path))


def test_spacing_that_changes_half_way_is_refused(tmp_path):
    def change(k: int, dataset: Dataset) -> None:
        x = float(dataset.ImagePositionPatient[0]) - 0.3 * max(0, k - 30)
        dataset.ImagePositionPatient = [f"{x:.6f}", *dataset.ImagePositionPatient[1:]]

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="too uneven"):
        read_stack(only_stack(tmp_path))


def test_a_tilted_gantry_keeps_its_shear(tmp_path):
    tilt = np.radians(12)
    grid = shifted(np.array([-np.cos(tilt), 0, np.sin(tilt)]))
    write_series(tmp_path, ramp(SHAPE), grid)
    volume = read_stack(only_stack(tmp_path))
    assert codes(volume) == ["GANTRY_TILT"]
    assert volume.warnings[0].detail["degrees"] == pytest.approx(12, abs=1e-6)
    assert volume.geometry.same_grid(grid, 1e-6)
    assert not volume.geometry.is_orthogonal


def test_a_tilt_below_a_tenth_of_a_degree_is_not_worth_a_word(tmp_path):
    tilt = np.radians(0.08)
    write_series(tmp_path, ramp(SHAPE), shifted(np.array([-np.cos(tilt), 0, np.sin(tilt)])))
    assert only_stack(tmp_path).warnings == ()


def test_a_copied_file_is_dropped_with_a_warning(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    (tmp_path / "copy").write_bytes(paths[9].read_bytes())
    volume = read_stack(only_stack(tmp_path))
    assert codes(volume) == ["DUPLICATE_POSITION"]
    assert volume.warnings[0].detail == {"index": [9], "differing": []}
    np.testing.assert_array_equal(volume.array, ramp(SHAPE))


def test_another_image_at_one_position_is_told_and_the_first_kept(tmp_path):
    def later(_: int, dataset: Dataset) -> None:
        dataset.InstanceNumber = 900

    grid = sagittal(SHAPE)
    write_series(tmp_path, ramp(SHAPE), grid)
    other = np.full((6, 5, 1), 7, np.int16)
    write_series(tmp_path / "x", other, grid.crop((0, 0, 30), (6, 5, 31)), change=later, uid="1.2.9")
    volume = read_stack(only_stack(tmp_path))
    assert volume.warnings[0].detail == {"index": [30], "differing": [30]}
    assert "pixels differ, the first was kept" in volume.warnings[0].message
    np.testing.assert_array_equal(volume.array, ramp(SHAPE))


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber"])
def test_repetitions_of_all_positions_become_stacks(tmp_path, keyword):
    shape = (6, 5, 10)

    def second(k: int, dataset: Dataset) -> None:
        setattr(dataset, keyword, 100 + k if keyword == "InstanceNumber" else 2)

    write_series(tmp_path / "a", ramp(shape), sagittal(shape))
    write_series(tmp_path / "b", ramp(shape) + 500, sagittal(shape), change=second, uid="1.2.8")
    first, last = open_study(tmp_path).stacks
    np.testing.assert_array_equal(read_stack(first).array, ramp(shape))
    np.testing.assert_array_equal(read_stack(last).array, ramp(shape) + 500)
    assert first.name != last.name
    assert codes(first) == codes(last) == []


def test_an_interrupted_second_time_point_is_its_own_stack(tmp_path):
    def second(_: int, dataset: Dataset) -> None:
        dataset.TemporalPositionIdentifier = 2

    grid = sagittal((6, 5, 10))
    write_series(tmp_path / "a", ramp((6, 5, 10)), grid)
    part = grid.crop((0, 0, 0), (6, 5, 3))
    write_series(tmp_path / "b", ramp((6, 5, 3)), part, change=second, uid="1.2.8")
    assert [len(stack.slices) for stack in open_study(tmp_path).stacks] == [10, 3]


def test_echoes_and_phase_are_apart(tmp_path):
    def echo(_: int, dataset: Dataset) -> None:
        dataset.EchoTime, dataset.EchoNumbers = 7.5, 2

    def phase(_: int, dataset: Dataset) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]

    shape = (6, 5, 4)
    write_series(tmp_path / "a", ramp(shape), sagittal(shape))
    write_series(tmp_path / "b", ramp(shape), sagittal(shape), change=echo, uid="1.2.8")
    write_series(tmp_path / "c", ramp(shape), sagittal(shape), change=phase, uid="1.2.7")
    stacks = open_study(tmp_path).stacks
    assert sorted((stack.component, stack.facts["echo_time_ms"]) for stack in stacks) == [
        ("M", 2.5), ("M", 7.5), ("P", 2.5)
    ]  # fmt: skip
    assert len({stack.name for stack in stacks}) == 3


def test_three_planes_in_one_series_are_three_stacks(tmp_path):
    for n, codes_ in enumerate(("PIR", "LPS", "LIP")):
        axes = np.zeros((3, 3))
        for index, letter in enumerate(codes_):
            axes["RLAPIS".index(letter) // 2, index] = 1 if letter in "LPS" else -1
        grid = Geometry.from_axes((6, 6, 3), axes, (1, 1, 10), center_lps_mm=(0, 0, 0))
        write_series(tmp_path / str(n), ramp((6, 6, 3)), grid, uid=f"1.2.{n}")
    stacks = open_study(tmp_path).stacks
    assert sorted(stack.label for stack in stacks) == ["axial", "coronal", "sagittal"]
    assert {stack.geometry.codes for stack in stacks} == {"PIR", "LPS", "LIP"}


def test_stations_beside_each_other_in_one_series_are_apart(tmp_path):
    grid = sagittal((6, 5, 4))
    lower = grid.crop((0, 200, 0), (6, 205, 4))
    write_series(tmp_path / "a", ramp((6, 5, 4)), grid)
    write_series(tmp_path / "b", ramp((6, 5, 4)), lower, uid="1.2.8")
    stacks = open_study(tmp_path).stacks
    assert len(stacks) == 2
    heights = sorted(float(stack.geometry.center_lps_mm[2]) for stack in stacks)
    assert heights[1] - heights[0] == pytest.approx(200)


def test_one_slice_takes_its_thickness_as_depth(tmp_path):
    def thickness(_: int, dataset: Dataset) -> None:
        dataset.SliceThickness = 5

    write_series(tmp_path, ramp((6, 5, 1)), sagittal((6, 5, 1)), change=thickness)
    volume = read_stack(only_stack(tmp_path))
    assert volume.array.shape == (6, 5, 1)
    assert volume.geometry.spacing_mm == pytest.approx((1, 1, 5))


def test_an_enhanced_file_keeps_its_frame_numbers(tmp_path):
    shape = (6, 5, 8)
    order = [3, 7, 0, 1, 6, 2, 5, 4]
    write_enhanced(tmp_path / "multi.dcm", ramp(shape), sagittal(shape, (1, 2, 3)), order=order)
    volume = read_stack(only_stack(tmp_path))
    np.testing.assert_array_equal(volume.array, ramp(shape))
    assert volume.geometry.same_grid(sagittal(shape, (1, 2, 3)), 1e-6)
    assert volume.source.frames == tuple(order.index(k) + 1 for k in range(8))
    assert len(set(volume.source.sop_uids)) == 1
    assert volume.source.facts["echo_time_ms"] == 2.5


@pytest.mark.parametrize(
    ("keyword", "why"),
    [
        ("ImagePositionPatient", "no position"),
        ("ImageOrientationPatient", "no orientation"),
        ("PixelSpacing", "no pixel size"),
    ],
)
def test_without_a_place_it_is_listed_and_refused(tmp_path, keyword, why):
    write_series(tmp_path, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=lambda _, dataset: delattr(dataset, keyword))
    with pytest.raises(Refusal, match=why):
        read_stack(only_stack(tmp_path))


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("ImagePositionPatient", [1e300, 0, 0], "far outside of any scanner"),
        ("ImageOrientationPatient", [1e300, 0, 0, 0, 1, 0], "two unit vectors"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "two unit vectors"),
        ("PixelSpacing", [1e-9, 1], "pixel size .* is absurd"),
        ("PixelSpacing", [1, 1e9], "pixel size .* is absurd"),
        ("PixelSpacing", [0, 1], "no pixel size"),
    ],
)
def test_an_absurd_place_is_none(tmp_path, keyword, value, why):
    def change(_: int, dataset: Dataset) -> None:
        setattr(dataset, keyword, value)

    write_series(tmp_path, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change)
    with pytest.raises(Refusal, match=why):
        read_stack(only_stack(tmp_path))


def test_slices_scattered_over_many_places_are_not_listed_one_by_one(tmp_path):
    def change(k: int, dataset: Dataset) -> None:
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x - (9000 if k == 3 else 0), y, z]

    write_series(tmp_path, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change)
    stack = only_stack(tmp_path)
    assert len(stack.slices) == 4
    with pytest.raises(Refusal, match="4 slices lie scattered over 9004 places"):
        read_stack(stack)


@pytest.mark.parametrize("position", ["HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL", "", "LFP"])
def test_however_the_patient_lies_nothing_is_turned_a_second_time(tmp_path, position):
    def change(_: int, dataset: Dataset) -> None:
        dataset.PatientPosition = position

    write_series(tmp_path, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change)
    volume = read_stack(only_stack(tmp_path))
    assert volume.geometry.same_grid(sagittal((6, 5, 4)), 1e-6)
    np.testing.assert_array_equal(volume.array, ramp((6, 5, 4)))
    assert volume.source.facts.get("patient_position", "") == position


def test_derived_images_and_burned_in_text_are_told(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.ImageType, dataset.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "YES"

    write_series(tmp_path, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change)
    assert codes(only_stack(tmp_path)) == ["NOT_PRIMARY", "BURNED_IN_TEXT"]


def test_file_order_changes_nothing(tmp_path):
    paths = write_series(tmp_path / "a", ramp((6, 5, 9)), sagittal((6, 5, 9)))
    for n, path in enumerate(paths):
        target = tmp_path / "b" / f"{(n * 4) % 9}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    one, other = (read_stack(only_stack(tmp_path / name)) for name in "ab")
    assert one.geometry == other.geometry
    assert one.source.sop_uids == other.source.sop_uids
    np.testing.assert_array_equal(one.array, other.array)


def test_frames_without_positions_are_no_stack(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.NumberOfFrames = 3

    write_series(tmp_path, ramp((6, 5, 2)), sagittal((6, 5, 2)), change=change)
    with pytest.raises(Refusal, match="3 frames without a position for each"):
        read_stack(only_stack(tmp_path))


def test_one_frame_counts_as_a_plain_image(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.NumberOfFrames = 1

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    assert read_stack(only_stack(tmp_path)).source.frames == ()
