"""Bad input is normal input: one clear line, the documented exit status, nothing half-written."""

import json
import zipfile

import nibabel as nib
import numpy as np
import pytest

from mediseg.cli import main
from mediseg.errors import Exit
from tests.io.dicom_factory import CT, PHOTO, SECONDARY_CAPTURE, ramp, sagittal, write_series

SHAPE = (48, 40, 30)


def _outcome(path, tmp_path, capsys, recipe="bias"):
    """Run a recipe and return the exit status and the one line it leaves on stderr."""
    code = main(["run", recipe, str(path), "--out", str(tmp_path / "out"), "--quiet"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return code, captured.err


def _bytes(tmp_path, name, content):
    path = tmp_path / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"hello", "no image that mediseg reads"),
        ("zero.dcm", b"", "is empty"),
        ("zero.nii.gz", b"", "is empty"),
        ("p.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "no image that mediseg reads"),
        ("p.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 100, "no image that mediseg reads"),
        ("broken.zip", b"PK\x03\x04" + b"x" * 100, "broken zip"),
        ("half.nii.gz", b"\x1f\x8b\x08\0", "half.nii.gz"),
    ],
)
def test_what_cannot_be_read_is_exit_3(tmp_path, capsys, name, content, message):
    code, line = _outcome(_bytes(tmp_path, name, content), tmp_path, capsys)
    assert code == Exit.UNREADABLE
    assert message in line
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_an_empty_zip_are_exit_3(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert _outcome(tmp_path / "in", tmp_path, capsys)[0] == Exit.UNREADABLE
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert _outcome(tmp_path / "empty.zip", tmp_path, capsys)[0] == Exit.UNREADABLE


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        ({"sop_class": CT, "modality": "CT"}, "CT"),
        ({"sop_class": PHOTO, "modality": "XC"}, "photo"),
        ({"sop_class": SECONDARY_CAPTURE, "modality": "OT"}, "econdary"),
    ],
    ids=["CT", "photo", "secondary capture"],
)
def test_the_wrong_kind_of_dicom_is_refused_with_a_report(tmp_path, capsys, shared, message):
    write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE), **shared)
    code, line = _outcome(tmp_path / "in", tmp_path, capsys)
    assert code == Exit.REFUSED
    assert message in line
    assert (tmp_path / "out" / "in" / "report.json").is_file()


def test_truncated_pixels_are_refused(tmp_path, capsys):
    def cut(k, dataset):
        if k == 7:
            dataset.PixelData = dataset.PixelData[:100]

    write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE, (4, 4, 4)), change=cut)
    code, line = _outcome(tmp_path / "in", tmp_path, capsys)
    assert code == Exit.REFUSED
    assert "im00" in line  # the file is named


def test_a_file_cut_off_in_its_header_does_not_stop_the_reader(tmp_path, capsys):
    paths = write_series(tmp_path / "in", ramp((48, 40, 60)), sagittal((48, 40, 60), (4, 4, 4)))
    paths[0].write_bytes(paths[0].read_bytes()[:300])
    assert main(["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet", "--json"]) == Exit.DONE
    report = json.loads(capsys.readouterr().out)
    told = [w for w in report["warnings"] if w["code"] == "SERIES_SKIPPED"]
    assert len(told) == 1
    assert "damaged" in told[0]["message"]


@pytest.mark.parametrize(
    ("fill", "message"),
    [(np.nan, "no numbers"), (0.0, "no foreground")],
    ids=["NaN", "all zero"],
)
def test_volumes_without_an_image_are_refused(tmp_path, capsys, fill, message):
    path = tmp_path / "in.nii.gz"
    nib.save(nib.Nifti1Image(np.full((30, 30, 30), fill, np.float32), np.diag([6, 6, 6, 1])), path)
    code, line = _outcome(path, tmp_path, capsys)
    assert code == Exit.REFUSED
    assert message in line


def test_noise_is_no_brain(tmp_path, capsys):
    path = tmp_path / "noise.nii.gz"
    noise = np.abs(np.random.default_rng(0).normal(0, 20, (64, 70, 64))).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, np.diag([3, 3, 3, 1])), path)
    code, line = _outcome(path, tmp_path, capsys, "corpus-callosum")
    assert code == Exit.REFUSED
    assert "no whole brain found" in line
    assert (tmp_path / "out" / "noise" / "corrected.nii.gz").is_file()  # what was finished stays


def test_a_batch_goes_on_after_a_bad_case(tmp_path, capsys):
    for name, fill in (("a", 0.0), ("b", np.nan)):
        path = tmp_path / "in" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(np.full((20, 20, 20), fill, np.float32), np.diag([6, 6, 6, 1])), path)
    _bytes(tmp_path, "c.nii.gz", b"no")
    assert main(["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet"]) == Exit.SOME_FAILED
    assert capsys.readouterr().err.count("\n") == 3
    assert (tmp_path / "out" / "index.html").is_file()
