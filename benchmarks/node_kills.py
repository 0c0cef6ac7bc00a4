"""Studies sent by several senders at once to a node that is killed (-9) at random moments: none lost, none doubled.

``python benchmarks/node_kills.py --studies 50 --senders 4 --kills 20``: writes small studies, sends each object until
it is answered with success, kills and restarts the node meanwhile, waits until everything is done, and counts what
an archive (a second DICOM node, here) has got. Needs the extra ``node``. Loopback only; stops by itself.
"""

import argparse
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pynetdicom import AE, StoragePresentationContexts, evt

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.heads import shaded_ball
from tests.io.dicom_factory import MR, STUDY, sagittal, write_series

LOCAL = "127.0.0.1"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("studies", 50), ("senders", 4), ("kills", 20), ("size", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--most-seconds", type=float, default=3600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        print(json.dumps(_trial(Path(folder), options), indent=2))


def _trial(folder, options):
    studies = [_study(folder / f"study{n}", n, options.size) for n in range(options.studies)]
    taken = Counter()
    archive = _archive(taken)
    config = _config(folder, archive.socket.getsockname()[1])
    todo = queue.Queue()
    for paths in studies:
        todo.put(paths)
    node, seconds, began = _Node(config), [], time.monotonic()
    node.start()
    senders = [threading.Thread(target=_send, args=(todo, node, seconds)) for _ in range(options.senders)]
    for sender in senders:
        sender.start()
    kills, deadline = 0, began + options.most_seconds
    while time.monotonic() < deadline and (any(s.is_alive() for s in senders) or not _is_done(config, options.studies)):
        time.sleep(random.uniform(0.5, 3.0))
        if kills < options.kills and node.listens():
            node.kill()
            node.start()
            kills += 1
    status = _status(config)
    node.kill()
    archive.shutdown()
    sent = [work for work in status["works"] if work["state"] == "done"]
    return {
        "studies": options.studies, "senders": options.senders, "kills": kills, "done": len(sent),
        "works": len(status["works"]), "objects_answered": len(seconds),
        "objects_in_archive": len(taken), "sent_more_than_once": sum(n > 1 for n in taken.values()),
        "sendings": status["sendings"], "seconds": round(time.monotonic() - began, 1),
        "object_ms_median": round(1000 * float(np.median(seconds)), 1),
        "object_ms_p95": round(1000 * float(np.percentile(seconds, 95)), 1),
    }  # fmt: skip


def _study(folder, n, size):
    def change(k, dataset):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{STUDY}.{n}", f"{STUDY}.{n}.1"
        dataset.SOPInstanceUID = f"{STUDY}.{n}.1.{k}"

    ball = shaded_ball(size).astype(np.int16)
    paths = write_series(folder, ball, sagittal(ball.shape, (192 / size,) * 3), change=change)
    for k, path in enumerate(paths):  # the factory names every study's objects alike
        dataset = dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{n}.1.{k + 1}"
        dataset.save_as(path, enforce_file_format=True)
    return paths


def _archive(taken):
    def store(event):
        taken[str(event.request.AffectedSOPInstanceUID)] += 1
        return 0

    entity = AE(ae_title="PACS")
    entity.supported_contexts = StoragePresentationContexts
    return entity.start_server((LOCAL, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])


def _config(folder, archive_port):
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        port = free.getsockname()[1]
    config = folder / "node.yaml"
    config.write_text(
        f"folder: node\nport: {port}\nquiet_seconds: 3\nfree_mb: 1\ncallers: [{{ae_title: SCANNER}}]\nthreads: 1\n"
        f"destinations: [{{ae_title: PACS, host: {LOCAL}, port: {archive_port}}}]\nrules: [{{recipe: bias}}]\n"
        "settings: {correct_bias.levels: 1, correct_bias.iterations: 2}\n"
    )
    return config


class _Node:
    def __init__(self, config):
        self.config, self.process = config, None
        self.port = int(config.read_text().split("port: ")[1].split()[0])

    def start(self):
        command = [sys.executable, "-m", "mediseg", "node", str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex((LOCAL, self.port)) == 0

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _send(todo, node, seconds):
    while True:
        try:
            paths = list(todo.get_nowait())
        except queue.Empty:
            return
        while paths:
            entity = AE(ae_title="SCANNER")
            entity.add_requested_context(MR)
            association = entity.associate(LOCAL, node.port, ae_title="MEDISEG")
            while paths and association.is_established:
                began = time.perf_counter()
                if association.send_c_store(dcmread(paths[0])).get("Status") != 0:
                    break
                seconds.append(time.perf_counter() - began)
                paths.pop(0)
            if association.is_established:
                association.release()
            if paths:
                time.sleep(0.5)


def _status(config):
    from mediseg.node.config import load_config
    from mediseg.node.queue import Queue

    made = Queue(load_config(config).folder)
    try:
        works = [{"work": w.key, "state": w.state, "reason": w.reason} for w in made.works()]
        return {"works": works, "sendings": made.sendings()}
    finally:
        made.close()


def _is_done(config, studies):
    status = _status(config)
    states = [work["state"] for work in status["works"]]
    return (
        len(states) == studies and all(s in ("done", "failed") for s in states) and "waiting" not in status["sendings"]
    )


if __name__ == "__main__":
    main()
