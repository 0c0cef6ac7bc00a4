from __future__ import annotations

from pathlib import Path

import pytest

from mediseg.io.identity import Identity


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        (["Mustermann^Erika"], "t1_mustermann", True),
        (["Mustermann^Erika"], "ERIKA2", True),
        (["Mustermann^Erika"], "MustermannErika", True),
        (["O'Brien^Ann"], "brien_head", True),
        (["Lee^Bo"], "lee_bo_t1", False),
        (["ID-00471123"], "scan00471123", True),
        (["ID-12"], "id-12", False),
        (["Müller"], "MÜLLER t1", True),
        (["王小東"], "王小東", True),
        ([], "anything", False),
        ([""], "anything", False),
    ],
)
def test_shares(values, text, expected):
    assert Identity.of(values).shares(text) is expected


def test_it_never_shows_itself():
    identity = Identity.of(["Mustermann^Erika"])
    assert "muster" not in repr(identity).casefold()
    assert identity.safe("T1 Erika", "hidden") == "hidden"
    assert identity.safe("T1") == "T1"
    assert identity.safe_path(Path("/x/erika/im1")) == "im1"
    assert identity.safe_path(Path("/x/erika.dcm")).startswith("file-")


def test_union():
    both = Identity.of(["Anna"]) | Identity.of(["Berta"])
    assert both.shares("anna")
    assert both.shares("berta")
