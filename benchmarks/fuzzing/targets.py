"""What is fuzzed: each target takes a spoilt input and returns its answer, or raises what no input may cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzzing.files import Files
from fuzzing.peer import Dicom
from fuzzing.seeds import Seed
from fuzzing.web import HTTP_WORDS, Web

DICOM_WORDS = (
    b"SQ", b"OB", b"UN", b"UL\4\0", b"DS", b"IS", b"PN", b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\x00", b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.4.90",
    b"1.2.840.10008.1.2.1.99",
    b"ISO_IR 192", b"\\ISO 2022 IR 87", b"\x1b$B", b"\x28\0\x10\0US\2\0\xff\xff", b"\x28\0\x08\0IS\x04\x009999",
)  # fmt: skip


@dataclass
class Target:
    """``share`` of the inputs go to it; ``words`` are put into its files."""

    seeds: Sequence[Seed]
    run: Callable[[Seed, bytes], str]
    share: int = 1
    words: Sequence[bytes] = ()
    close: Callable[[], None] = lambda: None


def all_targets(work: Path, stock: dict[str, list[Seed]], only: set[str]) -> dict[str, Target]:
    """Return every target by name; services are started here and ended by ``close``."""
    files = Files(work)
    text = (b": ", b"- ", b"[", b"{", b"!!binary ", b"*a", b"&a ", b"\t", b'"', b"\\u0000")
    targets = {
        "volume": Target(stock["volume"], files.volume, 5, (b"sizes:", b"DimSize = ", b"ElementDataFile = ", b"n+1\0")),
        "sur": Target(stock["sur"], files.volume, 1, text),
        "dicom": Target(stock["dicom"], files.volume, 6, DICOM_WORDS),
        "zip": Target(stock["zip"], files.volume, 3, DICOM_WORDS),
        "seg": Target(stock["seg"], files.segmentation, 1, DICOM_WORDS),
        "recipe": Target(stock["recipe"], files.recipe, 2, text),
        "roi": Target(stock["roi"], files.roi, 1, text),
        "manifest": Target(stock["manifest"], files.manifest, 2, text),
        "report": Target(stock["report"], files.report, 2, text),
        "node": Target(stock["node"], files.node, 1, text),
        "run": Target(stock["volume"] + stock["dicom"], files.whole, 1, DICOM_WORDS),
    }
    if not only or "http" in only:
        service = Web(work / "serve")
        targets["http"] = Target(service.seeds, service.run, 3, HTTP_WORDS, service.close)
    if not only or only & {"pdu", "c-store"}:
        peer = Dicom(work / "node", stock["dicom"][0])
        targets["pdu"] = Target(peer.seeds, peer.pdu, 2, DICOM_WORDS, peer.close)
        targets["c-store"] = Target(stock["dicom"], peer.store, 2, DICOM_WORDS)
    return {name: one for name, one in targets.items() if not only or name in only}
