"""A real archive for tests: Debian's Orthanc, started on a free port with a folder of its own, spoken to by REST."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ports import kept_port

PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
needs_dicomweb = pytest.mark.skipif(not _PLUGIN.exists(), reason="Orthanc's DICOMweb plugin is not installed")
needs_orthanc = pytest.mark.skipif(PROGRAM is None, reason="Orthanc is not installed")
_START_SECONDS = 300


@dataclass(frozen=True)
class Orthanc:
    """A running archive."""

    port: int
    dicom_port: int

    @property
    def dicomweb(self) -> str:
        """The address of its DICOMweb service."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def get(self, path: str) -> Any:
        """Return a JSON answer."""
        return json.loads(self._ask(path))

    def store(self, path: Path) -> str:
        """Send a file; return the archive's name of the instance. Raises HTTPError when the archive refuses it."""
        answer = json.loads(self._ask("/instances", path.read_bytes()))
        assert answer["Status"] in ("Success", "AlreadyStored"), answer
        return str(answer["ID"])

    def file(self, instance: str) -> bytes:
        """Return the whole file again."""
        return self._ask(f"/instances/{instance}/file")

    def tags(self, instance: str) -> dict[str, Any]:
        """Return the header as Orthanc reads it, by keyword."""
        answer: dict[str, Any] = self.get(f"/instances/{instance}/simplified-tags")
        return answer

    def pixels(self, instance: str) -> bytes:
        """Return the pixels as stored."""
        return self._ask(f"/instances/{instance}/content/7fe0-0010/0")

    def preview(self, instance: str) -> bytes:
        """Return the picture that Orthanc's own page shows (PNG)."""
        return self._ask(f"/instances/{instance}/preview")


@contextmanager
def running(folder: Path, *, network: bool = False) -> Iterator[Orthanc]:
    """Start an archive that stores in ``folder`` and stop it again; ``network``: by C-STORE and DICOMweb too."""
    folder.mkdir(parents=True, exist_ok=True)
    with kept_port() as port, kept_port() as dicom_port:
        yield from _running(folder, port, dicom_port, network)


def _running(folder: Path, port: int, dicom_port: int, network: bool) -> Iterator[Orthanc]:
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "HttpPort": port,
        "DicomServerEnabled": network, "DicomAet": "ORTHANC", "DicomPort": dicom_port, "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "OverwriteInstances": False,
        "Plugins": [str(_PLUGIN)] if network and _PLUGIN.exists() else [],
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    assert PROGRAM is not None
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen([PROGRAM, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            archive = Orthanc(port, dicom_port)
            _wait(lambda: archive.get("/system"), server, folder)
            if network:  # which begins after the above is answered
                _wait(lambda: socket.create_connection(("127.0.0.1", dicom_port)).close(), server, folder)
            yield archive
        finally:
            server.terminate()
            server.wait(timeout=300)


def _wait(answered: Callable[[], object], server: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            answered()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("Orthanc does not start: " + (folder / "log.txt").read_text(errors="replace")[-500:])


def orthanc_points(archive: Orthanc, instance: str) -> np.ndarray:
    """Patient points (n, 3) of every set voxel of a BINARY SEG, by Orthanc's reading of it and PS3.3 C.7.6.2.1.1."""
    tags = archive.tags(instance)
    rows, columns = int(tags["Rows"]), int(tags["Columns"])
    shared = tags["SharedFunctionalGroupsSequence"][0]
    bits = np.unpackbits(np.frombuffer(archive.pixels(instance), np.uint8), bitorder="little")
    found = []
    for number, frame in enumerate(tags["PerFrameFunctionalGroupsSequence"]):
        position = _numbers(frame, shared, "PlanePositionSequence", "ImagePositionPatient")
        cosines = _numbers(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
        between_rows, between_columns = _numbers(frame, shared, "PixelMeasuresSequence", "PixelSpacing")
        voxels = bits[number * rows * columns : (number + 1) * rows * columns].reshape(rows, columns)
        row, column = np.nonzero(voxels)
        found.append(
            position + column[:, None] * between_columns * cosines[:3] + row[:, None] * between_rows * cosines[3:]
        )
    return np.concatenate(found)


def _numbers(frame: dict[str, Any], shared: dict[str, Any], group: str, keyword: str) -> np.ndarray:
    place = frame.get(group) or shared[group]
    return np.array([float(word) for word in place[0][keyword].split("\\")])
