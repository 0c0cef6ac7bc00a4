"""The status page in a real browser: no other request, nothing for axe-core, all reached by keyboard."""

import time

import pytest

from mediseg.node.audit import Audit
from mediseg.node.config import NodeConfig, Rule, StatusPage
from mediseg.node.queue import Queue
from tests.browser import looked_at

pytest.importorskip("pynetdicom")
pytest.importorskip("starlette")
from mediseg.node.page import show


@pytest.mark.conformance
@pytest.mark.parametrize("is_full", [False, True])
def test_in_a_browser(tmp_path, is_full):
    config = NodeConfig(tmp_path / "node", (Rule("bias"),), status=StatusPage(port=0))
    queue = Queue(config.folder)
    if is_full:
        for n, state in enumerate(("failed", "refused", "done")):
            queue.received(f"study-{n}", config.folder, "a.dcm", "aa", time.time() - 100)
            queue.complete(f"study-{n}")
            queue.finish(queue.take(), state, "" if state == "done" else "a reason", "bias", time.time() - 50)
        queue.received("study-9", config.folder, "a.dcm", "aa", time.time())
    listener, address = show(config, queue, Audit(config.folder), 11112)
    try:
        seen = looked_at(address)
    finally:
        listener.stop()
        queue.close()
    assert [one for one in seen["requests"] if not one.startswith(address)] == []
    assert seen["complaints"] == []
    assert seen["violations"] == []
    assert seen["passed"] > 10
    assert seen["focused"][0] == "Skip to the studies"
    wanted = {"Retry study-0", "Drop study-0 …", "Retry study-1", "Complete now study-9"} if is_full else set()
    assert wanted <= set(seen["focused"])
