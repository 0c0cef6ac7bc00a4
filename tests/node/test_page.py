"""The status page through its own door: who may look, who may change something, what is shown, no names."""

import dataclasses
import time

import pytest

from mediseg.cli import main
from mediseg.errors import UsageError
from mediseg.node import view
from mediseg.node.audit import Audit
from mediseg.node.config import Destination, NodeConfig, Rule, StatusPage
from mediseg.node.queue import Queue

pytest.importorskip("pynetdicom")
pytest.importorskip("starlette")
pytest.importorskip("httpx")

from mediseg.node.page import COOKIE, Page, show
from mediseg.node.receive import study_key
from tests.asgi import Client

TOKEN = "a-token-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PACS = Destination("PACS", "127.0.0.1", 104)


@pytest.fixture
def config(tmp_path):
    return NodeConfig(tmp_path / "node", (Rule("bias"),), destinations=(PACS,), quiet_seconds=1e6)


@pytest.fixture
def queue(config):
    made = Queue(config.folder)
    yield made
    made.close()


def _client(config, queue, base_url="http://127.0.0.1"):
    return Client(Page(config, queue, Audit(config.folder), TOKEN, 11112).app(), base_url)


@pytest.fixture
def client(config, queue):
    return _client(config, queue)


def _ended(queue, config, key, state, reason="", sends=()):
    folder = config.folder / "received" / key
    folder.mkdir(parents=True)
    (folder / "a.dcm").write_bytes(b"x")
    queue.received(key, folder, "a.dcm", "aa", time.time() - 5400)
    queue.complete(key)
    work = queue.take()
    queue.finish(work, state, reason, "bias", time.time() - 5400, sends)


def _form_key(client):
    return client.get("/").text.split('name="form_key" value="')[1].split('"')[0]


def test_an_empty_queue_says_what_to_do(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "Nothing has been received yet" in page.text
    assert "MEDISEG on 127.0.0.1:11112" in page.text
    assert "Research use only" in page.text


def test_every_state_is_shown_with_its_reason_and_what_can_be_done(client, queue, config):
    _ended(queue, config, "study-1", "failed", "<script>alert(1)</script>")
    _ended(queue, config, "study-2", "done", "", [(config.folder / "seg.dcm", PACS.name)])
    queue.not_sent(queue.due(time.time(), PACS.name)[0], "no answer", time.time(), forever=True)
    (config.folder / "results" / "study-2" / "case-1").mkdir(parents=True)
    (config.folder / "results" / "study-2" / "case-1" / "report.html").write_text("<p>report</p>")
    queue.received("study-3", config.folder / "received" / "study-3", "a.dcm", "aa", time.time())
    text = client.get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "1 given up: no answer" in text
    assert 'href="/works/study-2/reports/case-1"' in text
    assert "1 h ago" in text
    for action, key in (("retry", "study-1"), ("drop", "study-2"), ("complete", "study-3")):
        assert f'action="/works/{key}/{action}"' in text
    assert 'action="/works/study-3/retry"' not in text
    report = client.get("/works/study-2/reports/case-1")
    assert report.text == "<p>report</p>"
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert client.get("/?state=failed").text.count('scope="row"') == 1


def test_it_asks_for_nothing_and_runs_no_script(client):
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    for word in ("<script", "http://", "https://", "src=", "url("):
        assert word not in page.text


@pytest.mark.parametrize("path", ["..%2f..%2ftoken", "case-2", "%2e%2e"])
def test_only_reports_are_given_out(client, queue, config, path):
    _ended(queue, config, "study-1", "done")
    (config.folder / "results" / "study-1" / "case-1").mkdir(parents=True)
    (config.folder / "results" / "study-1" / "case-1" / "report.html").write_text("x")
    assert client.get(f"/works/study-1/reports/{path}").status_code == 404
    assert client.get("/works/..%2fresults/reports/case-1").status_code == 404


def test_a_button_retries_and_drops(client, queue, config):
    _ended(queue, config, "study-1", "failed", "why")
    key = _form_key(client)
    answer = client.post("/works/study-1/retry", data={"form_key": key})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?did=retry&work=study-1")
    assert "study-1 is queued again." in client.get(answer.headers["location"]).text
    assert [w.state for w in queue.works()] == ["queued"]
    again = client.post("/works/study-1/retry", data={"form_key": key})
    assert "retry is not possible now" in client.get(again.headers["location"]).text
    assert client.post("/works/study-1/drop", data={"form_key": key}).status_code == 303
    assert queue.works() == []
    assert not (config.folder / "received" / "study-1").exists()
    assert not (config.folder / "bin").exists()
    log = (config.folder / "audit.jsonl").read_text()
    assert '"event": "retry"' in log
    assert '"event": "drop"' in log


def test_another_sites_form_changes_nothing(client, queue, config):
    _ended(queue, config, "study-1", "failed", "why")
    assert client.post("/works/study-1/drop", data={}).status_code == 403
    assert client.post("/works/study-1/drop", data={"form_key": TOKEN}).status_code == 403
    assert client.post("/works/study-1/drop", content=b"x" * 5000).status_code == 413
    alien = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/works/study-1/drop", data={"form_key": _form_key(client)}, headers=alien).status_code == 403
    assert [w.state for w in queue.works()] == ["failed"]


def test_another_host_name_is_refused(config, queue):
    assert _client(config, queue, "http://evil.example").get("/").status_code == 400


@pytest.mark.parametrize("status", [StatusPage(token=True), StatusPage(host="0.0.0.0")])
def test_off_loopback_or_when_told_so_the_token_is_wanted(config, queue, status):
    client = _client(dataclasses.replace(config, status=status), queue)
    for path in ("/", "/v1/works", "/works/study-1/reports/x"):
        assert client.get(path).status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/v1/works", headers=BEARER).status_code == 200
    answer = client.get(f"/?token={TOKEN}")
    assert answer.status_code == 303
    assert "HttpOnly; Path=/; SameSite=strict" in answer.headers["set-cookie"]
    client.cookies = {COOKIE: TOKEN}
    assert client.get("/").status_code == 200


def test_a_program_tells_a_study_complete_by_its_uid(client, queue, config):
    uid = "1.2.3.4"
    key = study_key(uid)
    queue.received(key, config.folder / "received" / key, "a.dcm", "aa", time.time())
    path = f"/v1/studies/{uid}/complete"
    assert client.post(path).status_code == 401
    assert client.post("/v1/studies/9.9/complete", headers=BEARER).status_code == 404
    answer = client.post(path, headers=BEARER)
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert client.get(f"/v1/works/{key}").json()["objects"] == 1
    assert queue.take().key == key
    assert client.post(path, headers=BEARER).json()["state"] == "running"
    assert client.post(f"/v1/works/{key}/drop", headers=BEARER).status_code == 409
    listed = client.get("/v1/works?state=running").json()
    assert ([w["work"] for w in listed["works"]], listed["counts"]) == ([key], {"running": 1})
    queue.finish(queue.works()[0], "done", "", "bias", time.time())
    dropped = client.post(f"/v1/works/{key}/drop", headers=BEARER)
    assert dropped.json() == {"work": key, "state": "dropped"}
    assert dropped.headers["Cache-Control"] == "no-store"


def test_what_is_not_there_is_one_line(client):
    assert client.post("/v1/works/study-9/retry", headers=BEARER).json() == {
        "error": "there is no such work in the queue"
    }
    assert client.post("/v1/works/study-9/explode", headers=BEARER).status_code == 404
    assert client.get("/?state=nothing").status_code == 404
    assert client.get("/v1/works?state=nothing").status_code == 400


def test_many_studies_are_paged(client, queue, config):
    for n in range(130):
        queue.received(f"study-{n:03}", config.folder, "a.dcm", "aa", float(n))
    first = client.get("/")
    assert first.text.count('scope="row"') == 25
    assert "The latest 25 of 130" in first.text
    second = client.get("/?state=receiving&page=2").text
    assert second.count('scope="row"') == 30
    assert "page 2 of 2" in second
    assert "Newer" in second
    assert client.get("/?state=receiving&page=99").text.count('scope="row"') == 30


def test_the_page_beside_a_node_and_a_port_that_is_taken(config, queue):
    import urllib.request

    settings = dataclasses.replace(config, status=StatusPage(port=0))
    listener, address = show(settings, queue, Audit(config.folder), 11112)
    try:
        with urllib.request.urlopen(address, timeout=90) as answer:
            assert b"Studies of this node" in answer.read()
        taken = dataclasses.replace(config, status=StatusPage(port=listener.port))
        with pytest.raises(UsageError, match=f"port {listener.port} of 127.0.0.1 cannot be used"):
            show(taken, queue, Audit(config.folder), 11112)
    finally:
        listener.stop()


def test_how_long_ago():
    assert [view.ago(s) for s in (0, 5.9, 60, 7300, 200000)] == ["now", "5 s ago", "1 min ago", "2 h ago", "2 d ago"]


def test_the_configuration_of_the_page(tmp_path, capsys):
    text = "folder: node\nrules: [{recipe: bias}]\n"
    for line, said in (
        ("status: {port: 70000}", "there is no port 70000"),
        ("status: {token: 1}", "token is 1, and has to be bool"),
        ("status: {prot: 1}", '"prot" is unknown (did you mean "port"?)'),
    ):
        (tmp_path / "node.yaml").write_text(text + line + "\n")
        assert main(["node", str(tmp_path / "node.yaml"), "--status"]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "node.yaml").write_text(text + "status: false\n")
    assert main(["node", str(tmp_path / "node.yaml"), "--status"]) == 0
