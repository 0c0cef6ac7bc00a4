"""A folder that installs mediseg on a workstation without a network: wheels, models, recipes, licences, checksums."""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from mediseg import __version__
from mediseg._resources import shipped
from mediseg.deploy import resolve
from mediseg.deploy.phantom_check import RECIPE
from mediseg.deploy.sbom import bill_of_materials
from mediseg.deploy.targets import Target
from mediseg.deploy.wheels import Wheel, faults, licence_files, read_wheel, sha256_of
from mediseg.errors import InputError, OutputError, UsageError

SUMS = "SHA256SUMS"
#: What Windows takes as a path's length, less a prefix such as C:\Users\first.last\AppData\Local\mediseg\env\...
LONGEST_MEMBER = 259 - 90


@dataclass(frozen=True)
class Wanted:
    """What a bundle is to hold: for which machine, with which extras of mediseg, which recipes, from which wheel."""

    target: Target
    python: str
    recipes: tuple[str, ...]
    extras: tuple[str, ...] = ("node", "serve")
    wheel: Path | None = None


@dataclass(frozen=True)
class Bundle:
    """What was made."""

    folder: Path
    wheels: tuple[Wheel, ...]
    models: tuple[str, ...]
    recipes: tuple[str, ...]

    @property
    def megabytes(self) -> float:
        """Size of all files, in 10^6 bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6


def make_bundle(wanted: Wanted, out: Path) -> Bundle:
    """Make a bundle in ``out``, a new or empty folder. Needs the package index; nothing is installed here.

    SHA256SUMS is written last: a folder without it is no bundle. Raises UsageError, OutputError, and MedisegError where
    the wheels cannot be had or do not fit the target.
    """
    resolve.check_tools()
    recipes = _recipe_files(wanted.recipes)
    models = _models_of(wanted.recipes)
    _empty(out)
    try:
        wheels = _wheels(wanted, out / "wheels")
        _lay_out(wanted, out, wheels, models, recipes)
    except OSError as error:
        raise OutputError(f"cannot write the bundle: {error.strerror or error}; choose another folder") from error
    return Bundle(out, tuple(wheels), tuple(model.name for model in models), tuple(path.stem for path in recipes))


def _empty(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OutputError(f"the folder {out.name} is not empty; give a new one with --out")
    except OSError as error:
        raise OutputError(f"cannot make the folder {out.name}: {error.strerror}") from error


def _recipe_files(names: Iterable[str]) -> list[Path]:
    """The files of recipes; corpus-callosum always, which ``mediseg doctor`` runs."""
    folder = shipped("pipelines")
    paths = []
    for name in dict.fromkeys([RECIPE, *names]):
        path = folder / f"{name}.yaml"
        paths.append(path if path.is_file() else Path(name))
    return paths


def _models_of(names: Iterable[str]) -> list[Path]:
    """The folders of every model that recipes use, with those that these name. Raises UsageError."""
    from mediseg.inference import bundle_folder, load_bundle
    from mediseg.recipe import load_recipe

    found: dict[str, Path] = {}
    todo = [
        str(step.settings["model"])
        for name in dict.fromkeys([RECIPE, *names])
        for step in load_recipe(name).steps
        if "model" in step.settings
    ]
    while todo:
        name = todo.pop()
        if name not in found:
            bundle = load_bundle(name)
            found[name] = bundle_folder(name)
            todo += [companion.name for companion in bundle.companions]
    return [found[name] for name in sorted(found)]


def _wheels(wanted: Wanted, folder: Path) -> list[Wheel]:
    with tempfile.TemporaryDirectory(prefix="mediseg-bundle-") as temporary:
        work = Path(temporary)
        own = read_wheel(_own_wheel(wanted.wheel, work))
        roots = (f"mediseg[{','.join(wanted.extras)}]=={own.version}", "pip", *wanted.target.extra)
        locked = resolve.lock(_requirements(own, wanted), wanted.target, wanted.python, work)
        folder.mkdir()
        resolve.download(locked, wanted.target, wanted.python, folder)
        shutil.copy2(own.path, folder)
    wheels = [read_wheel(path) for path in sorted(folder.glob("*.whl"))]
    wrong = faults(wheels, wanted.target, wanted.python, roots)
    if wanted.target.name.startswith("win"):
        wrong += [f"{name} is too long a path for Windows" for name in long_paths(wheels)]
    if wrong:
        raise InputError(f"the wheels that were found do not make an installation: {'; '.join(wrong[:3])}")
    return wheels


def _own_wheel(given: Path | None, work: Path) -> Path:
    if given is not None:
        return given
    for folder in (Path(__file__).parents[2], Path.cwd()):
        if _is_checkout(folder):
            return resolve.build_wheel(folder, work)
    raise UsageError(
        f"mediseg's own wheel is built from its sources: run this in the folder of mediseg {__version__}'s project, "
        "or name the wheel with --wheel"
    )


def _is_checkout(folder: Path) -> bool:
    """True for the folder of the very version's project that runs here: an installed mediseg has no sources."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):  # no project, or somebody else's damaged one
        return False
    return bool(project.get("name") == "mediseg" and project.get("version") == __version__)


def _requirements(own: Wheel, wanted: Wanted) -> list[str]:
    """What mediseg itself needs on the target, without markers, and what the target needs beside it."""
    from packaging.requirements import Requirement

    environment = wanted.target.environment(wanted.python)
    lines = []
    for one in map(Requirement, own.requires):
        marker = one.marker
        if marker is None or any(marker.evaluate({**environment, "extra": e}) for e in ("", *wanted.extras)):
            lines.append(f"{one.name}{one.specifier}")
    return [*lines, "pip", *wanted.target.extra]


def _lay_out(
    wanted: Wanted, out: Path, wheels: Sequence[Wheel], models: Sequence[Path], recipes: Sequence[Path]
) -> None:
    (out / "requirements.lock").write_text(resolve.locked_lines(wheels), encoding="utf-8", newline="\n")
    for folder in models:
        shutil.copytree(folder, out / "models" / folder.name)
    (out / "pipelines").mkdir()
    for path in recipes:
        shutil.copy2(path, out / "pipelines" / path.name)
    own = next(wheel for wheel in wheels if wheel.name == "mediseg")
    weights = _weights(models, own)
    _licences(out / "licences", wheels, weights)
    _json(out / "sbom.cdx.json", bill_of_materials(wheels, [one for _, one in weights], own.version))
    about = {
        "schema_version": 1,
        "mediseg": own.version,
        "target": wanted.target.name,
        "python": wanted.python,
        "extras": list(wanted.extras),
        "models": [folder.name for folder in models],
        "recipes": [path.stem for path in recipes],
    }
    _json(out / "bundle.json", about)
    for name in ("README.txt", *wanted.target.scripts):
        _script(name, wanted, out)
    write_sums(out)


def _json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8", newline="\n")


def _weights(models: Sequence[Path], own: Wheel) -> list[tuple[str, dict[str, Any]]]:
    """Return where all weights in the bundle lie, with their metadata: its models, and what else the wheel ships."""
    found = {}
    with zipfile.ZipFile(own.path) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).match("mediseg/_shipped/models/*/configs/metadata.json"):
                metadata = json.loads(archive.read(name))
                found[_identity(metadata)] = (f"wheels/{own.path.name}", metadata)
    for folder in models:
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        found[_identity(metadata)] = (f"models/{folder.name}/", metadata)
    return [found[key] for key in sorted(found)]


def _identity(metadata: dict[str, Any]) -> tuple[str, str]:
    return str(metadata["mediseg"]["name"]), str(metadata["mediseg"]["sha256"])


def _script(name: str, wanted: Wanted, out: Path) -> None:
    """Write a template with its Python version; for Windows with CRLF and the mark that PowerShell 5 knows UTF-8 by."""
    text = resources.files("mediseg.deploy").joinpath("templates", name).read_text(encoding="utf-8")
    is_windows = wanted.target.name.startswith("win")
    path = out / name
    encoding, newline = ("utf-8-sig", "\r\n") if is_windows else ("utf-8", "\n")
    path.write_text(text.replace("@PYTHON@", wanted.python), encoding=encoding, newline=newline)
    if name.endswith(".sh"):
        path.chmod(0o755)


def _licences(folder: Path, wheels: Iterable[Wheel], weights: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write every licence text of every part, and a table of what each part says of itself."""
    rows = []
    for wheel in wheels:
        texts = dict(licence_files(wheel))
        rows.append(f"{wheel.name}\t{wheel.version}\t{wheel.licence or 'see its files'}\t{len(texts)} files\n")
        for name, data in texts.items():
            path = folder / f"{wheel.name}-{wheel.version}" / name[-120:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for where, metadata in weights:
        about = metadata["mediseg"]
        rows.append(f"model {about['name']}\t{metadata['version']}\t{about['licence']}\t{where}\n")
    folder.mkdir(exist_ok=True)
    (folder / "LICENCES.tsv").write_text("".join(rows), encoding="utf-8", newline="\n")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over all files, as ``sha256sum`` reads it."""
    rows = [f"{sha256_of(path)}  {name}\n" for name, path in _files(folder)]
    (folder / SUMS).write_text("".join(rows), encoding="utf-8", newline="\n")


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = [(path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file()]
    return sorted((name, path) for name, path in found if name != SUMS)


def wrong_files(folder: Path) -> list[str]:
    """Return the files of a bundle that are damaged, missing or not its own. Raises InputError where it is none."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise InputError(f"{folder.name} is no bundle, or its copying was cut off: {SUMS} cannot be read") from error
    there = dict(_files(folder))
    wrong = [f"{name} is missing" for name in sums if name not in there]
    wrong += [f"{name} does not belong to the bundle" for name in there if name not in sums]
    return wrong + [
        f"{name} is damaged" for name, path in there.items() if name in sums and sha256_of(path) != sums[name]
    ]


def long_paths(wheels: Iterable[Wheel]) -> list[str]:
    """Return members of wheels whose path would be too long on a Windows without long paths."""
    found = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            found += [name for name in archive.namelist() if len(name) > LONGEST_MEMBER]
    return found
