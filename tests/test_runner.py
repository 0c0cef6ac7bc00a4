import json
import shutil
import subprocess

import numpy as np
import pytest

import mediseg
from mediseg import Cancelled, InputError, UsageError
from mediseg.casefile import RunOptions
from mediseg.casefolder import UNFINISHED, case_folder
from mediseg.errors import OutputError
from mediseg.geometry import Geometry
from mediseg.io.dicom.original import write_mr_study
from mediseg.record import shipped_schema
from mediseg.volume import Volume
from tests.heads import shaded_ball, write_nifti
from tests.io.dicom_factory import ramp, sagittal, write_series

CHEAP = {"correct_bias.levels": 1, "correct_bias.iterations": 3}


@pytest.fixture
def head(tmp_path):
    return write_nifti(tmp_path / "in" / "ball.nii.gz", shaded_ball())


def _report(case):
    return json.loads((case.folder / "report.json").read_text())


def test_a_case_is_done_when_its_report_json_is_there(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert case.status == "done"
    assert case.name == "ball"
    names = {path.name for path in case.paths}
    assert names == {"corrected.nii.gz", "bias_field.nii.gz", "report.html", "report.json"}
    assert all(path.is_file() for path in case.paths)
    assert not list(case.folder.glob("*.tmp*"))
    assert case.values["bias"].corrected.geometry == case.values["head"].geometry


def test_the_report_fits_its_schema_and_tells_time_and_memory(head, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    report = _report(mediseg.run("bias", head, tmp_path / "out", settings=CHEAP))
    jsonschema.validate(report, shipped_schema())
    assert [step["name"] for step in report["steps"]] == ["read", "correct_bias", "write"]
    assert all(step["seconds"] >= 0 and step["peak_mb"] > 10 for step in report["steps"])
    assert report["recipe"]["parameters"]["correct_bias"]["levels"] == 1
    assert "Research use only" in report["intended_use"]
    assert len(report["input"][0]["sha256"]) == 64


def test_the_same_input_gives_the_same_files(head, tmp_path):
    a = mediseg.run("bias", head, tmp_path / "a", settings=CHEAP)
    b = mediseg.run("bias", head, tmp_path / "b", settings=CHEAP)
    hashes = [{o["path"]: o["sha256"] for o in _report(c)["outputs"] if o["kind"] == "nifti"} for c in (a, b)]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 2


def test_a_finished_case_is_resumed_and_a_changed_one_done_again(head, tmp_path):
    out = tmp_path / "out"
    assert not mediseg.run("bias", head, out, settings=CHEAP).resumed
    assert mediseg.run("bias", head, out, settings=CHEAP).resumed
    assert not mediseg.run("bias", head, out, settings={**CHEAP, "correct_bias.iterations": 4}).resumed
    write_nifti(head, shaded_ball(seed=1))
    changed = {**CHEAP, "correct_bias.iterations": 4}
    assert not mediseg.run("bias", head, out, settings=changed).resumed
    assert mediseg.run("bias", head, out, settings=changed).resumed
    assert not mediseg.run("bias", head, out, settings=changed, options=RunOptions(resume=False)).resumed
    assert not mediseg.run("bias", head, out, settings=changed, options=RunOptions(threads=1)).resumed


def test_a_case_whose_file_was_lost_is_done_again(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    (case.folder / "corrected.nii.gz").unlink()
    again = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert not again.resumed
    assert (case.folder / "corrected.nii.gz").is_file()


def test_a_half_written_report_is_done_again(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    whole = (case.folder / "report.json").read_bytes()
    (case.folder / "report.json").write_bytes(whole[: len(whole) // 2])
    assert not mediseg.run("bias", head, tmp_path / "out", settings=CHEAP).resumed


def test_a_refused_case_keeps_what_was_finished(tmp_path):
    speck = np.zeros((16, 16, 16), np.float32)
    path = write_nifti(tmp_path / "in" / "empty.nii.gz", speck)
    case = mediseg.run("bias", path, tmp_path / "out")
    assert (case.status, case.exit_code) == ("refused", 4)
    assert "no foreground" in case.reason
    assert {p.name for p in case.folder.iterdir()} == {"report.html", "report.json"}
    assert mediseg.run("bias", path, tmp_path / "out").resumed


def test_a_bug_in_a_step_is_a_failed_case_with_a_place_to_look(head, tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("^".join(("secret", "name")).upper())

    monkeypatch.setattr("mediseg.steps.bias.foreground", broken)
    case = mediseg.run("bias", head, tmp_path / "out")
    assert (case.status, case.exit_code) == ("failed", 70)
    assert "a bug in mediseg (ZeroDivisionError)" in case.reason
    saved = (case.folder / "error.txt").read_text()
    assert "in broken" in saved
    assert "SECRET" not in saved + (case.folder / "report.json").read_text()
    monkeypatch.undo()
    assert mediseg.run("bias", head, tmp_path / "out", settings=CHEAP).status == "done"
    assert not (case.folder / "error.txt").exists()


def test_files_of_a_case_whose_writing_broke_off_do_not_outlive_it(head, tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError

    monkeypatch.setattr("mediseg.report.render_case", broken)
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert case.status == "failed"
    monkeypatch.undo()
    write_nifti(head, np.zeros((16, 16, 16), np.float32))
    again = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert again.status == "refused"
    assert {p.name for p in again.folder.iterdir()} == {"report.html", "report.json"}


def test_a_folder_that_goes_while_a_case_runs_hides_no_error(tmp_path):
    with pytest.raises(OutputError, match="gone"):
        _lost(tmp_path / "case")


def _lost(folder):
    with case_folder(folder):
        shutil.rmtree(folder)
        raise OutputError("gone")


def test_progress_is_told_before_each_stage(head, tmp_path):
    seen = []
    mediseg.run("bias", head, tmp_path / "out", settings=CHEAP, progress=seen.append)
    assert [(p.stage, p.done, p.total) for p in seen] == [("read", 0, 3), ("correct_bias", 1, 3), ("write", 2, 3)]


def test_cancel_stops_before_the_next_stage(head, tmp_path):
    asked = []

    def after_reading():
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Cancelled, match="stopped before correct_bias"):
        mediseg.run("bias", head, tmp_path / "out", cancel=after_reading)
    assert not (tmp_path / "out" / "ball" / "report.json").exists()


def test_a_text_file_is_unreadable(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="no image that mediseg reads"):
        mediseg.run("bias", tmp_path / "a.txt", tmp_path / "out")


def test_several_cases_belong_on_the_command_line(tmp_path):
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(8))
    with pytest.raises(UsageError, match="holds 2 cases"):
        mediseg.run("bias", tmp_path / "in", tmp_path / "out")


def test_a_recipes_outputs_drop_files(head, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("steps: [{correct_bias: {levels: 1, iterations: 2}}]\noutputs: [corrected.nii.gz]")
    case = mediseg.run(str(recipe), head, tmp_path / "out")
    assert {p.name for p in case.folder.iterdir()} == {"corrected.nii.gz", "report.html", "report.json"}


def test_files_of_somebody_else_are_never_touched(head, tmp_path):
    mine = [tmp_path / "out" / "ball" / name for name in ("corrected.nii.gz", "dicom/IM1.dcm", "notes.txt")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    with pytest.raises(OutputError, match="ball in --out holds files that mediseg has not written"):
        mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_a_file_put_into_a_finished_case_stays_when_it_is_done_again(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    (case.folder / "callosum.nii.gz").write_text("drawn by hand")
    assert not mediseg.run("bias", head, tmp_path / "out", settings={**CHEAP, "correct_bias.levels": 2}).resumed
    assert (case.folder / "callosum.nii.gz").read_text() == "drawn by hand"


def test_a_report_that_names_files_elsewhere_takes_none_away(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    (tmp_path / "out" / "precious.txt").write_text("mine")
    report = _report(case)
    report["outputs"].append({"path": "../precious.txt", "kind": "html", "sha256": "0" * 64})
    (case.folder / "report.json").write_text(json.dumps(report))
    mediseg.run("bias", head, tmp_path / "out", settings={**CHEAP, "correct_bias.levels": 2})
    assert (tmp_path / "out" / "precious.txt").read_text() == "mine"


def test_a_run_that_was_cut_off_is_done_again(head, tmp_path):
    folder = tmp_path / "out" / "ball"
    (folder / "dicom").mkdir(parents=True)
    for name in (UNFINISHED, "brain_mask.nii.gz", ".corrected.nii.gz.x1.part", "dicom/.brain_seg.dcm.x2.part"):
        (folder / name).touch()
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP)
    assert case.status == "done"
    assert {path for path in folder.rglob("*") if path.is_file()} == set(case.paths)


def test_the_input_folder_is_no_output_folder(tmp_path):
    paths = write_series(tmp_path / "study" / "dicom", ramp((6, 5, 4)), sagittal((6, 5, 4)))
    with pytest.raises(OutputError, match="has not written"):
        mediseg.run("bias", tmp_path / "study", tmp_path)
    assert all(path.is_file() for path in paths)


def test_a_model_of_the_wrong_kind_is_told_before_anything_is_read(head, tmp_path):
    with pytest.raises(UsageError, match="is for callosum, this step needs one for brain"):
        mediseg.run("brain", head, tmp_path / "out", settings={"extract_brain.model": "callosum-unet"})
    assert not (tmp_path / "out").exists()


@pytest.fixture
def study(tmp_path):
    grid = Geometry.from_axes((32, 32, 32), np.eye(3), (6, 6, 6), center_lps_mm=(0, 0, 0))
    write_mr_study(Volume(shaded_ball().astype(np.int16), grid), tmp_path / "ball")
    return tmp_path / "ball"


def _dicom(case):
    return {path.name for path in (case.folder / "dicom").glob("*")}


def test_a_study_gives_the_corrected_head_as_a_series(study, tmp_path):
    case = mediseg.run("bias", study, tmp_path / "out", settings=CHEAP)
    assert _dicom(case) == {f"corrected_{k:04d}.dcm" for k in range(1, 33)}
    assert {o["path"] for o in _report(case)["outputs"] if o["kind"] == "dicom"} == {f"dicom/{n}" for n in _dicom(case)}


def test_the_reports_pages_are_written_on_request(study, tmp_path):
    options = RunOptions(dicom_report=True)
    case = mediseg.run("bias", study, tmp_path / "out", settings=CHEAP, options=options)
    assert "report_01.dcm" in _dicom(case)
    assert "dicom/report_01.dcm" in {o["path"] for o in _report(case)["outputs"]}
    assert mediseg.run("bias", study, tmp_path / "out", settings=CHEAP, options=options).resumed
    assert not mediseg.run("bias", study, tmp_path / "out", settings=CHEAP).resumed


def test_the_report_is_written_as_an_encapsulated_pdf_on_request(study, tmp_path):
    pytest.importorskip("fpdf")
    from pydicom import dcmread

    options = RunOptions(dicom_pdf=True, deterministic_uids=True)
    case = mediseg.run("bias", study, tmp_path / "out", settings=CHEAP, options=options)
    made, source = dcmread(case.folder / "dicom" / "report_pdf.dcm"), dcmread(next(study.rglob("*.dcm")))
    assert made.SOPClassUID.name == "Encapsulated PDF Storage"
    assert made.EncapsulatedDocument[:5] == b"%PDF-"
    assert len(made.EncapsulatedDocument.rstrip(b"\0")) == made.EncapsulatedDocumentLength
    assert (made.StudyInstanceUID, made.PatientID) == (source.StudyInstanceUID, source.PatientID)
    assert len(made.SourceInstanceSequence) == 32
    name = str(source.PatientName).split("^")[0].encode()
    assert name not in made.EncapsulatedDocument
    again = mediseg.run("bias", study, tmp_path / "again", settings=CHEAP, options=options)
    same = (again.folder / "dicom" / "report_pdf.dcm").read_bytes()
    assert same == (case.folder / "dicom" / "report_pdf.dcm").read_bytes()
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    command = ["dciodvfy", "-new", str(case.folder / "dicom" / "report_pdf.dcm")]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize(("outputs", "options"), [("[bias_field.nii.gz, dicom]", {}), ("[bias_field.nii.gz]", {}),
                                                  ("[corrected.nii.gz, dicom]", {"dicom": False})])  # fmt: skip
def test_what_a_recipe_or_a_user_drops_is_not_written_as_dicom(study, tmp_path, outputs, options):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"steps: [{{correct_bias: {{levels: 1, iterations: 2}}}}]\noutputs: {outputs}")
    case = mediseg.run(str(recipe), study, tmp_path / "out", options=RunOptions(**options))
    assert case.status == "done"
    assert _dicom(case) == set()


def test_no_dicom_comes_of_nifti(head, tmp_path):
    case = mediseg.run("bias", head, tmp_path / "out", settings=CHEAP, options=RunOptions(dicom_report=True))
    assert not (case.folder / "dicom").exists()
