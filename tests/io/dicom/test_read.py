"""Pixels: rescaling, types, damage."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from mediseg.errors import InputError, Refusal
from mediseg.io import load, open_study
from mediseg.io.dicom import read
from mediseg.io.dicom.read import open_dataset, read_stack
from tests.io.dicom_factory import ramp, sagittal, set_pixels, write_enhanced, write_series

SHAPE = (6, 5, 4)


def test_slope_and_intercept_are_applied_slice_by_slice(tmp_path):
    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k, -10

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    volume = read_stack(open_study(tmp_path).stacks[0])
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, ramp(SHAPE) * (0.5 + np.arange(4)) - 10)


def test_a_rescale_that_changes_nothing_keeps_integers(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "1.000000", "0"

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    assert read_stack(open_study(tmp_path).stacks[0]).array.dtype == np.int16


def test_frames_have_a_rescale_of_their_own(tmp_path):
    path = write_enhanced(tmp_path / "m", ramp(SHAPE), sagittal(SHAPE))
    dataset = open_dataset(path)
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = n + 1, 3, "US"
        frame.PixelValueTransformationSequence = [item]
    dataset.save_as(path)
    volume = load(tmp_path)
    np.testing.assert_allclose(volume.array, ramp(SHAPE) * np.arange(1, 5) + 3)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [(np.uint8, 200, np.int16), (np.uint16, 4095, np.int16), (np.uint16, 40_000, np.float32), (np.int16, -7, np.int16)],
)
def test_stored_types(tmp_path, dtype, value, expected):
    write_series(tmp_path, np.full(SHAPE, value, dtype), sagittal(SHAPE))
    volume = load(tmp_path)
    assert volume.array.dtype == expected
    assert (volume.array == value).all()


def test_one_wide_slice_widens_the_volume(tmp_path):
    array = np.zeros(SHAPE, np.uint16)
    array[0, 0, 2] = 50_000
    write_series(tmp_path, array, sagittal(SHAPE))
    volume = load(tmp_path)
    assert volume.array.dtype == np.float32
    assert volume.array[0, 0, 2] == 50_000


def test_truncated_pixels_are_refused_by_name(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    with pytest.raises(Refusal, match=rf"{paths[2].name}: truncated, 40 of 60 bytes"):
        load(tmp_path)


def test_a_header_without_pixels_is_refused(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        del dataset.PixelData

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="no complete pixel data"):
        load(tmp_path)


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("tool", ["dcmcjpeg", "dcmcrle"])
def test_truncated_compressed_pixels_are_refused(tmp_path, tool, cut):
    shape = (64, 64, 2)
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    paths = write_series(tmp_path, array, sagittal(shape))
    for path in paths:
        try:
            subprocess.run([tool, path, path], check=True)
        except FileNotFoundError:
            pytest.skip(f"{tool} (DCMTK) is not installed")
    np.testing.assert_array_equal(load(tmp_path).array, array)
    whole = paths[0].read_bytes()
    start = len(whole) - 64 * 64
    paths[0].write_bytes(whole[: start + int(cut * (len(whole) - start))])
    with pytest.raises(Refusal, match=paths[0].name):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (["+e1"], 0),  # lossless, first-order prediction
        (["+el", "+sv", "7"], 0),  # lossless, process 14
        (["+ee", "+q", "100"], 8),  # extended, of 8 bits
        (["+eb", "+q", "100"], 8),  # baseline, 8 bits
    ],
)
def test_jpeg(tmp_path, options, tolerance):
    shape = (48, 40, 3)
    top, kind = (250, np.uint8) if options[0] in ("+ee", "+eb") else (900, np.uint16)
    array = (ramp(shape) % top).astype(kind)

    def change(_: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = (8, 7) if kind is np.uint8 else (12, 11)

    paths = write_series(tmp_path, np.sort(array, axis=0), sagittal(shape), change=change)
    for path in paths:
        try:
            subprocess.run(["dcmcjpeg", *options, path, path], check=True)
        except FileNotFoundError:
            pytest.skip("dcmcjpeg (DCMTK) is not installed")
    assert np.abs(load(tmp_path).array - np.sort(array, axis=0).astype(float)).max() <= tolerance


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_float_pixels_with_nan_are_refused(tmp_path, bad):
    def change(k: int, dataset: Dataset) -> None:
        pixels = np.full((5, 6), 1.5, np.float32)
        pixels[1, 1] = bad if k == 1 else 2.5
        set_pixels(dataset, np.zeros((5, 6), np.int32))
        del dataset.PixelData, dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit
        dataset.FloatPixelData = pixels.tobytes()

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="NaN or infinity"):
        load(tmp_path)


def test_a_file_that_went_away_is_said(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    study = open_study(tmp_path)
    paths[1].unlink()
    with pytest.raises(InputError, match="moved or changed"):
        read_stack(study.stacks[0])


def test_a_matrix_that_pixels_do_not_fill_is_refused(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.Rows = 50

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="truncated, 60 of 600 bytes"):
        load(tmp_path)


def test_a_slope_of_nothing_is_refused(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0, 0

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="leave no image"):
        load(tmp_path)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_slope_that_is_no_number_is_refused(tmp_path, keyword):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    for path in paths:
        dataset = open_dataset(path)
        dataset.add_new(keyword, "LO", "absurd")
        dataset.save_as(path)
    with pytest.raises(Refusal, match="cannot be decoded"):
        load(tmp_path)


def test_a_matrix_larger_than_the_pixels_takes_no_memory(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 8_000

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="truncated, 60 of 128000000 bytes"):
        load(tmp_path)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_truncated_jpeg_ls_is_refused(tmp_path, cut):
    shape = (64, 64, 2)
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    paths = write_series(tmp_path, array, sagittal(shape))
    for path in paths:
        try:
            subprocess.run(["dcmcjpls", path, path], check=True)
        except FileNotFoundError:
            pytest.skip("dcmcjpls (DCMTK) is not installed")
    np.testing.assert_array_equal(load(tmp_path).array, array)
    whole = open_dataset(paths[0])
    (frame,) = generate_frames(whole.PixelData, number_of_frames=1)
    whole.PixelData = encapsulate([frame[: int(cut * len(frame))]])
    whole.save_as(paths[0])
    with pytest.raises(Refusal, match=paths[0].name):
        load(tmp_path)


def test_a_header_that_does_not_say_how_pixels_are_stored_is_refused(tmp_path):
    def change(_: int, dataset: Dataset) -> None:
        del dataset.BitsAllocated, dataset.PixelRepresentation

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    with pytest.raises(Refusal, match="cannot be decoded"):
        load(tmp_path)


@pytest.mark.parametrize("sign", [0, 1])
def test_the_usual_file_reads_as_pydicom_reads_it(tmp_path, monkeypatch, sign):
    """With a slope, padding and high bits that a writer left out."""

    def change(k: int, dataset: Dataset) -> None:
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = sign, 7, 6
        dataset.RescaleSlope, dataset.RescaleIntercept = "1.5", str(-k)
        dataset.add_new("PixelPaddingValue", "SS" if sign else "US", 5)

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    usual = load(tmp_path)
    monkeypatch.setattr(read, "wanted_image", lambda *_: None)
    slow = load(tmp_path)
    np.testing.assert_array_equal(usual.array, slow.array)
    assert usual.array.dtype == slow.array.dtype
    assert (usual.array.min() < -60) == bool(sign)


def test_a_file_that_goes_away_while_it_is_read_is_said(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    stack = open_study(tmp_path).stacks[0]
    paths[2].unlink()
    with pytest.raises(InputError, match="moved or changed meanwhile"):
        read_stack(stack)
