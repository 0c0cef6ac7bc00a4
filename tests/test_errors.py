from pathlib import Path

import pytest

from mediseg.errors import InputError, exit_of


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0), ([0], 0), ([4], 4), ([70], 70), ([0, 0], 0), ([0, 4], 1), ([4, 4], 1), ([3, 3], 3), ([3, 0], 1),
        ([3, 4], 1), ([0, 5], 5),
    ],
)  # fmt: skip
def test_several_cases_end_a_command_with_one_code(codes, expected):
    assert exit_of(codes) == expected


def test_an_error_about_a_file_tells_its_name_alone():
    path = Path("/scans/JOHN  SMITH/x.nii")
    told = InputError(f"{path} is empty").about(path)
    assert (type(told), str(told)) == (InputError, "x.nii is empty")
