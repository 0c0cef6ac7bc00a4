"""The node's TLS, both ways, with certificates that the test makes; who shows none of the hospital's stays outside."""

import dataclasses
import socket
import subprocess
import time

import pytest

from mediseg.errors import UsageError
from mediseg.node.audit import Audit
from mediseg.node.config import Caller, Destination, NodeConfig, Rule, Tls
from mediseg.node.queue import Sending
from mediseg.node.receive import Receiver
from mediseg.node.send import send_all
from tests import dcmtk
from tests.io.dicom_factory import ramp, sagittal, write_series
from tests.node.listening import LOCAL, listening
from tests.ports import kept_port

pynetdicom = pytest.importorskip("pynetdicom")
trustme = pytest.importorskip("trustme")
SHAPE = (6, 5, 2)


def _identity(folder, authority, name):
    made = authority.issue_cert(f"{name}.hospital.example")
    made.private_key_pem.write_to_path(folder / f"{name}.key")
    made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return Tls(str(folder / f"{name}.pem"), str(folder / f"{name}.key"), str(folder / "hospital.pem"))


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    """The node's, a scanner's, and one of another authority."""
    folder, hospital = tmp_path_factory.mktemp("tls"), trustme.CA()
    hospital.cert_pem.write_to_path(folder / "hospital.pem")
    return [
        _identity(folder, ca, name) for ca, name in ((hospital, "node"), (hospital, "scanner"), (trustme.CA(), "x"))
    ]


@pytest.fixture
def node(tmp_path, identities):
    with listening(tmp_path / "node", Caller("SCANNER"), tls=identities[0]) as found:
        yield found


def _options(tls):
    return ["+tls", tls.key, tls.certificate, "+cf", tls.authority]


def _sent(program, port, tls_options, paths):
    command = [program, "-to", "20", "-ta", "20", "-aet", "SCANNER", "-aec", "MEDISEG", *tls_options, LOCAL, str(port)]
    return subprocess.run([*command, *map(str, paths)], check=False, capture_output=True, timeout=120).returncode


@pytest.mark.conformance
def test_only_who_shows_the_hospitals_certificate_is_let_in(node, identities, tmp_path):
    (storescu,) = dcmtk.needed("storescu")
    receiver, queue, _ = node
    paths = write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    assert _sent(storescu, receiver.port, [], paths) != 0
    stranger = dataclasses.replace(identities[2], authority=identities[0].authority)
    assert _sent(storescu, receiver.port, _options(stranger), paths) != 0
    assert queue.works() == []
    assert _sent(storescu, receiver.port, _options(identities[1]), paths) == 0
    assert [queue.objects(work.key) for work in queue.works()] == [2]


def test_who_connects_and_says_nothing_keeps_nobody_out(node, identities):
    receiver, _, config = node
    silent = [socket.create_connection((LOCAL, receiver.port)) for _ in range(3)]
    try:
        from mediseg.node.send import _client_context

        entity = pynetdicom.AE(ae_title="SCANNER")
        entity.acse_timeout = entity.connection_timeout = 60
        entity.add_requested_context("1.2.840.10008.1.1")
        context = _client_context(dataclasses.replace(config, tls=identities[1]))
        association = entity.associate(LOCAL, receiver.port, ae_title="MEDISEG", tls_args=(context, None))
        assert association.is_established
        assert association.send_c_echo().Status == 0
        association.release()
    finally:
        for one in silent:
            one.close()


@pytest.mark.conformance
def test_results_go_to_an_archive_with_tls(identities, tmp_path):
    (storescp,) = dcmtk.needed("storescp")
    paths = write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    (tmp_path / "archive").mkdir()
    with kept_port() as port:
        _sent_with_and_without(storescp, port, paths, identities, tmp_path)


def _sent_with_and_without(storescp, port, paths, identities, tmp_path):
    command = [storescp, *_options(identities[1]), "-rc", "-od", str(tmp_path / "archive"), "-aet", "PACS", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    destination, told = Destination("PACS", LOCAL, port), []
    sendings = [Sending(n, "study-1", path, destination.name, 0) for n, path in enumerate(paths)]
    config = NodeConfig(tmp_path / "node", (Rule("bias"),), tls=identities[0])
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:  # until it listens
            told.clear()
            send_all(config, destination, sendings, lambda one, why, forever: told.append((one.id, why, forever)))
            if all(not why for _, why, _ in told):
                break
            time.sleep(0.2)
        assert told == [(0, "", False), (1, "", False)]
        assert len(list((tmp_path / "archive").iterdir())) == 2
        plain = dataclasses.replace(config, tls=None)
        send_all(plain, destination, sendings[:1], lambda one, why, forever: told.append(why))
        assert "does not answer or refuses" in told[-1]
    finally:
        server.terminate()
        server.wait()


def test_files_that_are_no_certificate_are_one_line(node, identities, tmp_path):
    _, queue, config = node
    (tmp_path / "x.pem").write_text("no certificate")
    for tls in (Tls(str(tmp_path / "x.pem"), identities[0].key, identities[0].authority),
                Tls(identities[0].certificate, identities[1].key, identities[0].authority),
                Tls(identities[0].certificate, identities[0].key, str(tmp_path / "none.pem"))):  # fmt: skip
        broken = dataclasses.replace(config, tls=tls)
        with pytest.raises(UsageError, match="tls: certificate, key or authority cannot be used"):
            Receiver(broken, queue, Audit(config.folder)).start()
