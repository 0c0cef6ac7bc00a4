"""STOW-RS against a small server that answers what it is told; Orthanc's is in test_orthanc.py."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mediseg.cli import main
from mediseg.node.config import NodeConfig, Rule, WebDestination
from mediseg.node.queue import Sending
from mediseg.node.send import send_all
from mediseg.node.stow import store_all

pytest.importorskip("pynetdicom")
REFUSED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0122]}}]}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), body))
        status, text = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def archive():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _sent(tmp_path, url, count, **options):
    paths = []
    for n in range(count):
        paths.append(tmp_path / f"{n}.dcm")
        paths[-1].write_bytes(b"DICM%d" % n)
    destination, told = WebDestination(url, **options), []
    sendings = [Sending(n, "study-1", path, destination.name, 0) for n, path in enumerate(paths)]
    config = NodeConfig(tmp_path / "node", (Rule("bias"),))
    send_all(config, destination, sendings, lambda one, why, forever: told.append((one.id, why, forever)))
    return told


def _url(server):
    return f"http://127.0.0.1:{server.server_address[1]}/dicom-web/"


def test_each_file_is_one_part_and_answers_are_understood(archive, tmp_path):
    archive.answers += [
        (200, b"{}"), (200, b"<xml/>"), (409, json.dumps(REFUSED).encode()), (202, json.dumps(REFUSED).encode()),
        (503, b"busy"), (415, b""), (409, b"no json"),
    ]  # fmt: skip
    (tmp_path / "secret").write_text("Bearer abc\n")
    told = _sent(tmp_path, _url(archive), 7, authorization=str(tmp_path / "secret"))
    assert told == [
        (0, "", False),
        (1, "", False),
        (2, "refused with failure reason 0x0122", True),
        (3, "refused with failure reason 0x0122", True),
        (4, "refused with HTTP status 503", False),
        (5, "refused with HTTP status 415", True),
        (6, "refused with HTTP status 409", False),
    ]
    path, headers, body = archive.asked[0]
    assert path == "/dicom-web/studies"
    assert headers["Authorization"] == "Bearer abc"
    kind, boundary = headers["Content-Type"].split("; boundary=")
    assert kind == 'multipart/related; type="application/dicom"'
    assert body == b"--%b\r\nContent-Type: application/dicom\r\n\r\nDICM0\r\n--%b--\r\n" % (2 * (boundary.encode(),))


def test_a_file_that_cannot_be_read_holds_up_no_other(archive, tmp_path):
    archive.answers.append((200, b"{}"))
    (tmp_path / "whole.dcm").write_bytes(b"DICM")
    destination, told = WebDestination(_url(archive)), []
    paths = (tmp_path, tmp_path / "whole.dcm")
    sendings = [Sending(n, "study-1", path, destination.name, 0) for n, path in enumerate(paths)]
    store_all(destination, sendings, lambda one, why, forever: told.append((one.id, why, forever)))
    assert told == [(0, "the file cannot be read (IsADirectoryError)", False), (1, "", False)]


def test_a_service_that_is_not_there_is_tried_again(tmp_path):
    assert _sent(tmp_path, "http://127.0.0.1:1/x", 2) == [
        (n, "http://127.0.0.1:1/x does not answer (ConnectionRefusedError)", False) for n in (0, 1)
    ]


def test_a_missing_secret_is_told_and_nothing_is_sent(archive, tmp_path):
    (told,) = _sent(tmp_path, _url(archive), 1, authorization=str(tmp_path / "none"))
    assert told == (0, "the authorization or authority file cannot be read (FileNotFoundError)", False)
    assert archive.asked == []


@pytest.mark.parametrize("url", ["ftp://pacs", "https://user:word@pacs/x", "pacs:8042", "https://pacs/x?y=1"])
def test_what_is_no_address_is_one_line_without_it(tmp_path, capsys, url):
    config = tmp_path / "node.yaml"
    config.write_text(f'folder: n\nrules: [{{recipe: bias}}]\ndestinations: [{{url: "{url}"}}]\n')
    assert main(["node", str(config), "--status"]) == 2
    assert "https://pacs:8043/dicom-web" in (said := capsys.readouterr().err)
    assert url not in said
    config.write_text("folder: n\nrules: [{recipe: bias}]\ndestinations: [{url: 'http://h:1/d'}]\nreport: sometimes\n")
    assert main(["node", str(config), "--status"]) == 2
    assert "one of pdf, pages, none" in capsys.readouterr().err
    assert not Path(tmp_path / "n").exists()
