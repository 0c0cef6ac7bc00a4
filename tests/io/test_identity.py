from __future__ import annotations

from pathlib import Path

import pytest

from mediseg.io.identity import Identity, readings


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
        (["王^小東"], "王小東_t1", True),
        (["Jérôme"], "t1_jerome", True),
        (["Jerome"], "T1 Jérôme", True),
        (["Jérôme"], "t1_je\u0301ro\u0302me", True),
        (["ﾔﾏﾀﾞ^ﾀﾛｳ"], "ヤマダ", True),
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


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "euc_kr", "shift_jis", "iso2022_jp", "latin-1"])
def test_bytes_are_read_in_every_way_that_they_can_be(encoding):
    name = {"latin-1": "Jérôme", "euc_kr": "길동"}.get(encoding, "金太郎")
    assert name in readings(name.encode(encoding))


def test_plain_bytes_are_read_in_one_way():
    assert readings(b"Jerome") == ["Jerome"]
    assert readings(b"") == [""]
