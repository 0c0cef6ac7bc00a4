"""Small data sets on disk, as a manifest describes them."""

import numpy as np
from PIL import Image

HEAD = 'schema_version: "1.0"\ndefaults: {licence: CC0, origin: made here, pixel_mm: 0.5, split: test}\n'


def write_picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def slices(folder, count=3):
    """``a0``, ``a1``, ...: 8-bit pictures (10 rows, 12 columns) with a mask of 255 in rows 2..5, columns 3..8."""
    for n in range(count):
        write_picture(folder / f"images/a{n}.png", np.full((10, 12), 10 * n))
        mask = np.zeros((10, 12))
        mask[2:6, 3:9] = 255
        write_picture(folder / f"masks/a{n}.png", mask)


def write_manifest(folder, text):
    path = folder / "manifest.yaml"
    path.write_text(text)
    return path
