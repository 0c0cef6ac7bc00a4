"""What outside readers and judges make of the DICOM that mediseg writes: the tables of docs/dicom-output.md.

python benchmarks/dicom_roundtrip.py [STUDY.zip ...] [--docs]      (--docs puts the tables into the page)

Needs dciodvfy (Debian: dicom3tools), DCMTK, dcmqi (PyPI) and Orthanc (Debian). Without studies only the made-up grids
are shown. Masks are lopsided blocks, so that any mirroring shows. Distances are between each voxel's point in the
patient and its partner, the largest in mm, both ways (a sample of 50,000 in large masks).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mediseg.errors import MedisegError
from mediseg.io import open_study
from mediseg.io.dicom.outputs import write_report_pages
from mediseg.io.dicom.read import read_stack
from mediseg.io.dicom.uids import DicomOptions
from mediseg.report.pages import HEIGHT, WIDTH
from mediseg.volume import Volume
from tests.io.orthanc import Orthanc, running
from tests.io.outside import dciodvfy_errors, is_about_a_source_uid
from tests.io.roundtrip import (
    CASES,
    SEGMENTATIONS,
    image_distance_mm,
    readers,
    segmentation_distance_mm,
    written,
)

PAGE = Path(__file__).parents[1] / "docs" / "dicom-output.md"
WHO = ("highdicom", "DCMTK", "dcmqi", "Orthanc")


def shown(distance_mm: float) -> str:
    """A distance for the table; below a millionth of a mm only that it is."""
    return "< 1e-6" if distance_mm < 1e-6 else f"{distance_mm:.2g}"


def distances(head: Volume, folder: Path, archive: Orthanc) -> tuple[dict[str, float], list[Path]]:
    """Largest distance by each reader over both SEG, and of the derived images by ITK; and every file written."""
    values, paths = written(head, folder / "out")
    found = dict.fromkeys(WHO, 0.0)
    for stem, key in SEGMENTATIONS.items():
        for who, read in readers(folder / "scratch", archive).items():
            distance = segmentation_distance_mm(folder / "out" / f"{stem}.dcm", values[key].mask, head, read)
            found[who] = max(found[who], distance)
    corrected = [path for path in paths if path.name.startswith("corrected")]
    found["ITK"] = image_distance_mm([folder / "out" / "midsagittal.dcm"], values["midsagittal"].image)
    if head.source is None or None not in head.source.sop_uids:  # ITK knows no missing slice
        found["ITK"] = max(found["ITK"], image_distance_mm(corrected, values["bias"].corrected))
    return found, paths


def made_up(archive: Orthanc) -> Iterator[str]:
    """The table of grids."""
    yield "| grid of the source | " + " | ".join(f"SEG by {who}" for who in WHO) + " | LABELMAP | derived MR by ITK |"
    yield "|---" * (len(WHO) + 3) + "|"
    for name, make in CASES.items():
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            head = make(folder / "in")
            found, _ = distances(head, folder, archive)
            values, _ = written(head, folder / "labelmap", "labelmap")
            labelmap = max(
                segmentation_distance_mm(folder / "labelmap" / f"{stem}.dcm", values[key].mask, head, read)
                for stem, key in SEGMENTATIONS.items()
                for read in readers(folder / "scratch2", None).values()
            )
        cells = [found[who] for who in WHO] + [labelmap, found["ITK"]]
        yield f"| {name} | " + " | ".join(shown(cell) for cell in cells) + " |"


@dataclass
class Judged:
    """What became of one study."""

    files_in: int = 0
    errors_in: int = 0
    stacks: int = 0
    files_out: int = 0
    errors_out: int = 0
    about_source_uids: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def judged(archive_path: Path, archive: Orthanc) -> Judged:
    """Write for every MR stack of a study that can be read, and judge the files before and after."""
    result = Judged()
    with tempfile.TemporaryDirectory() as work:
        zipfile.ZipFile(archive_path).extractall(Path(work) / "in")
        study = open_study(Path(work) / "in")
        for path in study.files:
            result.files_in += 1
            result.errors_in += len(dciodvfy_errors(path))
        for number, stack in enumerate(study.stacks):
            if stack.info.modality != "MR":
                continue
            try:
                head = read_stack(stack, study.identity)
            except MedisegError as error:
                result.left_out.append(str(error))
                continue
            _judge_outputs(head, Path(work) / f"stack{number}", archive, result)
    return result


def _judge_outputs(head: Volume, folder: Path, archive: Orthanc, result: Judged) -> None:
    import numpy as np

    found, paths = distances(head, folder, archive)
    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    paths += write_report_pages([page], head, folder / "out", DicomOptions(), "Research use only.")
    result.stacks += 1
    result.worst = {who: max(distance, result.worst.get(who, 0.0)) for who, distance in found.items()}
    for path in paths:
        errors = dciodvfy_errors(path)
        result.files_out += 1
        result.errors_out += len(errors)
        result.about_source_uids += sum(is_about_a_source_uid(error) for error in errors)


def real(paths: list[Path], archive: Orthanc) -> Iterator[str]:
    """The table of studies."""
    yield ("| study | files in | errors in | MR stacks | files out | errors out | of these about the source's UIDs | "
           + " | ".join(f"SEG by {who}" for who in WHO) + " | derived MR by ITK |")  # fmt: skip
    yield "|---" * (len(WHO) + 8) + "|"
    for path in paths:
        one = judged(path, archive)
        counts = (one.files_in, one.errors_in, one.stacks, one.files_out, one.errors_out, one.about_source_uids)
        cells = [shown(one.worst[who]) if who in one.worst else "" for who in (*WHO, "ITK")]
        yield f"| {path.stem} | " + " | ".join([*(f"{count:,}" for count in counts), *cells]) + " |"
        for why in sorted(set(one.left_out)):
            print(f"{path.stem}: not read, {why}", file=sys.stderr)


def table(name: str, lines: Iterator[str], *, into_docs: bool) -> None:
    """Print a table as it grows, and put it between its marks in the page."""
    rows = []
    for row in lines:
        print(row, flush=True)
        rows.append(row)
    print()
    if into_docs:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->\n")
        inner = "\n".join(rows)
        PAGE.write_text(f"{before}<!-- {name} -->\n{inner}\n<!-- /{name} -->\n{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Round trips of written DICOM, and dciodvfy's counts.")
    parser.add_argument("studies", nargs="*", type=Path)
    parser.add_argument("--docs", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, running(Path(work)) as archive:
        table("grids", made_up(archive), into_docs=chosen.docs)
        if chosen.studies:
            table("studies", real(chosen.studies, archive), into_docs=chosen.docs)


if __name__ == "__main__":
    main()
