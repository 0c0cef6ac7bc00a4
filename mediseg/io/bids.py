"""A BIDS directory as input: each anatomical image of each subject and session is a case, named as its file.

As https://bids-specification.readthedocs.io has it: ``sub-01[/ses-1]/anat/sub-01[_ses-1]..._T1w.nii.gz`` below a folder
with a ``dataset_description.json`` that gives the ``BIDSVersion``. Functional, diffusion and field map images and
everything below ``derivatives`` and ``sourcedata`` are no cases.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = "dataset_description.json"
#: Kinds of image that a head may be read from; maps and localizers are not among them
SUFFIXES = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "UNIT1")
_NAME = re.compile(r"(sub-[A-Za-z0-9]+(?:_[A-Za-z0-9]+-[A-Za-z0-9]+)*)_([A-Za-z0-9]+)")
_MOST_BYTES = 1_000_000
_UP_TO = 3  # a dataset's root is at most this far above a folder named anat


@dataclass(frozen=True)
class Name:
    """What a BIDS file's name says: ``sub-01_ses-2_run-1`` and ``T1w``."""

    entities: str
    suffix: str

    def value(self, key: str) -> str:
        """Return the label of an entity (``ses``), "" where the name has none."""
        found = (one.partition("-") for one in self.entities.split("_"))
        return next((label for name, _, label in found if name == key), "")


def parsed(stem: str) -> Name | None:
    """Return what a file's name without its ending says, None for a name that is not of BIDS."""
    found = _NAME.fullmatch(stem)
    return Name(found[1], found[2]) if found else None


def is_part_of_dataset(folder: Path) -> bool:
    """True for a dataset's root, and for a folder of a subject, a session or its anatomical images within one."""
    here = folder.absolute()
    if _is_root(here):
        return True
    for _ in range(_UP_TO):
        if not here.name.startswith(("sub-", "ses-")) and here.name != "anat":
            return False
        here = here.parent
        if _is_root(here):
            return True
    return False


def _is_root(folder: Path) -> bool:
    path = folder / DESCRIPTION
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return False
        described = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(described, dict) and "BIDSVersion" in described


def images(folder: Path) -> list[Path]:
    """Return the anatomical images below a dataset's root, or a part of it, in the order of their names.

    Links whose content is not here (git-annex) are among them.
    """
    levels = ("*", "anat/*", "ses-*/anat/*", "sub-*/anat/*", "sub-*/ses-*/anat/*")
    below = levels if folder.absolute().name == "anat" else levels[1:]
    return sorted({path for level in below for path in folder.glob(level) if _is_image(path)})


def _is_image(path: Path) -> bool:
    stem = next((path.name[: -len(end)] for end in (".nii.gz", ".nii") if path.name.endswith(end)), "")
    name = parsed(stem)
    return name is not None and name.suffix in SUFFIXES


def whole_of(path: Path) -> str:
    """Return what the stations of one spine have in common: the name without its ``chunk`` and ``run``."""
    return re.sub(r"_(chunk|run)-[A-Za-z0-9]+", "", path.name)
