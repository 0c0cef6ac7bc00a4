"""A node's receiving side on any free port of this machine, for tests."""

from contextlib import contextmanager

from mediseg.node.audit import Audit
from mediseg.node.config import Caller, NodeConfig, Rule
from mediseg.node.peers import told_in
from mediseg.node.queue import Queue
from mediseg.node.receive import Receiver

LOCAL = "127.0.0.1"


@contextmanager
def listening(folder, *callers, tls=None):
    """Give receiver, queue and configuration; callers are SCANNER from this machine unless others are named."""
    config = NodeConfig(folder, (Rule("bias"),), port=0, callers=callers or (Caller("SCANNER", LOCAL),), tls=tls,
                        free_mb=1)  # fmt: skip
    queue, audit = Queue(folder), Audit(folder)
    receiver = Receiver(config, queue, audit)
    try:
        with told_in(audit):
            receiver.start()
            try:
                yield receiver, queue, config
            finally:
                receiver.stop()
    finally:
        queue.close()
