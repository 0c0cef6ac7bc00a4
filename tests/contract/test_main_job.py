"""The main job from end to end: on the phantom, whose truth is known, and on two real scans where they are at hand."""

import json
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

import mediseg
from mediseg.cli import main
from mediseg.demo import write_demo_study
from mediseg.deploy.phantom_check import figures_of, stored
from mediseg.errors import Exit
from mediseg.outputs import FILES, TABLE
from mediseg.phantom import head_truth
from mediseg.record import shipped_schema

HEAD_FILES = [file for file, source in FILES.items() if not source.startswith("stitched.")]
DICOM_FILES = {"brain_seg.dcm", "callosum_seg.dcm", "measurements_sr.dcm", "midsagittal.dcm"}


def _dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def truth():
    return head_truth()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The main job on the phantom, written as DICOM first."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo_study(folder / "phantom")
    return mediseg.run(
        "corpus-callosum", folder / "phantom", folder / "out", options=mediseg.RunOptions(dicom_report=True)
    )


def test_every_output_of_the_contract_is_there(demo):
    assert (demo.status, demo.reason) == ("done", "")
    assert {p.name for p in demo.folder.iterdir()} == {*HEAD_FILES, TABLE, "report.html", "report.json", "dicom"}
    dicom = {p.name for p in (demo.folder / "dicom").iterdir()}
    slices = demo.values["head"].geometry.shape[2]
    assert {name for name in dicom if name.startswith("corrected_")} == {
        f"corrected_{k:04d}.dcm" for k in range(1, slices + 1)
    }
    assert {name for name in dicom if not name.startswith(("corrected_", "report_"))} == DICOM_FILES
    assert {"report_01.dcm", "report_02.dcm"} <= dicom
    assert (demo.folder / "report.html").stat().st_size <= 2_000_000


def test_the_report_fits_its_schema_and_lists_every_file(demo):
    jsonschema = pytest.importorskip("jsonschema")
    report = json.loads((demo.folder / "report.json").read_text())
    jsonschema.validate(report, shipped_schema())
    assert {o["path"] for o in report["outputs"]} == {
        p.relative_to(demo.folder).as_posix() for p in demo.folder.rglob("*") if p.is_file() and p.name != "report.json"
    }
    models = {step["name"]: step["model"]["name"] for step in report["steps"] if step["model"]}
    assert models == {"extract_brain": "brain-unet", "segment_callosum": "callosum-bisenetv2"}


def test_the_brain_is_the_phantoms(demo, truth):
    mask = demo.values["brain"].mask.resample(truth.brain)
    assert _dice(mask.mask(), truth.brain.mask()) >= 0.9
    assert mask.volume_ml() == pytest.approx(truth.brain_ml, rel=0.1)


def test_the_plane_is_the_phantoms(demo, truth):
    plane = demo.values["midsagittal"].plane
    assert plane.angle_to_deg(truth.plane.normal_lps) < 1.0
    callosum = truth.callosum_contour_lps_mm
    assert np.abs(plane.distance_mm(callosum)).max() < 1.5


def test_the_callosum_is_the_phantoms(demo, truth):
    found = demo.values["callosum"].probability.resample(truth.callosum.geometry).array >= 0.5
    # the found plane leaves the true one by less than half a slice's thickness, so their grids meet
    assert _dice(found, truth.callosum.mask()) >= 0.9
    assert demo.values["measurements"]["area"].value == pytest.approx(truth.callosum_area_mm2, rel=0.1)


def test_the_roi_is_the_phantoms(demo, truth):
    where = demo.values["localization"]
    assert where.estimates["robust"].angle_deg == pytest.approx(truth.estimates["robust"].angle_deg, abs=2.0)
    assert np.linalg.norm(where.roi.center_lps_mm - truth.roi.center_lps_mm) < 2.5
    assert where.confidence > 0.6


def test_the_doctor_is_content_with_it(demo):
    """Not? Where a model or a step gives other results on purpose: ``python -m mediseg.deploy data/``."""
    found = figures_of(demo.values)
    wrong = {name: found[name] for name, (low, high) in stored()["figures"].items() if not low <= found[name] <= high}
    assert wrong == {}


def test_the_field_comes_nearer_to_the_phantoms(demo, truth):
    inside = truth.brain.resample(demo.values["bias"].field).mask()
    true = truth.bias.resample(demo.values["bias"].field).array[inside]
    left = true / demo.values["bias"].field.array[inside]
    # the whole head is seen here, fat and muscle too
    assert left.std() / left.mean() < 0.4 * true.std() / true.mean()


def test_the_report_says_how_even_the_brain_became(demo):
    bias = json.loads((demo.folder / "report.json").read_text())["bias"]
    assert set(bias["before"]) == {"white_cv_percent", "cjv", "entropy_bits"}
    assert bias["after"]["white_cv_percent"] < bias["before"]["white_cv_percent"]
    assert bias["after"]["cjv"] < bias["before"]["cjv"]
    assert bias["after"]["entropy_bits"] < bias["before"]["entropy_bits"]


def test_nifti_outputs_lie_where_the_head_lies(demo):
    head = demo.values["head"].geometry
    image = nib.load(demo.folder / "corrected.nii.gz")
    assert np.diag([-1, -1, 1, 1]) @ image.affine == pytest.approx(head.affine_lps, abs=1e-4)
    field, corrected = (nib.load(demo.folder / f).get_fdata() for f in ("bias_field.nii.gz", "corrected.nii.gz"))
    assert np.allclose(corrected * field, demo.values["head"].array, rtol=1e-3, atol=1e-2)


def test_the_same_study_gives_the_same_bytes(demo, tmp_path):
    study = tmp_path / "phantom"
    write_demo_study(study)
    options = mediseg.RunOptions(deterministic_uids=True)
    quick = {"correct_bias.levels": 1, "correct_bias.iterations": 2}
    hashes = []
    for out in ("a", "b"):
        case = mediseg.run("corpus-callosum", study, tmp_path / out, settings=quick, options=options)
        outputs = json.loads((case.folder / "report.json").read_text())["outputs"]
        hashes.append({o["path"]: o["sha256"] for o in outputs if o["path"] != "report.html"})
    assert hashes[0] == hashes[1]


def _judged(folder):
    errors = []
    for path in folder.glob("*.dcm"):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        errors += [f"{path.name}: {line}" for line in done.stderr.splitlines() if line.startswith("Error")]
    return errors


@pytest.mark.conformance
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_finds_no_error(demo):
    assert _judged(demo.folder / "dicom") == []


@pytest.mark.shared
def test_a_child_whose_midline_is_off_the_middle_slice(shared_data, tmp_path):
    case = mediseg.run("corpus-callosum", shared_data / "dicom" / "siemens_sag_t1_child10.zip", tmp_path)
    assert case.status == "done", case.reason
    plane, head = case.values["midsagittal"], case.values["head"].geometry
    middle = head.lps_from_ijk((np.array(head.shape) - 1) / 2)
    assert abs(float(plane.plane.distance_mm(middle))) == pytest.approx(4.7, abs=1.5)
    assert 300 < case.values["measurements"]["area"].value < 900
    assert 1100 < case.values["brain"].mask.volume_ml() < 1800
    if shutil.which("dciodvfy"):
        assert _judged(case.folder / "dicom") == []


@pytest.mark.shared
def test_a_head_without_a_mid_sagittal_slice_is_refused_and_keeps_its_brain(shared_data, tmp_path, capsys):
    study = shared_data / "dicom" / "siemens_sag_thick_HFDR.zip"
    assert main(["run", "corpus-callosum", str(study), "--out", str(tmp_path), "--quiet"]) == Exit.REFUSED
    folder = tmp_path / "siemens_sag_thick_HFDR"
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "refused"
    assert "NO_TRUE_MIDSAGITTAL" in {w["code"] for w in report["warnings"]}
    assert (folder / "brain_mask.nii.gz").is_file()
    assert (folder / "bias_field.nii.gz").is_file()
    assert not (folder / "roi.json").exists()
    assert "no slice is truly mid-sagittal" in capsys.readouterr().err
