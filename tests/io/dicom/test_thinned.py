"""Every second slice gone leaves an even stack: other signs in the header tell."""

from __future__ import annotations

import re
import zipfile

import pytest

from mediseg.errors import Code
from mediseg.io import open_study
from tests.io.dicom_factory import ramp, sagittal, write_series

SHAPE = (6, 5, 20)


def _told(folder, *, keep=slice(None), spacing=1.0, **tags):
    """Write a stack of slices 20 x ``spacing`` mm, take some away, and return what is said about it."""

    def change(k, dataset):
        dataset.InstanceNumber = k + 1
        for name, value in tags.items():
            setattr(dataset, name, value)

    gone = set(range(SHAPE[2])) - set(range(SHAPE[2])[keep])
    write_series(folder, ramp(SHAPE), sagittal(SHAPE, (1, 1, spacing)), change=change, skip=tuple(gone), shuffle=False)
    (stack,) = open_study(folder).stacks
    assert stack.unfit is None
    return [warn for warn in stack.warnings if warn.code is Code.MISSING_SLICE]


SECOND = slice(None, None, 2)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"MRAcquisitionType": "2D", "SliceThickness": 1, "SpacingBetweenSlices": 1}, "1 mm apart .SpacingBetween"),
        ({"MRAcquisitionType": "3D", "SliceThickness": 1}, "a 3-D acquisition of 1 mm slices leaves no gaps"),
        ({"MRAcquisitionType": "3D", "SliceThickness": 2}, "instance numbers go in steps of 2"),  # they overlapped
        ({"MRAcquisitionType": "2D", "SliceThickness": 1}, "instance numbers go in steps of 2"),
    ],
)
def test_every_second_slice_missing_is_told(tmp_path, tags, why):
    (warn,) = _told(tmp_path, keep=SECOND, **tags)
    assert re.search(why, warn.message)
    assert "are 2 mm apart" in warn.message
    assert warn.detail["spacing_mm"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("keep", "spacing", "tags"),
    [
        (slice(None), 2.0, {"MRAcquisitionType": "2D", "SliceThickness": 1, "SpacingBetweenSlices": 2}),  # a gap
        (slice(None), 10.0, {"MRAcquisitionType": "2D", "SliceThickness": 5}),  # a gap of a slice's thickness
        (slice(None), 7.5, {"MRAcquisitionType": "2D", "SliceThickness": 5, "SpacingBetweenSlices": 2.5}),  # the gap
        (slice(None), 1.0, {"MRAcquisitionType": "3D", "SliceThickness": 2, "SpacingBetweenSlices": 1}),  # overlap
        (SECOND, 1.0, {"MRAcquisitionType": "2D", "SliceThickness": 2}),  # the other half is another series' business
        (SECOND, 1.0, {"MRAcquisitionType": "3D", "SliceThickness": 2, "ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
        (slice(0, 3), 2.0, {"MRAcquisitionType": "3D", "SliceThickness": 1}),  # three slices
    ],
)
def test_a_gap_that_the_header_explains_is_none(tmp_path, keep, spacing, tags):
    assert _told(tmp_path, keep=keep, spacing=spacing, **tags) == []


def test_numbers_that_another_echo_bears_are_not_missing(tmp_path):
    for echo in (0, 1):

        def change(k, dataset, echo=echo):
            dataset.InstanceNumber = 2 * k + 1 + echo
            dataset.EchoTime, dataset.MRAcquisitionType = 3 + echo, "3D"

        write_series(tmp_path / str(echo), ramp(SHAPE), sagittal(SHAPE), change=change, uid=f"1.2.{echo}")
    stacks = open_study(tmp_path).stacks
    assert [len(stack.slices) for stack in stacks] == [20, 20]
    assert [warn.code for stack in stacks for warn in stack.warnings] == []


@pytest.mark.shared
def test_a_real_study_with_every_second_file_gone_is_told(tmp_path, shared_data):
    with zipfile.ZipFile(shared_data / "dicom" / "siemens_sag_t1_child10.zip") as archive:
        archive.extractall(tmp_path)
    stacks = open_study(tmp_path).stacks
    assert [warn.code for stack in stacks for warn in stack.warnings if warn.code is Code.MISSING_SLICE] == []
    for one in stacks[0].slices[::2]:
        one.file.unlink()
    (stack,) = open_study(tmp_path).stacks
    (warn,) = (warn for warn in stack.warnings if warn.code is Code.MISSING_SLICE)
    assert "leaves no gaps and their instance numbers go in steps of 2" in warn.message
