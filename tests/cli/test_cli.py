import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mediseg.cli import COMMANDS, main
from mediseg.errors import Exit
from tests.heads import shaded_ball, write_nifti
from tests.io.dicom_factory import CT, ramp, sagittal, write_series

CHEAP = ["--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=3"]


@pytest.fixture
def head(tmp_path):
    return str(write_nifti(tmp_path / "in" / "ball.nii.gz", shaded_ball()))


def _mediseg(*arguments, **more):
    command = [sys.executable, "-m", "mediseg", *arguments]
    more = {"stdout": subprocess.PIPE, **more}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **more)


def test_help_of_every_command_shows_an_example(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        out = capsys.readouterr().out
        assert f"Example: mediseg {name}" in out, name


def test_run_ends_with_a_summary_on_stderr_and_nothing_on_stdout(head, tmp_path, capsys):
    assert main(["run", "bias", head, "--out", str(tmp_path / "out"), *CHEAP]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "ball: correcting the bias field (2/3)" in err
    assert "1 done; see" in err
    assert "\x1b" not in err


def test_json_is_one_object_a_case_and_nothing_else(head, tmp_path, capsys):
    assert main(["run", "bias", head, "--out", str(tmp_path / "out"), "--json", "--quiet", *CHEAP]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "done"
    assert out.count("\n") == 1
    assert err == ""


def test_a_refused_case_is_one_line_and_exit_4(tmp_path, capsys):
    path = write_nifti(tmp_path / "dark.nii.gz", np.zeros((12, 12, 12), np.float32))
    assert main(["run", "bias", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == Exit.REFUSED
    err = capsys.readouterr().err
    assert err.startswith("mediseg: dark: refused: the image has no foreground")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], 'there is no command "rnu" (did you mean "run"?)'),
        (["run", "bias"], "Missing argument 'INPUT...'; mediseg run --help shows an example"),
        (["run", "bias", "x"], "Missing option '--out'; mediseg run --help shows an example"),
        (["run", "bias", "x", "--out", "y", "--thread", "2"], "--threads"),
        (["run", "bias", "nothere", "--out", "y"], "nothere does not exist"),
        (["run", "bais", "nothere", "--out", "y"], 'did you mean "bias"'),
        (["steps", "localise_roi"], 'did you mean "localize_roi"'),
        (["models", "info", "callosum-net"], 'did you mean "callosum-unet"'),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(arguments, message, capsys):
    assert main(arguments) == Exit.USAGE
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_plan_and_run_tell_an_unreadable_input_alike(tmp_path, capsys):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("hello")
    for inputs in (["a.txt"], ["a.txt", "b.txt"]):
        paths = [str(tmp_path / name) for name in inputs]
        assert main(["plan", "bias", *paths]) == Exit.UNREADABLE
        out, err = capsys.readouterr()
        assert out == ""
        assert [line.count("no image that mediseg reads") for line in err.splitlines()] == [1] * len(inputs)
        assert main(["run", "bias", *paths, "--out", str(tmp_path / "out"), "--quiet"]) == Exit.UNREADABLE
        capsys.readouterr()


def test_plan_shows_what_it_found_on_stdout_and_what_fails_on_stderr(tmp_path, capsys):
    write_series(tmp_path / "ct", ramp((8, 8, 4)), sagittal((8, 8, 4)), sop_class=CT, modality="CT")
    assert main(["plan", "bias", str(tmp_path / "ct")]) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert "would not run" in out
    assert err.startswith("mediseg: the study is CT; this recipe needs MR")
    assert err.count("\n") == 1


def test_case_names_follow_the_template(head, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", "bias", head, "--out", str(out), "--case-name", "{index}-{hash}", "--quiet", *CHEAP]) == 0
    (folder,) = [p for p in out.iterdir() if p.is_dir()]
    assert folder.name.startswith("1-")
    assert len(folder.name) == 10


@pytest.mark.parametrize("template", ["{patient}", "a/b", "{name}.", "{name.first}", "{name[first]}"])
def test_a_bad_case_name_is_refused(head, tmp_path, template):
    assert main(["run", "bias", head, "--out", str(tmp_path / "out"), "--case-name", template]) == Exit.USAGE


def test_a_damaged_case_stops_no_other_whatever_cases_are_called(tmp_path, monkeypatch):
    monkeypatch.setattr("mediseg.io.dicom.find.CHECKED_BYTES", 0)  # a large zip's members are not checked when found
    write_nifti(tmp_path / "in" / "ball.nii.gz", shaded_ball())
    slices = write_series(tmp_path / "study", ramp((256, 256, 3)), sagittal((256, 256, 3)))
    with zipfile.ZipFile(tmp_path / "in" / "scan.zip", "w") as packed:
        for path in slices:
            packed.write(path, path.name)
    spoilt = bytearray((tmp_path / "in" / "scan.zip").read_bytes())
    spoilt[len(slices[0].read_bytes()) - 100] ^= 0xFF  # in the pixels of the first: its header is whole
    (tmp_path / "in" / "scan.zip").write_bytes(spoilt)
    arguments = ["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet", *CHEAP]
    assert main([*arguments, "--case-name", "{index}-{name}"]) == Exit.SOME_FAILED
    assert (tmp_path / "out" / "1-ball" / "report.json").is_file()


def test_two_cases_of_one_name_are_refused(tmp_path, capsys):
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(8))
    arguments = ["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--case-name", "same"]
    assert main(arguments) == Exit.USAGE
    assert "add {index}" in capsys.readouterr().err


def test_an_output_folder_below_a_file_is_exit_5(head, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["run", "bias", head, "--out", str(tmp_path / "file" / "out")]) == Exit.UNWRITABLE
    assert "the folder out cannot be written" in capsys.readouterr().err


def _small_files_only():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file size limits")
def test_a_disk_that_fills_up_is_exit_5_and_leaves_nothing_half_written(tmp_path):
    head = write_nifti(tmp_path / "in" / "ball.nii.gz", shaded_ball(40))
    done = _mediseg(
        "run", "bias", str(head), "--out", str(tmp_path / "out"), "--quiet", *CHEAP, preexec_fn=_small_files_only
    )
    assert done.returncode == Exit.UNWRITABLE, done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "ball").exists()  # nothing was finished


def test_a_bug_is_one_line_and_exit_70(monkeypatch, capsys):
    def broken():
        raise ZeroDivisionError("Doe^John")

    monkeypatch.setattr("mediseg.recipe.recipes", broken)
    assert main(["recipes"]) == Exit.BUG
    err = capsys.readouterr().err
    assert "a bug in mediseg (ZeroDivisionError)" in err
    assert "Doe" not in err
    assert main(["recipes", "--debug"]) == Exit.USAGE  # recipes has no such option; run and plan do


def test_an_interrupt_is_exit_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("mediseg.recipe.recipes", interrupted)
    assert main(["recipes"]) == Exit.INTERRUPTED
    assert "the next run resumes" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", "exec('raise KeyboardInterrupt')"])
def test_an_interrupt_while_the_command_line_is_loaded_is_exit_130(tmp_path, code):
    (tmp_path / "click.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = _mediseg("info", env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == Exit.INTERRUPTED
    assert done.stderr == "mediseg: interrupted before anything was begun\n"


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, here and in children, even where the tests run in a background that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_a_library_turns_into_something_else_is_exit_130(monkeypatch, capsys):
    def loading():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            raise ImportError("numpy could not be loaded") from None

    monkeypatch.setattr("mediseg.recipe.recipes", loading)
    assert main(["recipes"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "mediseg: interrupted; finished cases stay, the next run resumes\n"


def test_recipes_steps_models_and_info_tell_what_there_is(capsys):
    assert main(["recipes", "--json"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert "corpus-callosum" in names
    assert main(["steps", "localize_roi", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["method"]["choices"] == ["robust", "box", "line", "final"]
    assert main(["steps", "plan_scan"]) == 0
    assert "thickness_mm = 4.0 mm" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert "CPUExecutionProvider" in json.loads(capsys.readouterr().out)["providers"]
    assert main(["models", "verify"]) == 0
    assert "callosum-unet: ok" in capsys.readouterr().out
    assert main(["models", "info", "brain-unet"]) == 0
    assert "icence" in capsys.readouterr().out


def test_as_a_process_it_ends_with_the_same_status(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    done = _mediseg("run", "bias", str(tmp_path / "a.txt"), "--out", str(tmp_path / "out"))
    assert done.returncode == Exit.UNREADABLE
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_outside_the_output_folder(head, tmp_path):
    before = set(tmp_path.rglob("*"))
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = _mediseg("run", "bias", head, "--out", str(tmp_path / "out"), *CHEAP, cwd=home, env=environment)
    assert done.returncode == 0
    new = {p for p in tmp_path.rglob("*") if tmp_path / "out" not in (p, *p.parents)} - before
    assert new == {home}


@pytest.mark.skipif(sys.platform == "win32", reason="needs /dev/full and POSIX signals")
class TestACutOffOutput:
    def test_a_full_stdout_is_exit_5_and_the_cases_are_done(self, head, tmp_path):
        with Path("/dev/full").open("w") as full:
            done = _mediseg(
                "run", "bias", head, "--out", str(tmp_path / "out"), "--json", "--quiet", *CHEAP, stdout=full
            )
        assert done.returncode == Exit.UNWRITABLE
        assert done.stderr.count("\n") == 1
        assert (tmp_path / "out" / "index.html").is_file()
        assert (tmp_path / "out" / "ball" / "report.json").is_file()

    def test_a_reader_that_goes_away_does_not_stop_the_batch(self, tmp_path):
        for name in ("a", "b"):
            write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(seed=ord(name)))
        arguments = ["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json", "--quiet", *CHEAP]
        reading, writing = os.pipe()
        os.close(reading)
        done = _mediseg(*arguments, stdout=writing)
        os.close(writing)
        assert done.returncode == Exit.UNWRITABLE
        assert "stdout cannot be written" in done.stderr
        assert {p.parent.name for p in (tmp_path / "out").glob("*/report.json")} == {"a", "b"}

    def test_info_into_a_full_device(self):
        with Path("/dev/full").open("w") as full:
            done = _mediseg("info", stdout=full)
        assert done.returncode == Exit.UNWRITABLE
        assert "cannot be written" in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.usefixtures("interruptible")
    def test_ctrl_c_in_a_terminal_reaches_the_workers_without_a_traceback(self, tmp_path):
        for name in ("a", "b", "c"):
            write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(seed=ord(name)))
        command = ["run", "bias", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "2"]
        arguments = [sys.executable, "-m", "mediseg", *command]
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stderr is not None
            assert "reading" in process.stderr.readline()
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
            rest = process.stderr.read()
        assert process.returncode == Exit.INTERRUPTED
        assert "Traceback" not in rest
        assert rest.splitlines()[-1].startswith("mediseg: interrupted; finished cases stay")

    def test_a_request_to_end_keeps_what_is_finished(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("mediseg.recipe.recipes", lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main(["recipes"]) == Exit.INTERRUPTED
        assert "the next run resumes" in capsys.readouterr().err


def test_an_unknown_model_is_the_users_error(capsys):
    assert main(["models", "verify", "brain-unt"]) == Exit.USAGE
    assert 'did you mean "brain-unet"' in capsys.readouterr().err


def test_an_empty_out_is_the_users_error(head, capsys):
    assert main(["run", "bias", head, "--out", ""]) == Exit.USAGE
    assert "--out is empty" in capsys.readouterr().err


def test_info_for_people_holds_no_python(capsys):
    assert main(["info"]) == 0
    assert "{" not in capsys.readouterr().out
