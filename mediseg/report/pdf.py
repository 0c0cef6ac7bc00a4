"""The report as a PDF: the pages that render_pages draws, A4, without loss. Needs fpdf2 (extra ``node`` or ``pdf``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError

_A4_MM = (210.0, 297.0)


def needs_fpdf() -> None:
    """Raise UsageError where the PDF library is missing."""
    if find_spec("fpdf") is None:
        raise UsageError('a report as PDF needs fpdf2: pip install "mediseg[pdf]"')


def render_pdf(pages: Sequence[npt.NDArray[np.uint8]], title: str) -> bytes:
    """Return pages (rows, columns, red green blue) as one PDF; the same pages and title give the same bytes.

    ``title`` names the kind of report, never the patient. Raises UsageError where fpdf2 is missing.
    """
    needs_fpdf()
    from fpdf import FPDF
    from PIL import Image

    made = FPDF(unit="mm", format="A4")
    made.set_auto_page_break(False)
    made.set_margin(0)
    made.set_image_filter("FlateDecode")  # JPEG blurs letters
    made.set_title(title)
    made.set_lang("en")
    made.set_creator("mediseg")
    made.set_creation_date(datetime(2000, 1, 1, tzinfo=UTC))  # the DICOM header around it says when it was made
    for n, page in enumerate(pages, 1):
        made.add_page()
        text = f"{title}, page {n} of {len(pages)}"
        made.image(Image.fromarray(page), x=0, y=0, w=_A4_MM[0], h=_A4_MM[1], alt_text=text)
    return bytes(made.output())
