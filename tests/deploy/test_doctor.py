import json
import shutil
from types import SimpleNamespace

import pytest

from mediseg._resources import shipped
from mediseg.cli import main
from mediseg.deploy import doctor, phantom_check
from mediseg.deploy.doctor_page import as_html, as_text
from mediseg.deploy.phantom_check import Figure, PhantomRun, figures_of, stored
from mediseg.errors import UsageError
from mediseg.inference import bundle_names, load_bundle
from mediseg.phantom import head_truth
from mediseg.record import StepRecord
from mediseg.volume import Volume

SECONDS = (StepRecord(name="read", seconds=1.25, peak_mb=300.0), StepRecord(name="write", seconds=2.0, peak_mb=250.0))
GOOD = PhantomRun("done", "", (Figure("brain_dice", 0.96, 0.95, 1.0),), SECONDS, {})


@pytest.fixture
def ran(monkeypatch):
    """The phantom run's answer, without running it."""

    def answer(run):
        monkeypatch.setattr(doctor, "phantom_run", lambda *_, **__: run)

    return answer


def test_a_sound_installation_says_so_and_ends_with_0(ran, capsys, tmp_path):
    ran(GOOD)
    assert main(["doctor", "--html", str(tmp_path / "page.html")]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("looking at packages, models and recipes, then running the main job")  # it takes a while
    lines = out.splitlines()
    assert lines[-1].startswith("sound: ")
    assert lines[-1].endswith("checks passed, 3.2 s, 300 MB at most")
    assert "ok   phantom brain_dice: 0.96 (expected 0.95 to 1)" in lines
    page = (tmp_path / "page.html").read_text()
    assert "sound: " in page
    assert "http" not in page


def test_json_is_one_object(ran, capsys):
    ran(GOOD)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["seconds"], found["peak_mb"]) == (True, 3.2, 300.0)
    assert {check["name"] for check in found["checks"]} >= {"packages", "ONNX Runtime", "model brain-unet", "recipes"}


@pytest.mark.parametrize("value", [0.94, 1.01, float("nan")])
def test_a_figure_outside_its_limits_fails(ran, capsys, value):
    ran(PhantomRun("done", "", (Figure("brain_dice", value, 0.95, 1.0),), SECONDS, {}))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL phantom brain_dice" in out
    assert "do not use the results" in out


def test_a_run_that_is_refused_fails(ran):
    ran(PhantomRun("refused", "no <callosum>"))
    found = doctor.examine()
    assert not found.is_sound
    assert "refused: no <callosum>" in as_text(found)
    assert "no &lt;callosum&gt;" in as_html(found)


def test_a_replaced_model_is_noted(ran):
    ran(PhantomRun("done", "", (), SECONDS, {"brain-unet": "0" * 64}))
    assert doctor.examine().notes == ("not the models that the expectations were measured with: brain-unet",)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An installation's own folder, with models to be replaced."""
    for kind in ("models", "pipelines"):
        shutil.copytree(shipped(kind), tmp_path / kind)
    monkeypatch.setenv("MEDISEG_HOME", str(tmp_path))
    return tmp_path


def test_a_half_copied_model_is_refused_and_the_phantom_is_not_run(home, capsys):
    model = home / "models" / "brain-unet" / "models" / "model.onnx"
    model.write_bytes(model.read_bytes()[:5000])
    with pytest.raises(UsageError, match="does not match its checksum"):
        load_bundle("brain-unet")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL model brain-unet: models/model.onnx does not match its checksum" in out
    assert "FAIL phantom: not run; mend the above first" in out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"mediseg": 3, "version": "1"}'])
def test_a_half_copied_description_is_refused(home, text):
    (home / "models" / "brain-unet" / "configs" / "metadata.json").write_text(text)
    with pytest.raises(UsageError, match=r"brain-unet.*metadata\.json.*copy the bundle again"):
        load_bundle("brain-unet")
    assert not doctor.examine().is_sound


def test_a_models_folder_that_is_gone_is_never_replaced_by_the_wheels(home):
    shutil.rmtree(home / "models")
    with pytest.raises(UsageError, match="has no folder models"):
        bundle_names()
    assert not doctor.examine().is_sound


def test_the_truth_itself_has_perfect_figures():
    truth = head_truth()
    robust = truth.estimates["robust"]
    number = SimpleNamespace(value=2.0)
    values = {
        "brain": SimpleNamespace(mask=truth.brain),
        "callosum": SimpleNamespace(probability=Volume(truth.callosum.labels.astype("f4"), truth.callosum.geometry)),
        "midsagittal": SimpleNamespace(plane=truth.plane),
        "localization": SimpleNamespace(estimates={"robust": robust}, roi=truth.roi),
        "measurements": dict.fromkeys(phantom_check.MEASURES, number),
    }
    figures = figures_of(values)
    assert figures["brain_dice"] == figures["callosum_dice"] == 1.0
    assert figures["roi_angle_error_deg"] == figures["roi_center_error_mm"] == 0.0
    assert figures["plane_error_deg"] == pytest.approx(0.0, abs=1e-4)
    assert figures["roi_angle_deg"] == robust.angle_deg
    assert set(figures) == set(stored()["figures"])


def test_limits_leave_room_on_both_sides_where_both_are_wrong():
    assert phantom_check._limits("area", 100.0) == [98.0, 102.0]
    assert phantom_check._limits("brain_dice", 0.96) == [0.95, 1.0]
    assert phantom_check._limits("roi_angle_deg", -3.0) == [-3.5, -2.5]
    assert phantom_check._limits("roi_center_error_mm", 0.25) == [0.0, 0.75]


def test_the_expectations_were_measured_with_the_models_that_are_shipped():
    """A new model? Measure again: ``python -m mediseg.deploy data/``."""
    assert {name: load_bundle(name).sha256 for name in stored()["models"]} == stored()["models"]


def test_a_run_that_cannot_write_is_an_answer(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(phantom_check, "run_phantom", full)
    run = phantom_check.phantom_run(stored())
    assert (run.status, "No space left" in run.reason) == ("failed", True)
