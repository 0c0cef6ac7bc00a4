"""A corrected label, kept for training and judging: one entry of a manifest, with who (a role), which model, when."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mediseg.errors import Refusal, UsageError
from mediseg.evaluate.manifest_file import EntryFile, ManifestFile, as_yaml, checked
from mediseg.io import write, yamltext
from mediseg.io.atomic import write_text_atomically
from mediseg.volume import Segmentation, Volume

#: What a label's maker may be called: a role, never a name
ROLES = ("physician", "radiologist", "radiographer", "researcher", "engineer", "student", "software", "unknown")


@dataclass(frozen=True)
class About:
    """What a correction is: the maker's role, the model that was corrected, and what the data may be used for.

    ``time`` is ISO 8601; now where nothing is said.
    """

    role: str
    model: str = ""
    structure: str = "callosum"
    split: str = "train"
    licence: str = "not stated"
    origin: str = "corrected by hand"
    group: str = ""
    time: str = ""


def keep_correction(manifest: str | Path, image: Volume, label: Segmentation, about: About) -> str:
    """Write an image and its corrected label beside a manifest, add their entry to it, and return the entry's id.

    The id is made from the image's content, so no name can stand in it, and correcting an image again replaces its
    label. The manifest is made where there is none. Raises Refusal where the two lie on different grids or the label is
    empty, UsageError for a role that is none or a manifest that is wrong, OutputError.
    """
    where = Path(manifest)
    if not label.geometry.same_grid(image.geometry, tolerance_mm=1e-2):
        raise Refusal("the label lies on another grid than the image: correct the label that belongs to it")
    if not label.labels.any():
        raise Refusal(
            "the label is empty: paint it first; a manifest entry without it would teach that nothing is there"
        )
    identity = f"fix-{_digest(image)}-{about.structure}"
    entry: EntryFile = checked(
        {
            "id": identity,
            "image": f"images/{identity}.nii.gz",
            "label": f"labels/{identity}.nii.gz",
            "structure": about.structure,
            "split": about.split,
            "licence": about.licence,
            "origin": about.origin,
            "annotator": about.role,
            "time": about.time or dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            **{key: value for key, value in (("model", about.model), ("group", about.group)) if value},
        },
        where.name,
        EntryFile,
    )
    file = _opened(where)
    root = where.parent / (file.root or ".")
    write(image, root / entry.image)
    write(label, root / str(entry.label))
    others = tuple(one for one in file.entries if one.id != identity)
    write_text_atomically(where, as_yaml(file.model_copy(update={"entries": (*others, entry)})))
    return identity


def _opened(where: Path) -> ManifestFile:
    if not where.exists():
        return ManifestFile(schema_version="1.0", name="corrections")
    try:
        text = where.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the manifest {where}: {error.strerror or error}") from error
    file: ManifestFile = checked(yamltext.parsed(text, where.name), where.name)
    return file


def _digest(image: Volume) -> str:
    total = hashlib.sha256(np.ascontiguousarray(image.array).tobytes())
    total.update(np.round(image.geometry.affine_lps, 6).tobytes())
    return total.hexdigest()[:10]
