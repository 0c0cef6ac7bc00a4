"""Files to layers: a DICOM folder or zip, NIfTI, MGH, NRRD, MetaImage, ``.sur``, DICOM SEG, roi.json, a case folder."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_mediseg.layers import LayerTuple, Origin, image_layer, labels_layer

if TYPE_CHECKING:
    from mediseg import Volume

Reader = Callable[[str | Sequence[str]], list[LayerTuple]]

VOLUMES = (".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".nhdr", ".mha", ".mhd", ".sur")
_LOOKED_AT = 60
_MOST_LABELS = 64


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader of a path, or of several that are all ours; None for anything else. Decodes nothing."""
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    return read if paths and all(_is_ours(one) for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerTuple]:
    """Return the layers of what lies at a path. Raises mediseg's errors, one line each."""
    from napari_mediseg.viewing import watch_current_viewer

    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    layers = [layer for one in paths for layer in read_one(one)]
    watch_current_viewer()
    return layers


def read_one(path: Path) -> list[LayerTuple]:
    """Return the layers of one file, folder or zip."""
    if path.is_dir() and _is_case(path):
        from napari_mediseg.cases import read_case

        return read_case(path)
    name = path.name.lower()
    if name.endswith("roi.json"):
        from mediseg.io import read_roi
        from napari_mediseg.shapes import roi_layer

        return [roi_layer(read_roi(path))]
    if name.endswith(VOLUMES):
        return [_file_layer(path)]
    if path.is_file() and _is_segmentation(path):
        return [_segmentation_layer(path)]
    return _study_layers(path)


def _is_case(folder: Path) -> bool:
    """As ``cases.is_case``, which is loaded only where there is a report: what reads reports takes 0.4 s to load."""
    if not (folder / "report.json").is_file():
        return False
    from napari_mediseg.cases import is_case

    return is_case(folder)


def _is_segmentation(path: Path) -> bool:
    from mediseg.io import is_segmentation

    return is_segmentation(path)


def _is_ours(path: Path) -> bool:
    name = path.name.lower()
    if path.is_dir():
        return _is_case(path) or _holds_dicom(path)
    if name.endswith((*VOLUMES, "roi.json")):
        return True
    return path.is_file() and (_zip_of_dicom(path) if name.endswith(".zip") else _is_dicom(path))


def _is_dicom(path: Path) -> bool:
    """By its content: the mark at byte 128, or for files without it the first group's number."""
    try:
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError:
        return False
    return head[128:] == b"DICM" or (head[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x01\x00"))


def _holds_dicom(folder: Path) -> bool:
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in sorted(names))
    return any(_is_dicom(one) or one.name.upper() == "DICOMDIR" for one in islice(files, _LOOKED_AT))


def _zip_of_dicom(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            members = [one for one in packed.infolist() if not one.is_dir()]
            for one in members[:_LOOKED_AT]:
                with packed.open(one) as stream:
                    if stream.read(132)[128:] == b"DICM":
                        return True
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    return False


def _file_layer(path: Path) -> LayerTuple:
    import mediseg

    volume = mediseg.load(path)
    name = path.name.split(".")[0]
    if _looks_like_labels(volume):
        segments = tuple(mediseg.Segment(int(n), f"{name} {n}") for n in np.unique(volume.array) if n > 0)
        if len(segments) == 1:
            segments = (mediseg.Segment(segments[0].number, name.replace("_", " ")),)
        labels = mediseg.Segmentation(volume.array.astype(np.uint8), volume.geometry, segments)
        return labels_layer(labels, name, volume.source, path=path)
    return image_layer(volume, name, path=path)


def _looks_like_labels(volume: Volume) -> bool:
    """Whole numbers from 0 to 255, few of them different: an image has more. A sample is looked at first."""
    array = volume.array
    if not _few_whole(array.ravel()[:: max(1, array.size // 20_000)]):
        return False
    return _few_whole(array)


def _few_whole(array: npt.NDArray[Any]) -> bool:
    if not (array.min() >= 0 and array.max() <= 255) or not np.array_equal(array, np.rint(array)):
        return False
    return 2 <= int(np.count_nonzero(np.bincount(array.astype(np.uint8).ravel()))) <= _MOST_LABELS


def _segmentation_layer(path: Path) -> LayerTuple:
    from mediseg.io import read_segmentation

    return labels_layer(read_segmentation(path), path.stem, path=path)


def _study_layers(path: Path) -> list[LayerTuple]:
    """The best head of a study; where there is none, every stack that can be read, such as a spine's stations."""
    import mediseg
    from mediseg.io import load_stack, read_stack

    study = mediseg.open_study(path)
    try:
        head = load_stack(study, "head")
    except mediseg.Refusal as refusal:
        stacks = [one for one in study.stacks if one.unfit is None]
        if not stacks:
            raise refusal
        read_all = [(one.name, read_stack(one, study.identity)) for one in stacks]
        return [image_layer(volume, name, path=path) for name, volume in read_all]
    name = next((one.name for one in study.stacks if one.geometry == head.geometry), "head")
    return [image_layer(head, name, path=path)]


__all__ = ["Origin", "get_reader", "read", "read_one"]
