"""Input made to harm: bombs, headers that lie, paths that lead elsewhere, texts that want to run. One line, no harm."""

import csv
import gzip
import struct
import zipfile
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

import mediseg
from mediseg.cli import main
from mediseg.errors import Exit, InputError, Refusal, UsageError
from mediseg.io import plausible
from mediseg.io.dicom import deflated, find
from mediseg.recipe import load_recipe
from tests.heads import shaded_ball
from tests.io.dicom_factory import ramp, sagittal, write_series

SHAPE = (6, 5, 4)
QUICK = ["--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=2", "--quiet"]


def _refused(path, tmp_path, capsys):
    code = main(["run", "bias", str(path), "--out", str(tmp_path / "out"), *QUICK])
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert code in (Exit.UNREADABLE, Exit.REFUSED)
    return err


def _nifti(shape, kind="<"):
    """A NIfTI-1 header alone, int16, with a place."""
    head = bytearray(352)
    struct.pack_into(f"{kind}i", head, 0, 348)
    struct.pack_into(f"{kind}8h", head, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(f"{kind}2h", head, 70, 4, 16)
    struct.pack_into(f"{kind}8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into(f"{kind}f", head, 108, 352)
    struct.pack_into(f"{kind}2h", head, 252, 0, 1)
    struct.pack_into(f"{kind}12f", head, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    head[344:348] = b"n+1\0"
    return bytes(head)


@pytest.mark.parametrize("name", ["bomb.nii.gz", "bomb"])
def test_a_nifti_that_unpacks_to_more_than_any_scan(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr(plausible, "MOST_VOXELS", 1_000_000)
    with gzip.open(tmp_path / name, "wb") as stream:
        stream.write(_nifti((200, 200, 200)) + bytes(16_000_000))
    assert "more than mediseg takes" in _refused(tmp_path / name, tmp_path, capsys)


def test_a_packed_file_is_unpacked_no_further_than_its_header_promises(tmp_path, monkeypatch):
    image = _nifti((4, 4, 4)) + np.arange(64, dtype="<i2").tobytes()
    with gzip.open(tmp_path / "endless", "wb") as stream:
        stream.write(image + bytes(10_000_000))
    asked = []
    true = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n=-1: asked.append(n) or true(self, n))
    assert (np.sort(mediseg.load(tmp_path / "endless").array, axis=None) == np.arange(64)).all()
    assert max(asked) <= 540
    assert min(asked) >= 0


@pytest.mark.parametrize("size", [(30000, 30000, 30000), (32767, 1, 1)])
def test_a_header_that_promises_what_the_file_does_not_hold(tmp_path, capsys, size):
    (tmp_path / "lie.nii").write_bytes(_nifti(size) + bytes(100))
    assert "damaged" in _refused(tmp_path / "lie.nii", tmp_path, capsys)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mha", "ObjectType = Image\nNDims = 3\nDimSize = 99999 99999 99999\nElementType = MET_SHORT\n"
         "ElementDataFile = LOCAL\n"),
        ("a.nrrd", "NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 9999\nencoding: raw\nendian: little\n\n"),
    ],
)  # fmt: skip
def test_gigantic_dimensions_take_no_memory(tmp_path, capsys, name, text):
    (tmp_path / name).write_bytes(text.encode() + bytes(64))
    _refused(tmp_path / name, tmp_path, capsys)


@pytest.mark.parametrize(
    "where", ["/etc/passwd", "../secret.raw", "sub/../../secret.raw", "C:\\secret.raw", "\\\\host\\x"]
)
@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_a_header_cannot_fetch_a_file_from_elsewhere(tmp_path, capsys, kind, where):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(range(128)))
    texts = {
        "mhd": "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
        f"ElementDataFile = {where}\n",
        "nhdr": "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nspace: left-posterior-superior\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\nendian: little\n"
        f"data file: {where}\n\n",
    }
    path = folder / f"a.{kind}"
    path.write_text(texts[kind])
    assert "outside its own folder" in _refused(path, tmp_path, capsys)
    (folder / "near.raw").write_bytes(np.arange(64, dtype="<i2").tobytes())
    path.write_text(texts[kind].replace(where, "near.raw"))
    assert mediseg.load(path).array.max() == 63


def test_a_matrix_of_65535_squared_is_refused_from_its_header(tmp_path, capsys):
    def change(k, dataset):
        dataset.Rows = dataset.Columns = 65535

    folder = tmp_path / "study"
    write_series(folder, ramp(SHAPE), sagittal(SHAPE), change=change)
    assert "more than mediseg takes" in _refused(folder, tmp_path, capsys)


def test_a_billion_frames_are_not_counted(tmp_path, capsys):
    def change(k, dataset):
        dataset.NumberOfFrames = 2**31 - 1

    folder = tmp_path / "study"
    write_series(folder, ramp(SHAPE), sagittal(SHAPE), change=change)
    _refused(folder, tmp_path, capsys)


def _nested(depth):
    inner = Dataset()
    inner.CodeMeaning = "end"
    for _ in range(depth):
        outer = Dataset()
        outer.ConceptNameCodeSequence = Sequence([inner])
        inner = outer
    return inner


def _deep_bytes(depth, is_implicit=False):
    """Sequences of undefined length in one another, as no writer makes them."""
    tag = struct.pack("<HH", 0x0008, 0x1140)
    opened = tag + (b"" if is_implicit else b"SQ\0\0") + b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return opened * depth


@pytest.mark.parametrize("closed", [True, False])
def test_sequences_ten_thousand_deep(tmp_path, capsys, closed):
    shut = (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * 10_000 if closed else b""
    folder = tmp_path / "study"
    for path in write_series(folder, ramp(SHAPE), sagittal(SHAPE)):
        data = path.read_bytes()
        at = data.find(struct.pack("<HH", 0x0008, 0x1030))  # before a later element of the group, or the next group
        at = at if at > 0 else data.find(struct.pack("<HH", 0x0010, 0x0010))
        path.write_bytes(data[:at] + _deep_bytes(10_000) + shut + data[at:])
    _refused(folder, tmp_path, capsys)


def test_nesting_as_deep_as_pydicom_follows_is_read(tmp_path):
    def change(k, dataset):
        dataset.ConceptNameCodeSequence = Sequence([_nested(50)])

    write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE), change=change)
    assert mediseg.load(tmp_path / "study").geometry.shape == SHAPE


def test_a_deflated_bomb(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(deflated, "MOST_BYTES", 1_000_000)
    folder = tmp_path / "study"
    for path in write_series(folder, ramp(SHAPE), sagittal(SHAPE)):
        data = path.read_bytes()
        end = 144 + int.from_bytes(data[140:144], "little")
        packer = zlib.compressobj(9, wbits=-15)
        plain = data[end:] + struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, 20_000_000) + bytes(20_000_000)
        old, new = b"1.2.840.10008.1.2.1\0", DeflatedExplicitVRLittleEndian.encode()
        grown = len(new) - len(old)
        meta = data[132:end].replace(struct.pack("<H", len(old)) + old, struct.pack("<H", len(new)) + new)
        length = struct.pack("<I", int.from_bytes(data[140:144], "little") + grown)
        path.write_bytes(data[:140] + length + meta[12:] + packer.compress(plain) + packer.flush())
    assert "damaged" in _refused(folder, tmp_path, capsys)
    monkeypatch.setattr(deflated, "MOST_BYTES", 100_000_000)
    assert mediseg.load(folder).geometry.shape == SHAPE


def test_a_zip_member_that_is_packed_too_well(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(find, "LARGE_MEMBER_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(128) + b"DICM" + bytes(5_000_000))
    assert "absurd size" in _refused(tmp_path / "bomb.zip", tmp_path, capsys)


def test_a_zip_in_a_zip_is_not_unpacked(tmp_path, capsys):
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.dcm", b"x")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "inner.zip")
    _refused(tmp_path / "outer.zip", tmp_path, capsys)


def test_a_dicomdir_cannot_lead_out_of_its_folder(tmp_path, capsys):
    """Its records are not followed: the folder itself is searched."""
    write_series(tmp_path / "secret", ramp(SHAPE), sagittal(SHAPE))
    disc = tmp_path / "disc"
    disc.mkdir()
    from tests.io.dicom_factory import header

    index = header(sop_class="1.2.840.10008.1.3.10")
    record = Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["..", "SECRET", "0000"]
    index.DirectoryRecordSequence = Sequence([record])
    index.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    index.SOPInstanceUID = "1.2.3"
    index.save_as(disc / "DICOMDIR", enforce_file_format=True)
    assert "without the files that it names" in _refused(disc / "DICOMDIR", tmp_path, capsys)


HOSTILE = "=cmd|'/C calc'!A0<script>alert(1)</script>"


def test_hostile_texts_reach_no_page_and_no_table_as_code(tmp_path, capsys):
    def change(k, dataset):
        dataset.Manufacturer = HOSTILE
        dataset.SequenceName = "@SUM(1+1)"
        dataset.SeriesDescription = "</td><img src=x onerror=alert(1)>"
        dataset.ManufacturerModelName = '"><svg onload=alert(1)>'

    ball = shaded_ball(32).astype(np.int16)
    folder = tmp_path / "=1+1"
    write_series(folder, ball, sagittal(ball.shape, (6, 6, 6)), change=change)
    assert main(["run", "bias", str(folder), "--out", str(tmp_path / "out"), *QUICK]) == 0
    pages = list((tmp_path / "out").rglob("*.html"))
    assert len(pages) == 2
    for page in pages:
        text = page.read_text()
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "<svg onload" not in text
    for table in (tmp_path / "out").rglob("*.csv"):
        cells = [cell for row in csv.reader(table.read_text().splitlines()) for cell in row]
        assert cells
        assert [cell for cell in cells if cell[:1] in "=+@\t" and cell] == []
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["1_1"]


@pytest.mark.parametrize(
    "text",
    [
        "steps: !!python/object/apply:os.system ['touch harmed']\n",
        "steps: [!!python/name:os.system ]\n",
        "steps: " + "[" * 5000 + "\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "g: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nsteps: [{correct_bias: {levels: *g}}]\n",
    ],
)
def test_hostile_yaml_is_one_error(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sly.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"^sly\.yaml") as caught:
        load_recipe("sly.yaml")
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", ["CON", "nul.txt", "a:b", "..", "x" * 300, "a\nb", "LPT1", "trailing. "])
def test_names_that_a_system_keeps_for_itself_are_changed(name):
    from mediseg.io.cases import safe_name

    made = safe_name(name)
    assert 0 < len(made) <= 81
    assert not set(made) & set('<>:"/\\|?*\n')
    assert made.split(".")[0].upper() not in ("CON", "NUL", "LPT1")
    assert made == made.strip(" .")


def test_the_limits_are_told_apart_from_damage():
    with pytest.raises(Refusal, match=r"a: 100000 x 100000 voxels are more than mediseg takes"):
        plausible.check_size((100000, 100000), "a")
    plausible.check_size((800, 800, 800), "a")


def test_a_read_after_the_check_still_refuses_a_bare_header(tmp_path):
    (tmp_path / "bare").write_bytes(_nifti((4, 4, 4)))
    with pytest.raises(InputError, match="bare is damaged"):
        mediseg.load(tmp_path / "bare")
