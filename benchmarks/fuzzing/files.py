"""Targets that read files: volumes, DICOM, zips, recipes, ROIs, manifests, node configurations, reports."""

from __future__ import annotations

import shutil
from pathlib import Path

from fuzzing.answers import WrongAnswer, answered, command, one_line
from fuzzing.seeds import Seed


class Files:
    """Targets that read files, each input in a fresh folder."""

    def __init__(self, work: Path) -> None:
        self._folder, self._out = work / "in", work / "out"
        self._tiny = work / "tiny.nii"
        import nibabel
        import numpy as np

        from tests.heads import shaded_ball

        nibabel.save(nibabel.Nifti1Image(shaded_ball(12).astype(np.int16), np.diag([2.0, 2, 2, 1])), self._tiny)

    def laid(self, seed: Seed, data: bytes) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name, content in seed.beside:
            (self._folder / name).write_bytes(content)
        path = self._folder / seed.name
        path.write_bytes(data)
        return path

    def _input(self, path: Path, seed: Seed) -> Path:
        """A file that others belong to is given with its folder."""
        return path.parent if seed.beside else path

    def volume(self, seed: Seed, data: bytes) -> str:
        import mediseg

        path = self._input(self.laid(seed, data), seed)
        code, said = command("plan", "bias", str(path), "--json")
        if code not in (0, 1):
            one_line(said)
        is_dicom = seed.name.endswith(".dcm") or seed.name.startswith("im0")
        return answered(lambda: mediseg.load(path if path.is_file() or is_dicom else path / seed.name))

    def whole(self, seed: Seed, data: bytes) -> str:
        shutil.rmtree(self._out, ignore_errors=True)
        path = self._input(self.laid(seed, data), seed)
        quick = ("--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=1", "--threads", "1", "--quiet")
        code, said = command("run", "bias", str(path), "--out", str(self._out), *quick)
        if code not in (0, 1):
            one_line(said)
        for page in self._out.rglob("*.html"):
            if "<script>alert" in page.read_text(encoding="utf-8"):
                raise WrongAnswer(f"a script in {page.name}")
        return f"exit {code}"

    def segmentation(self, seed: Seed, data: bytes) -> str:
        from mediseg.io import is_segmentation, read_segmentation

        path = self.laid(seed, data)
        return answered(lambda: read_segmentation(path) if is_segmentation(path) else None)

    def recipe(self, seed: Seed, data: bytes) -> str:
        code, said = command("plan", str(self.laid(seed, data)), str(self._tiny))
        if code:
            one_line(said)
        return f"exit {code}"

    def roi(self, seed: Seed, data: bytes) -> str:
        from mediseg.io import read_roi

        path = self.laid(seed, data)
        return answered(lambda: read_roi(path))

    def manifest(self, seed: Seed, data: bytes) -> str:
        from mediseg.evaluate.manifest import load_manifest

        path = self.laid(seed, data)
        named = path if path.suffix == ".yaml" else path.parent / "table.yaml"
        return answered(lambda: load_manifest(named))

    def node(self, seed: Seed, data: bytes) -> str:
        from mediseg.node.config import load_config

        path = self.laid(seed, data)
        return answered(lambda: load_config(path))

    def report(self, seed: Seed, data: bytes) -> str:
        """An earlier run's report: read for the index, and for what may be taken away before the case is redone."""
        from mediseg.batch import _of_earlier_runs
        from mediseg.casefolder import case_folder
        from mediseg.report import Index, index_csv, render_index

        shutil.rmtree(self._out, ignore_errors=True)
        case = self._out / "case"
        case.mkdir(parents=True)
        precious = self._out / "precious"
        precious.write_text("not mediseg's")
        (case / "report.json").write_bytes(data)
        rows = _of_earlier_runs(self._out, set())
        page = render_index(Index(rows))
        if "<script>alert" in page:
            raise WrongAnswer("a script in the index")
        index_csv(Index(rows)).encode()

        def redo() -> None:
            with case_folder(case):
                pass

        answer = answered(redo)
        if not precious.exists():
            raise WrongAnswer("a file outside the case's folder was taken away")
        return f"{len(rows)} rows, {answer}"
