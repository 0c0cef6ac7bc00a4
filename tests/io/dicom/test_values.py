"""Stored pixels into values: sign, padding, inverted display, Philips' two scales."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from mediseg.errors import Refusal
from mediseg.io import open_study
from mediseg.io.dicom import values
from mediseg.io.dicom.read import read_stack
from tests.io.dicom_factory import ramp, sagittal, set_pixels, write_series

SHAPE = (6, 5, 60)


def volume_of(folder, array, change, **options):
    write_series(folder, array, sagittal(array.shape), change=change, **options)
    (stack,) = open_study(folder).stacks
    return read_stack(stack)


def setting(**attributes):
    def change(_: int, dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            vr = ("SS" if value < 0 else "US") if keyword.startswith("PixelPadding") else None
            if vr:
                dataset.add_new(keyword, vr, value)
            else:
                setattr(dataset, keyword, value)

    return change


def test_what_is_meant_to_be_shown_inverted_is_inverted(tmp_path):
    array = ramp(SHAPE) + 30
    volume = volume_of(tmp_path, array, setting(PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(volume.array, 30 + 1829 - array)
    assert volume.array.dtype == np.int16
    assert volume.source.facts["shown_inverted"] == "yes"


def test_inverting_keeps_floats_and_the_filled_slice(tmp_path):
    change = setting(PhotometricInterpretation="MONOCHROME1", RescaleSlope=0.5)
    volume = volume_of(tmp_path, ramp(SHAPE), change, skip=(30,))
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, (1799 - ramp(SHAPE)) * 0.5)


def test_inverted_and_plain_images_of_a_series_are_apart(tmp_path):
    write_series(tmp_path / "a", ramp((6, 5, 4)), sagittal((6, 5, 4)))
    change = setting(PhotometricInterpretation="MONOCHROME1")
    write_series(tmp_path / "b", ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change, uid="1.2.8")
    plain, inverted = sorted(open_study(tmp_path).stacks, key=lambda stack: stack.is_inverted)
    assert inverted.label == "shown inverted"
    np.testing.assert_array_equal(read_stack(plain).array, ramp((6, 5, 4)))
    np.testing.assert_array_equal(read_stack(inverted).array, 119 - ramp((6, 5, 4)))


def padded(low: int = -2000, high: int = -2000) -> tuple[np.ndarray, np.ndarray]:
    """A ramp from 7 whose corner is padding, and where."""
    array, where = ramp(SHAPE) + 7, np.zeros(SHAPE, bool)
    where[:2, :3] = where[5, 4, 8] = True
    array[where] = np.linspace(low, high, int(where.sum())).astype(np.int16)
    return array, where


@pytest.mark.parametrize("attribute", [-2000, 63536])
def test_padding_becomes_background(tmp_path, attribute):
    """63536 is -2000 written as if pixels were unsigned."""
    array, where = padded()
    volume = volume_of(tmp_path, array, setting(PixelPaddingValue=attribute))
    np.testing.assert_array_equal(volume.array, np.where(where, 0, array))
    assert volume.source.facts["pixel_padding_value"] == attribute


@pytest.mark.parametrize("ends", [(-2000, -1990), (-1990, -2000)])
def test_a_range_of_padding(tmp_path, ends):
    array, where = padded(-2000, -1990)
    volume = volume_of(tmp_path, array, setting(PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1]))
    np.testing.assert_array_equal(volume.array, np.where(where, 0, array))


def test_padding_of_a_signed_image_is_its_lowest_value(tmp_path):
    array, where = padded(30000, 30000)
    array[~where] -= 500
    volume = volume_of(tmp_path, array, setting(PixelPaddingValue=30000, RescaleSlope=2))
    np.testing.assert_array_equal(volume.array, np.where(where, array[~where].min(), array) * 2.0)


def test_padding_of_an_inverted_image_is_dark(tmp_path):
    array, where = padded()
    change = setting(PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")
    real = array[~where]
    expected = np.where(where, 0, int(real.min()) + int(real.max()) - array.astype(int))
    np.testing.assert_array_equal(volume_of(tmp_path, array, change).array, expected)


def test_a_padding_of_zero_is_the_background_already(tmp_path):
    array = ramp(SHAPE) - 900
    np.testing.assert_array_equal(volume_of(tmp_path, array, setting(PixelPaddingValue=0)).array, array)


def test_nothing_but_padding_is_refused(tmp_path):
    change = setting(PixelPaddingValue=0, PixelPaddingRangeLimit=30000)
    with pytest.raises(Refusal, match="every pixel is marked as padding"):
        volume_of(tmp_path, ramp(SHAPE), change)


def test_padding_that_pixels_cannot_hold_is_ignored():
    frame = np.arange(6, dtype=np.uint8).reshape(2, 3)
    dataset = Dataset()
    dataset.add_new("PixelPaddingValue", "US", 4000)
    assert values.padding(frame, dataset) is None
    assert values.padding(frame.astype(np.float32), dataset) is None
    dataset.add_new("PixelPaddingValue", "US", 5)
    np.testing.assert_array_equal(values.padding(frame, dataset), [[False] * 3, [False, False, True]])


def test_negative_values_of_twelve_bits_whose_upper_bits_are_left_out(tmp_path):
    def change(k: int, dataset: Dataset) -> None:
        set_pixels(dataset, (array[:, :, k].T & 0x0FFF).astype(np.int16))
        dataset.BitsStored, dataset.HighBit = 12, 11

    array = ramp(SHAPE) - 900
    np.testing.assert_array_equal(volume_of(tmp_path, array, change).array, array)


def test_positive_values_beyond_the_stated_bits_are_kept():
    frame = np.array([[0, 2048, 4096]], np.int16)
    dataset = Dataset()
    dataset.BitsStored = 12
    np.testing.assert_array_equal(values.signed(frame, dataset), frame)
    np.testing.assert_array_equal(values.signed(frame - 1, dataset), frame - 1)
    np.testing.assert_array_equal(values.signed(frame[:, :2], dataset), [[0, -2048]])


def test_philips_values_are_those_that_viewers_show(tmp_path):
    """The precise ones would be value / (rescale slope * scale slope): both factors stand in the facts."""

    def change(_: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 2.5, -100
        dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.125)

    volume = volume_of(tmp_path, ramp(SHAPE), change)
    np.testing.assert_array_equal(volume.array, ramp(SHAPE) * 2.5 - 100)
    assert (volume.source.facts["philips_scale_slope"], volume.source.facts["rescale_slope"]) == (0.125, 2.5)
