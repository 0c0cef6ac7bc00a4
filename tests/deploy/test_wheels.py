import json

import pytest

from mediseg.deploy.sbom import bill_of_materials
from mediseg.deploy.targets import TARGETS, check_python, target_named
from mediseg.deploy.wheels import faults, fits, licence_files, read_wheel, sha256_of
from mediseg.errors import InputError, UsageError
from tests.deploy.factory import make_wheel

pytest.importorskip("packaging.requirements")
LINUX, WINDOWS = TARGETS["manylinux_x86_64"], TARGETS["win_amd64"]


@pytest.mark.parametrize(
    ("tag", "linux", "windows"),
    [
        ("py3-none-any", True, True),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True, False),
        ("cp311-cp311-manylinux_2_28_x86_64", True, False),
        ("cp311-cp311-manylinux_2_35_x86_64", False, False),  # a newer glibc than a hospital has
        ("cp39-abi3-manylinux2014_x86_64", True, False),
        ("cp311-cp311-win_amd64", False, True),
        ("cp312-cp312-win_amd64", False, False),
        ("cp311-cp311-win32", False, False),
        ("cp311-cp311-manylinux2014_aarch64", False, False),
    ],
)
def test_a_wheel_fits_by_its_tags(tmp_path, tag, linux, windows):
    path = make_wheel(tmp_path, "part", tag=tag)
    assert (fits(path, LINUX, "3.11"), fits(path, WINDOWS, "3.11")) == (linux, windows)


def test_what_only_windows_needs_is_missed_there_and_not_on_linux(tmp_path):
    top = read_wheel(make_wheel(tmp_path, "top", requires=['colour>=1; sys_platform == "win32"', "base>=1"]))
    base = read_wheel(make_wheel(tmp_path, "base"))
    assert faults([top, base], LINUX, "3.11", ["top"]) == []
    assert faults([top, base], WINDOWS, "3.11", ["top"]) == ["colour is missing, which top needs"]


def test_a_requirement_of_a_requirements_extra_counts(tmp_path):
    top = read_wheel(make_wheel(tmp_path, "top", requires=["mid[fast]"]))
    mid = read_wheel(make_wheel(tmp_path, "mid", requires=['deep; extra == "fast"'], extra=["fast"]))
    assert faults([top, mid], LINUX, "3.11", ["top"]) == ["deep is missing, which mid needs"]
    assert faults([top, mid], LINUX, "3.11", ["mid"]) == []


def test_a_version_that_is_too_old_and_a_wheel_of_another_system_are_faults(tmp_path):
    top = read_wheel(make_wheel(tmp_path, "top", requires=["base>=2"]))
    base = read_wheel(make_wheel(tmp_path, "base", tag="cp311-cp311-win_amd64"))
    assert faults([top, base], LINUX, "3.11", ["top"]) == [
        "base-1.0-cp311-cp311-win_amd64.whl does not fit manylinux_x86_64",
        "base 1.0 is not >=2, which top needs",
    ]


def test_a_wheel_says_what_it_is(tmp_path):
    path = make_wheel(tmp_path, "my-part", "1.2")
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version, wheel.licence, wheel.sha256) == ("my-part", "1.2", "MIT", sha256_of(path))
    assert dict(licence_files(wheel)) == {"my_part-1.2.dist-info__licenses__LICENSE": b"do as you like\n"}


def test_what_is_no_wheel_is_an_input_error(tmp_path):
    path = tmp_path / "part-1.0-py3-none-any.whl"
    path.write_bytes(b"PK no")
    with pytest.raises(InputError, match=r"part-1\.0-py3-none-any\.whl is no wheel"):
        read_wheel(path)


def test_an_unknown_target_and_python_are_usage_errors():
    with pytest.raises(UsageError, match=r'no target "win64" .did you mean "win_amd64"'):
        target_named("win64")
    with pytest.raises(UsageError, match=r'does not run on Python "3\.9"'):
        check_python("3.9")


def test_the_bill_of_materials_is_cyclonedx(tmp_path):
    json_validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    metadata = {"version": "0.1.0", "task": "brain", "mediseg": {"name": "m", "sha256": "a" * 64, "licence": "CC0"}}
    bill = bill_of_materials([read_wheel(make_wheel(tmp_path, "part"))], [metadata], "0.1.0")
    fault = json_validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    assert fault is None, fault
    assert [part["name"] for part in bill["components"]] == ["part", "m"]
    assert bill["components"][0]["hashes"][0]["content"] == sha256_of(next(tmp_path.glob("*.whl")))
