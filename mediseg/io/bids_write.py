"""``--layout bids``: the images of finished cases as a BIDS-derivatives dataset.

The dataset's root holds ``mediseg/``, the tree that mediseg always writes (reports, index, what BIDS has no name for;
``.bidsignore`` names it), and beside it ``sub-.../anat`` with masks, probabilities, labels and corrected images under
BIDS names. Those are hard links to the files in ``mediseg/`` where the file system has them, copies elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mediseg.errors import OutputError, UsageError
from mediseg.io.atomic import write_bytes_atomically
from mediseg.io.bids import DESCRIPTION, SUFFIXES, Name, parsed

#: Where the ordinary tree lies in the dataset
INNER = "mediseg"
VERSION = "1.10.0"
_OWN = '"mediseg"'


@dataclass(frozen=True)
class _Kind:
    """How a file is called in BIDS: ``desc``, the suffix (None: the source image's), and what its sidecar says."""

    desc: str
    suffix: str | None
    description: str
    more: tuple[str, object] = ("SpatialReference", "orig")

    def sidecar(self) -> dict[str, object]:
        return {"Description": self.description, "SpatialReference": "orig", **dict([self.more])}


_KINDS = {
    "brain_mask.nii.gz": _Kind("brain", "mask", "brain mask", ("Type", "Brain")),
    "corrected.nii.gz": _Kind("biascorrected", None, "head, divided by its bias field", ("SkullStripped", False)),
    "midsagittal.nii.gz": _Kind("midsagittal", None, "mid-sagittal plane of the head", ("SkullStripped", False)),
    "callosum.nii.gz": _Kind("callosum", "mask", "corpus callosum in the mid-sagittal plane", ("Type", "ROI")),
    "callosum_probability.nii.gz": _Kind("callosum", "probseg", "probability of the corpus callosum"),
    "callosum_parts.nii.gz": _Kind("callosumparts", "dseg", "parts of the corpus callosum, from front to back"),
}
_README = """Results of mediseg, as a BIDS-derivatives dataset. Research use only; not a medical device.

`mediseg/index.html` shows all cases; `mediseg/` holds their reports, measurements, ROI and slice plan, for which BIDS
has no names. The images in the folders of the subjects are the same files as there.
"""


def check_dataset(root: Path, cases: Iterable[str]) -> None:
    """Raise OutputError for a folder that is somebody else's, UsageError for cases that BIDS cannot tell apart."""
    try:
        held = {path.name for path in root.iterdir()} if root.exists() else set()
        text = (root / DESCRIPTION).read_text("utf-8", "replace") if DESCRIPTION in held else ""
    except OSError as error:
        raise OutputError(f"{root.name} cannot be used as --out: {error.strerror}") from error
    if held and (_OWN not in text or INNER not in held):
        raise OutputError(
            f"{root.name} holds files that mediseg has not written; --layout bids needs a folder of its own"
        )
    seen: dict[str, str] = {}
    for case in cases:
        key = "_".join((*_place(case)[:1], _place(case)[1] or "T1w")).casefold()
        if key in seen:
            raise UsageError(f'"{seen[key]}" and "{case}" are one subject for BIDS; name them apart with --case-name')
        seen[key] = case


def begin_dataset(root: Path, version: str) -> None:
    """Write what makes a folder a dataset. Raises OutputError."""
    described = {
        "Name": "mediseg results",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "mediseg", "Version": version}],
    }
    try:
        (root / INNER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the output folder {root.name}: {error.strerror}") from error
    write_bytes_atomically(root / DESCRIPTION, _json(described))
    write_bytes_atomically(root / ".bidsignore", f"{INNER}\n".encode())
    write_bytes_atomically(root / "README.md", _README.encode())


def write_case(root: Path, case: str, *, is_complete: bool) -> list[Path]:
    """Put a case's images under their BIDS names, and take away those of an earlier run that it no longer has.

    A case whose name is not of BIDS is the subject ``sub-<its letters and digits>``; as nothing says then what contrast
    it has, only masks and labels are written, not images. Raises OutputError.
    """
    entities, suffix = _place(case)
    session = Name(entities, "").value("ses")
    folder = root / f"sub-{Name(entities, '').value('sub')}"
    folder = (folder / f"ses-{session}" if session else folder) / "anat"
    written = []
    try:
        for file, kind in _KINDS.items():
            target = folder / f"{entities}_desc-{_desc(kind, suffix)}_{kind.suffix or suffix}.nii.gz"
            sidecar = target.with_name(target.name.replace(".nii.gz", ".json"))
            source = root / INNER / case / file
            if is_complete and source.is_file() and (kind.suffix or suffix):
                folder.mkdir(parents=True, exist_ok=True)
                _linked(source, target)
                write_bytes_atomically(sidecar, _json(kind.sidecar()))
                written += [target, sidecar]
            else:
                target.unlink(missing_ok=True)
                sidecar.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write the BIDS tree of {case}: {error.strerror}") from error
    return written


def _place(case: str) -> tuple[str, str | None]:
    """Return a case's entities, and the suffix of its image where its name tells."""
    name = parsed(case)
    if name is not None and name.suffix in SUFFIXES:
        kept = [one for one in name.entities.split("_") if not one.startswith("desc-")]
        return "_".join(kept), name.suffix
    label = re.sub(r"[^A-Za-z0-9]", "", case)
    if not label:
        raise UsageError(f'"{case}" has no letter or digit that BIDS takes; name the cases with --case-name')
    return f"sub-{label}", None


def _desc(kind: _Kind, suffix: str | None) -> str:
    """Say of which image a mask is where a subject has several: T1w is the usual one and not named."""
    if kind.suffix is None or suffix in (None, "T1w"):
        return kind.desc
    return f"{suffix}{kind.desc.capitalize()}"


def _linked(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, beside)
    beside.replace(target)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def write_dataset(root: Path, cases: Sequence[tuple[str, bool]]) -> None:
    """Put all cases (name, whether it is complete) into the dataset. Raises OutputError."""
    for case, is_complete in cases:
        write_case(root, case, is_complete=is_complete)
