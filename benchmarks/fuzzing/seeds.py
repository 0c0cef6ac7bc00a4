"""Small valid files of every kind that mediseg reads, made here, and a few real DICOM files where a folder has some."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.heads import shaded_ball
from tests.io.dicom_factory import ramp, sagittal, write_enhanced, write_series

SHAPE = (6, 5, 4)
_LARGEST_REAL = 600_000


@dataclass(frozen=True)
class Seed:
    """A valid input: the file that is spoilt, and what lies beside it (name -> bytes)."""

    name: str
    data: bytes
    beside: tuple[tuple[str, bytes], ...] = ()


def make(folder: Path, real: Path | None) -> dict[str, list[Seed]]:
    """Return the seeds of each kind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {
        "volume": _volumes(folder), "sur": _sur(folder), "dicom": _dicom(folder) + _real(real), "zip": _zips(folder),
        "seg": _segmentation(folder), "recipe": _recipes(), "roi": _roi(folder), "manifest": _manifests(),
        "report": _reports(), "node": _node(), "bids": _bids(),
    }  # fmt: skip


def _volumes(folder: Path) -> list[Seed]:
    import nibabel
    import SimpleITK

    ball = shaded_ball(12)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    for name, kind in (("a.nii", np.int16), ("b.nii.gz", np.float32), ("c.nii", np.uint8), ("h.nii", np.float64)):
        nibabel.save(nibabel.Nifti1Image(ball.astype(kind), affine), folder / name)
    nibabel.save(nibabel.Nifti2Image(ball.astype(np.int16), affine), folder / "n2.nii")
    for name in ("m.mgh", "m.mgz"):
        nibabel.save(nibabel.MGHImage(ball.astype(np.float32), affine), folder / name)
    image = SimpleITK.GetImageFromArray(ball.astype(np.int16))
    image.SetSpacing((2, 2, 2))
    for name, packed in (
        ("i.mha", False),
        ("j.mha", True),
        ("k.nrrd", False),
        ("l.nrrd", True),
        ("o.mhd", False),
        ("p.nhdr", False),
    ):
        SimpleITK.WriteImage(image, str(folder / name), packed)
    single = ("a.nii", "b.nii.gz", "c.nii", "h.nii", "n2.nii", "m.mgh", "m.mgz", "i.mha", "j.mha", "k.nrrd", "l.nrrd")
    seeds = [Seed(name, (folder / name).read_bytes()) for name in single]
    for name in ("o.mhd", "p.nhdr"):
        pixels = next(path for path in folder.glob(f"{name[0]}.*") if path.name != name)
        seeds.append(Seed(name, (folder / name).read_bytes(), ((pixels.name, pixels.read_bytes()),)))
    return seeds


def _sur(_: Path) -> list[Seed]:
    head = bytearray(512)
    struct.pack_into("<ii", head, 0, 6, 5)
    struct.pack_into("<ff", head, 0x1BC, 6.0, 5.0)
    sur = bytes(head) + np.arange(30, dtype="<u2").tobytes()
    places = b"widest: 6\nstations:\n- {file: a.sur, corner: [1, 2], level: 900, width: 1800}\n"
    return [Seed("a.sur", sur, (("stations.yaml", places),)), Seed("stations.yaml", places, (("a.sur", sur),))]


def _study(folder: Path, **more: object) -> list[Path]:
    return sorted(write_series(folder, ramp(SHAPE), sagittal(SHAPE), **more))


def _with_neighbours(paths: list[Path]) -> list[Seed]:
    first, *others = paths
    return [Seed(first.name, first.read_bytes(), tuple((path.name, path.read_bytes()) for path in others))]


def _dicom(folder: Path) -> list[Seed]:
    from pydicom import dcmread
    from pydicom.uid import JPEGLSLossless, RLELossless

    seeds = _with_neighbours(_study(folder / "plain"))
    for syntax in (RLELossless, JPEGLSLossless):
        paths = _study(folder / f"packed{syntax[-2:]}")
        for path in paths:
            dataset = dcmread(path)
            dataset.compress(syntax)
            dataset.save_as(path)
        seeds += _with_neighbours(paths)
    enhanced = write_enhanced(folder / "enhanced.dcm", ramp(SHAPE), sagittal(SHAPE))
    return [*seeds, Seed(enhanced.name, enhanced.read_bytes())]


def _real(folder: Path | None) -> list[Seed]:
    """One file of each real study that is small enough, with two neighbours of its series."""
    seeds = []
    for path in sorted(folder.glob("*.zip")) if folder is not None else []:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if 1000 < one.file_size < _LARGEST_REAL]
            chosen = members[len(members) // 3 :][:3]
            contents = [archive.read(one) for one in chosen]
        if contents:
            beside = tuple((f"n{n}.dcm", content) for n, content in enumerate(contents[1:]))
            seeds.append(Seed(f"{path.stem}.dcm", contents[0], beside))
    return seeds


def _zips(folder: Path) -> list[Seed]:
    made = []
    for name in ("plain", "packed.5"):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / name).glob("*")):
                archive.write(path, f"study/{path.name}")
        if content.getbuffer().nbytes > 100:
            made.append(Seed(f"{name}.zip", content.getvalue()))
    return made


def _segmentation(folder: Path) -> list[Seed]:
    from mediseg import Segment, Segmentation, load, write

    head = load(folder / "plain")
    labels = np.zeros(head.geometry.shape, np.uint8)
    labels[1:4, 1:4, 1:3] = 1
    write(Segmentation(labels, head.geometry, (Segment(1, "brain"),)), folder / "seg.dcm", source=head)
    return [Seed("seg.dcm", (folder / "seg.dcm").read_bytes())]


def _recipes() -> list[Seed]:
    folder = Path(__file__).parents[2] / "pipelines"
    return [Seed(path.name, path.read_bytes()) for path in sorted(folder.glob("*.yaml"))]


def _roi(folder: Path) -> list[Seed]:
    from mediseg.io.jsonfiles import write_roi
    from mediseg.volume import RotatedROI

    path = write_roi(RotatedROI(np.zeros(3), np.eye(3), (10.0, 20.0, 5.0)), folder / "roi.json")
    return [Seed("roi.json", path.read_bytes())]


def _manifests() -> list[Seed]:
    text = b"""schema_version: '1.0'
defaults: {licence: CC0-1.0, origin: made here, structure: brain}
entries:
  - {id: a, image: a.nii, label: a.nii, prediction: a.nii, split: test}
  - {id: b, image: a.nii, label: absent, split: train}
"""
    table = b"""schema_version: '1.0'
defaults: {licence: CC0-1.0, origin: made here, structure: brain}
split: {test: 0.3, train: rest}
table:
  file: t.csv
  entry: {id: '{name}', image: a.nii, label: a.nii, group: '{site}'}
"""
    rows = b"name,site\na0,Pitt\na1,Olin\n"
    image = ("a.nii", b"x")
    return [
        Seed("manifest.yaml", text, (image,)),
        Seed("table.yaml", table, (("t.csv", rows), image)),
        Seed("t.csv", rows, (("table.yaml", table), image)),
    ]


def _reports() -> list[Seed]:
    from tests.report import factory

    return [Seed("report.json", factory.case({"localization": factory.localization()}).to_json())]


def _node() -> list[Seed]:
    text = b"""folder: data
ae_title: MEDISEG
port: 11112
callers:
  - {ae_title: SCANNER, address: 127.0.0.1}
rules:
  - {recipe: bias, modality: MR, description: "T1"}
destinations:
  - {ae_title: PACS, host: 127.0.0.1, port: 104}
"""
    return [Seed("node.yaml", text)]


def _bids() -> list[Seed]:
    return [Seed("dataset_description.json", json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}).encode())]
