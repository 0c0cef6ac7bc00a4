"""Names in every script are decoded, recognised, and stand in nothing that leaves."""

from __future__ import annotations

import json

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from mediseg.io import load, open_study
from mediseg.planning import plan
from tests.io.dicom_factory import ramp, sagittal, write_series
from tests.io.test_dcm2niix_agreement import DATA

NAMES = [
    ("ISO_IR 100", "Buc^Jérôme", ["jérôme", "jerome"]),
    ("ISO_IR 144", "Люкceмбypг", ["люкceмбypг"]),
    ("ISO_IR 126", "Διονυσιος", ["διονυσιος"]),
    ("ISO_IR 127", "قباني^لنزار", ["قباني"]),
    ("ISO_IR 138", "שרון^דבורה", ["דבורה"]),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東", ["xiaodong", "小東"]),
    ("GB18030", "Wang^XiaoDong=王^小东", ["xiaodong", "小东"]),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", ["yamada", "山田", "たろう"]),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", ["ヤマダ", "太郎"]),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", ["gildong", "吉洞", "길동"]),
]


@pytest.mark.parametrize(("charset", "name", "words"), NAMES)
def test_a_name_is_recognised_and_never_told(tmp_path, charset, name, words):
    """The name stands in the folder, the file names, the series' description and in a damaged file's name."""
    for n, word in enumerate(words):

        def change(_: int, dataset: Dataset, word: str = word) -> None:
            dataset.SpecificCharacterSet = charset
            dataset.PatientName = name
            dataset.SeriesDescription = f"T1 {word}" if word in name.casefold() else "T1"
            dataset.ProtocolName = dataset.SeriesDescription

        folder = tmp_path / f"{word}_{n}"
        paths = write_series(folder, ramp((6, 5, 4)), sagittal((6, 5, 4)), change=change)
        for path in paths:
            path.rename(path.with_name(f"{word} {path.name}"))
        (folder / f"{word} bad").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
        study = open_study(folder)
        assert str(dcmread(next(iter(study.files))).PatientName) == name
        assert study.identity.shares(word)
        planned = plan("brain", folder)
        told = json.dumps(planned.to_dict(), ensure_ascii=False) + repr(study.identity)
        told += "".join(warn.message for warn in load(folder).warnings)
        assert planned.cases[0].name.startswith("case-")
        for secret in words:
            assert secret not in told.casefold()


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8", "山田^太郎"), ("gb18030", "王^小东"), ("euc_kr", "홍^길동"), ("shift_jis", "山田^太郎")],
)
def test_a_name_whose_character_set_is_not_stated_is_recognised(tmp_path, encoding, name):
    def change(_: int, dataset: Dataset) -> None:
        del dataset.SpecificCharacterSet
        dataset.PatientName = name.encode(encoding)

    write_series(tmp_path, ramp((6, 5, 2)), sagittal((6, 5, 2)), change=change)
    assert all(open_study(tmp_path).identity.shares(f"head_{part}") for part in name.split("^")[1:])


@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real scans at {DATA} (MEDISEG_TEST_DATA)")
def test_names_of_real_files_of_every_character_set():
    expected = {
        "太郎",
        "やまだ",
        "길동",
        "김희중",
        "小東",
        "小东",
        "jérôme",
        "rüdiger",
        "διονυσιος",
        "люкceмбypг",
        "דבורה",
        "قباني",
    }
    study = open_study(DATA / "charsets_jp_cn_kr.zip")
    assert {name for name in expected if study.identity.shares(name)} == expected
    assert [series.info.modality for series in study.series].count("MR") == 1
