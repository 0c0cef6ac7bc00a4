"""``mediseg doctor``: is this installation whole, and does it do what its makers measured? Every check is a line."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.deploy.phantom_check import PhantomRun, phantom_run, stored
from mediseg.errors import MedisegError

if TYPE_CHECKING:
    from mediseg.record import StepRecord
    from mediseg.runner import ProgressCallback

PACKAGES = (
    "numpy", "scipy", "nibabel", "pydicom", "highdicom", "SimpleITK", "opencv-python-headless", "onnxruntime",
    "pydantic", "jinja2", "rich", "click", "PyYAML", "contourpy", "psutil", "pillow", "pyjpegls", "pylibjpeg",
    "pylibjpeg-openjpeg", "pylibjpeg-rle",
)  # fmt: skip
FREE_MB = 500


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and where it is wrong, what to do."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """Everything that one run of the doctor found."""

    facts: Mapping[str, str]
    checks: tuple[Check, ...]
    steps: tuple[StepRecord, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def is_sound(self) -> bool:
        """True when every check is content."""
        return all(check.ok for check in self.checks)

    @property
    def seconds(self) -> float:
        """Time of all steps of the phantom run."""
        return sum(step.seconds or 0.0 for step in self.steps)

    @property
    def peak_mb(self) -> float:
        """The highest resident memory in any step."""
        return max((step.peak_mb or 0.0 for step in self.steps), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "schema_version": "1.0",
            "ok": self.is_sound,
            **self.facts,
            "checks": [
                {"name": c.name, "ok": c.ok, "found": c.found, **({"advice": c.advice} if c.advice else {})}
                for c in self.checks
            ],
            "seconds": round(self.seconds, 1),
            "peak_mb": round(self.peak_mb, 1),
            "steps": [{"name": s.name, "seconds": s.seconds, "peak_mb": s.peak_mb} for s in self.steps],
            "notes": list(self.notes),
        }


def examine(*, threads: int = 2, progress: ProgressCallback | None = None) -> Examination:
    """Look at versions, providers, models and recipes, and run the main job on the phantom (two threads: as stored).

    ``progress`` is called at each stage of that. Writes into a temporary folder only, which it takes away. Never raises
    for what is wrong: that is the answer.
    """
    checks = [*_packages(), _provider(), *_models(), _recipes(), _room()]
    if all(check.ok for check in checks):
        run = phantom_run(stored(), threads=threads, progress=progress)
        checks += _phantom(run)
        return Examination(_facts(), tuple(checks), run.steps, _other_models(run))
    checks.append(Check("phantom", False, "not run", "mend the above first"))
    return Examination(_facts(), tuple(checks))


def _facts() -> dict[str, str]:
    import mediseg

    return {
        "mediseg": mediseg.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": str(os.cpu_count()),
        "installed_in": sys.prefix,
        "models_in": str(_models_folder() or "missing"),
    }


def _models_folder() -> Path | None:
    from mediseg._resources import shipped

    try:
        return shipped("models")
    except (FileNotFoundError, MedisegError):
        return None


def _packages() -> Iterable[Check]:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    advice = "install mediseg again" if missing else ""
    text = ", ".join(found) if not missing else f"missing: {', '.join(missing)}"
    yield Check("packages", not missing, text, advice)


def _provider() -> Check:
    from mediseg.inference import available_providers

    try:
        providers = available_providers()
    except ImportError as error:  # on Windows: the Microsoft runtime is missing or too old
        reason = str(error).splitlines()[0]
        return Check("ONNX Runtime", False, reason, "install the bundle again, it brings the Microsoft runtime")
    return Check("ONNX Runtime", "CPUExecutionProvider" in providers, ", ".join(providers))


def _models() -> Iterable[Check]:
    from mediseg.bundle_check import verify
    from mediseg.inference import bundle_names, load_bundle

    if _models_folder() is None:
        yield Check("models", False, "the folder of models is missing", "install mediseg again")
        return
    for name in bundle_names():
        wrong = verify(name)
        advice = "copy this model's folder again" if wrong else ""
        found = "; ".join(wrong) if wrong else f"sha256 {load_bundle(name).sha256}"
        yield Check(f"model {name}", not wrong, found, advice)


def _recipes() -> Check:
    from mediseg.casefile import check_models
    from mediseg.recipe import load_recipe, recipes

    try:
        names = [recipe.name for recipe in recipes()]
        for name in names:
            check_models(load_recipe(name))
    except (MedisegError, FileNotFoundError) as error:
        return Check("recipes", False, str(error), "install mediseg again")
    return Check("recipes", bool(names), ", ".join(names))


def _room() -> Check:
    import psutil

    try:
        with tempfile.TemporaryDirectory(prefix="mediseg-doctor-") as folder:
            free_mb = psutil.disk_usage(folder).free / 1e6
    except OSError as error:
        return Check("room", False, f"no temporary folder: {error.strerror}", "set TMPDIR to a folder with room")
    memory_mb = psutil.virtual_memory().available / 1e6
    found = f"{free_mb:.0f} MB of disk for temporary files, {memory_mb:.0f} MB of memory"
    return Check("room", free_mb >= FREE_MB, found, "" if free_mb >= FREE_MB else "set TMPDIR to a folder with room")


def _phantom(run: PhantomRun) -> Iterable[Check]:
    if run.status != "done":
        yield Check("phantom", False, f"{run.status}: {run.reason}", "send this page to whoever looks after mediseg")
        return
    yield Check("phantom", True, "the main job is done")
    for one in run.figures:
        found = f"{one.value:.4g} (expected {one.low:.4g} to {one.high:.4g})"
        advice = "" if one.is_good else "do not use the results; send this page to whoever looks after mediseg"
        yield Check(f"phantom {one.name}", one.is_good, found, advice)


def _other_models(run: PhantomRun) -> tuple[str, ...]:
    """Tell which models are not those that the expectations were measured with: a replaced one may differ."""
    expected = stored()["models"]
    other = [name for name, sha256 in (run.models or {}).items() if expected.get(name) != sha256]
    return (f"not the models that the expectations were measured with: {', '.join(other)}",) if other else ()
