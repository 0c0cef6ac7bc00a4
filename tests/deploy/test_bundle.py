import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mediseg.cli import main
from mediseg.deploy import bundle as bundle_module
from mediseg.deploy import resolve
from mediseg.deploy.bundle import Wanted, long_paths, make_bundle, write_sums, wrong_files
from mediseg.deploy.targets import TARGETS
from mediseg.deploy.wheels import read_wheel
from mediseg.errors import InputError, OutputError, UsageError
from tests.deploy.factory import make_wheel

pytest.importorskip("packaging.requirements")
LINUX = TARGETS["manylinux_x86_64"]
TEMPLATES = Path(bundle_module.__file__).parent / "templates"
SHIPPED = {"version": "0.4.0", "mediseg": {"name": "spare-unet", "sha256": "ab" * 32, "licence": "CC0-1.0"}}
OWN = {
    "mediseg/_shipped/models/spare-unet/configs/metadata.json": json.dumps(SHIPPED),
    "mediseg/__init__.py": "",
    "mediseg/__main__.py": "import os, sys\nprint(os.environ['MEDISEG_HOME'], sys.argv[1:])\n",
}


def _pip_wheel():
    """The wheel of pip that Python brings for its own virtual environments."""
    import ensurepip

    return next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"), None)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No index: what is resolved are two wheels made here, and pip's own where Python has it."""

    def download(_locked, _target, _python, folder):
        make_wheel(folder, "base")
        make_wheel(
            folder, "msvc-runtime", "14.44", tag="cp311-cp311-win_amd64"
        ) if _target.name == "win_amd64" else None
        pip = _pip_wheel()
        shutil.copy2(pip, folder) if pip else make_wheel(folder, "pip", "25.0")

    monkeypatch.setattr(resolve, "lock", lambda lines, *_: tmp_path / "locked.txt")
    monkeypatch.setattr(resolve, "download", download)
    return make_wheel(tmp_path / "own", "mediseg", "0.1.0", requires=["base>=1"], extra=["node"], files=OWN)


def _wanted(wheel, target=LINUX, python="3.11"):
    return Wanted(target, python, ("scan-plan",), ("node",), wheel)


def test_a_bundle_holds_what_its_recipes_need_and_is_whole(offline, tmp_path):
    made = make_bundle(_wanted(offline), tmp_path / "out")
    names = {path.name for path in made.folder.iterdir()}
    assert names == {
        "README.txt", "SHA256SUMS", "bundle.json", "install.sh", "licences", "models", "pipelines",
        "requirements.lock", "sbom.cdx.json", "uninstall.sh", "wheels",
    }  # fmt: skip
    assert wrong_files(made.folder) == []
    assert {"callosum-bisenetv2", "callosum-fine", "acpc-frame", "brain-unet"} <= set(made.models)
    assert made.recipes == ("corpus-callosum", "scan-plan")
    assert "base==1.0 --hash=sha256:" in (made.folder / "requirements.lock").read_text()
    licences = (made.folder / "licences" / "LICENCES.tsv").read_text()
    assert "model brain-unet\t" in licences
    assert f"model spare-unet\t0.4.0\tCC0-1.0\twheels/{offline.name}\n" in licences  # lies in mediseg's own wheel
    parts = json.loads((made.folder / "sbom.cdx.json").read_text())["components"]
    models = {part["name"] for part in parts if part["type"] == "machine-learning-model"}
    assert models == {*made.models, "spare-unet"}
    assert len({part["bom-ref"] for part in parts}) == len(parts)
    assert json.loads((made.folder / "bundle.json").read_text())["target"] == "manylinux_x86_64"


def test_the_windows_bundle_brings_the_microsoft_runtime(offline, tmp_path):
    made = make_bundle(_wanted(offline, TARGETS["win_amd64"]), tmp_path / "out")
    assert "msvc-runtime" in {wheel.name for wheel in made.wheels}
    script = (made.folder / "install.ps1").read_bytes()
    assert script.startswith(b"\xef\xbb\xbf#")
    assert b"\r\n" in script
    assert b"@PYTHON@" not in script
    assert not (made.folder / "install.sh").exists()


def test_a_missing_wheel_stops_the_bundle_before_it_has_checksums(offline, tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "download", lambda *a: make_wheel(a[3], "other"))
    with pytest.raises(InputError, match="base is missing, which mediseg needs"):
        make_bundle(_wanted(offline), tmp_path / "out")
    with pytest.raises(InputError, match="is no bundle, or its copying was cut off"):
        wrong_files(tmp_path / "out")


def test_a_folder_with_files_is_left_alone(offline, tmp_path):
    with pytest.raises(OutputError, match="is not empty; give a new one"):
        make_bundle(_wanted(offline), offline.parent)


def test_tools_that_are_missing_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(resolve, "NEEDED", ("nosuchtool", "packaging"))
    with pytest.raises(UsageError, match=r'needs nosuchtool: pip install "mediseg\[bundle\]"'):
        resolve.check_tools()


def test_a_tool_that_fails_is_one_line():
    with pytest.raises(Exception, match="pip download failed: "):
        resolve._tool("pip", ["download", "--no-index", "no-such-part"])


@pytest.mark.parametrize("harm", ["damaged", "missing", "cut", "added"])
def test_harm_done_on_the_way_is_named(offline, tmp_path, harm, capsys):
    folder = make_bundle(_wanted(offline), tmp_path / "out").folder
    model = folder / "models" / "brain-unet" / "models" / "model.onnx"
    if harm == "damaged":
        model.write_bytes(model.read_bytes()[:-1] + b"\0")
    elif harm == "cut":
        model.write_bytes(model.read_bytes()[:1000])
    elif harm == "missing":
        model.unlink()
    else:
        (folder / "wheels" / "evil-1.0-py3-none-any.whl").write_bytes(b"")
    said = {"cut": "is damaged", "missing": "is missing", "damaged": "is damaged", "added": "does not belong"}[harm]
    assert main(["bundle", "--check", str(folder)]) == 3
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_long_paths_of_wheels_are_found(tmp_path):
    long = "deep/" * 40 + "x.py"
    wheel = read_wheel(make_wheel(tmp_path, "deep", files={long: ""}))
    assert long_paths([wheel]) == [long]


def test_the_command_wants_a_folder(capsys):
    assert main(["bundle"]) == 2
    assert "--out" in capsys.readouterr().err


# --- the installer ---


def _sh(script, *arguments, python=sys.executable):
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), "HOME": "/nowhere"}
    return subprocess.run(
        ["sh", str(script), *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture
def ready(offline, tmp_path):
    if sys.platform != "linux" or _pip_wheel() is None:
        pytest.skip("needs POSIX and the pip that Python brings")
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return make_bundle(_wanted(offline, python=running), tmp_path / "my bundle").folder


def test_install_run_and_uninstall(ready, tmp_path):
    home = tmp_path / "my home" / "mediseg"
    home.parent.mkdir()
    done = _sh(ready / "install.sh", "--no-doctor", home)
    assert (done.returncode, done.stderr) == (0, "")
    ran = subprocess.run(
        [home / "bin" / "mediseg", "info", "a b"], capture_output=True, text=True, check=True, cwd=ready
    )
    assert ran.stdout == f"{home} ['info', 'a b']\n"
    (home / "mine.txt").write_text("stays")
    assert _sh(ready / "install.sh", "--no-doctor", home).returncode == 0  # renewed
    done = _sh(home / "uninstall.sh")
    assert (done.returncode, done.stdout) == (0, f"other files stay in {home}\n")
    assert [path.name for path in home.iterdir()] == ["mine.txt"]


def test_a_damaged_bundle_is_not_installed(ready, tmp_path):
    wheel = next((ready / "wheels").glob("base*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b" ")
    done = _sh(ready / "install.sh", "--no-doctor", tmp_path / "home")
    assert done.returncode == 1
    assert "damaged or missing" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_wheel_changed_together_with_the_sums_is_still_refused_by_its_hash(ready, tmp_path):
    wheel = next((ready / "wheels").glob("base*.whl"))
    make_wheel(ready / "wheels", "base", files={"base.py": "value = 'evil'\n"})
    write_sums(ready)
    assert wheel.is_file()
    done = _sh(ready / "install.sh", "--no-doctor", tmp_path / "home")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_a_half_copied_bundle_and_a_foreign_folder_are_refused(ready, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    assert "holds other files" in _sh(ready / "install.sh", tmp_path / "home").stderr
    (ready / "SHA256SUMS").unlink()
    assert "was not copied to its end" in _sh(ready / "install.sh", tmp_path / "new").stderr
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_another_python_is_refused(ready, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    assert "for which this bundle was made" in _sh(ready / "install.sh", tmp_path / "home", python=fake).stderr
    assert "there is no" in _sh(ready / "install.sh", tmp_path / "home", python=tmp_path / "none").stderr


def test_uninstall_leaves_a_folder_that_is_no_installation(tmp_path):
    (tmp_path / "env").mkdir()
    shutil.copy2(TEMPLATES / "uninstall.sh", tmp_path)
    if sys.platform != "linux":
        pytest.skip("needs POSIX")
    assert _sh(tmp_path / "uninstall.sh").returncode == 1
    assert (tmp_path / "env").is_dir()


@pytest.mark.parametrize("name", ["install.ps1", "uninstall.ps1"])
def test_powershell_scripts_parse(name):
    language = pytest.importorskip("tree_sitter_powershell")
    tree_sitter = pytest.importorskip("tree_sitter")
    parser = tree_sitter.Parser(tree_sitter.Language(language.language()))
    text = (TEMPLATES / name).read_bytes()
    assert not parser.parse(text).root_node.has_error
    assert parser.parse(text.replace(b"}", b"", 1)).root_node.has_error  # a parser that takes anything proves nothing


def test_an_installed_mediseg_builds_its_wheel_from_the_project_it_is_called_in(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(bundle_module, "__file__", str(tmp_path / "env" / "mediseg" / "deploy" / "bundle.py"))
    monkeypatch.setattr(resolve, "build_wheel", lambda folder, work: built.append(folder) or work / "mediseg.whl")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    project = tmp_path / "project" / "pyproject.toml"
    for text in (None, "not = [toml", '[project]\nname = "other"\n', '[project]\nname = "mediseg"\nversion = "99.0"\n'):
        if text is not None:
            project.write_text(text)
        with pytest.raises(UsageError, match=r"run this in the folder of mediseg .* or name the wheel with --wheel"):
            bundle_module._own_wheel(None, tmp_path)
    project.write_text(f'[project]\nname = "mediseg"\nversion = "{bundle_module.__version__}"\n')
    assert bundle_module._own_wheel(None, tmp_path) == tmp_path / "mediseg.whl"
    assert built == [Path.cwd()]
