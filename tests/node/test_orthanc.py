"""The whole way with real peers: DCMTK sends a study, the node works on it, Orthanc receives and shows the results."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")
pytest.importorskip("fpdf")

import numpy as np

from mediseg.io import load
from mediseg.io.dicom.outputs import write_report_pdf
from mediseg.io.dicom.uids import DicomOptions
from mediseg.node.audit import Audit
from mediseg.node.config import Caller, Destination, NodeConfig, Rule, WebDestination
from mediseg.node.job import Outcome
from mediseg.node.queue import Queue
from mediseg.node.receive import Receiver
from mediseg.node.service import Service
from mediseg.report.pdf import render_pdf
from tests import dcmtk
from tests.io.orthanc import needs_dicomweb, needs_orthanc, running
from tests.io.roundtrip import CASES, written

LOCAL = "127.0.0.1"
SEG, SR, MR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.4"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


def _worked(path, out, config, stopped):
    """Write one object of every kind that recipes give; made up, as is the study."""
    head = load(path)
    folder = out / "case" / "dicom"
    _, paths = written(head, folder)
    pdf = render_pdf([np.full((60, 40, 3), 200, np.uint8)], "mediseg report")
    paths += write_report_pdf(pdf, head, folder, DicomOptions(), "mediseg report")
    return Outcome("done", "", "stub", tuple(paths))


@pytest.mark.conformance
@needs_orthanc
@pytest.mark.parametrize("way", ["C-STORE", pytest.param("STOW-RS", marks=needs_dicomweb)])
def test_orthanc_receives_and_shows_what_the_node_made(tmp_path, way):
    (storescu,) = dcmtk.needed("storescu")
    CASES["sagittal"](tmp_path / "study")
    with running(tmp_path / "orthanc", network=True) as archive:
        by_dimse = Destination("ORTHANC", LOCAL, archive.dicom_port)
        destination = by_dimse if way == "C-STORE" else WebDestination(archive.dicomweb)
        config = NodeConfig(
            tmp_path / "node", (Rule("bias"),), port=0, callers=(Caller("SCANNER"),), free_mb=1, quiet_seconds=0,
            destinations=(destination,),
        )  # fmt: skip
        queue = Queue(config.folder)
        audit = Audit(config.folder)
        receiver, service = Receiver(config, queue, audit), Service(config, queue, audit, _worked)
        receiver.start()
        try:
            files = [str(path) for path in Path(tmp_path / "study").iterdir()]
            command = [storescu, "-aet", "SCANNER", "-aec", "MEDISEG", LOCAL, str(receiver.port), *files]
            assert subprocess.run(command, check=False).returncode == 0
            assert service.work()
            assert service.send()
        finally:
            receiver.stop()
            sendings = queue.sendings()
            queue.close()
        assert set(sendings) == {"sent"}, (config.folder / "audit.jsonl").read_text()
        headers = {one: archive.tags(one) for one in archive.get("/instances")}
        kinds = Counter(header["SOPClassUID"] for header in headers.values())
        assert kinds == {SEG: 2, SR: 1, MR: 1 + 9, PDF: 1}  # brain and callosum; mid-sagittal image and corrected head
        assert sum(kinds.values()) == sendings["sent"]
        assert len({header["StudyInstanceUID"] for header in headers.values()}) == 1
        assert {header["Modality"] for header in headers.values()} == {"SEG", "SR", "MR", "DOC"}
        for one, header in headers.items():
            if header["SOPClassUID"] == MR:
                assert archive.preview(one).startswith(b"\x89PNG")
            if header["SOPClassUID"] == SEG:  # of one bit a pixel it shows the header and gives the pixels
                assert any(archive.pixels(one))
            if header["SOPClassUID"] == SR:
                assert header["ContentSequence"]
            if header["SOPClassUID"] == PDF:
                assert b"%PDF-" in archive.file(one)
